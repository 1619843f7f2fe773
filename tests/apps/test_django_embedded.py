"""EMBEDDED under real servers: runserver with its reloader, gunicorn, uvicorn."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from django_kit import log_in, new_user
from django_servers import TESTS, Site, dial, environment
from kit import Background, until
from programs import LIMIT, Program, gunicorn_of, python
from wsclient import Gone

pytestmark = pytest.mark.timeout(150)


def run(tmp_path: Path, command: list[str], module: str = "") -> Program:
    """A server of the project, with an embedded hub on a unix socket."""
    setting = {"EMBEDDED": True, "UNIX": tmp_path / "ws.sock"}
    added = environment(setting, module)
    added["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    return Program(tmp_path / "server.log", command, added)


def hub_url(tmp_path: Path) -> str:
    return f"ws+unix:{tmp_path}/ws.sock:/ws"


def check_that_it_pushes(site: Site, tmp_path: Path) -> None:
    user = new_user()
    with dial(hub_url(tmp_path), log_in(user)) as client:
        site.push("hello", user=str(user.pk))
        assert client.recv() == '{"text":"hello"}'


def test_gunicorn_with_threads_starts_it_with_the_first_request(tmp_path: Path) -> None:
    command = gunicorn_of("django_project.wsgi", "--worker-class=gthread")
    with run(tmp_path, [*command, "--threads=4"]) as server:
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])
        assert not (tmp_path / "ws.sock").exists()
        assert site.ask("GET", "/")[0] == 200
        check_that_it_pushes(site, tmp_path)
        assert server.stop() == 0


def test_gunicorn_with_an_application_loaded_before_the_fork(tmp_path: Path) -> None:
    with run(tmp_path, gunicorn_of("django_project.wsgi", "--preload")) as server:
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])
        assert site.ask("GET", "/")[0] == 200
        check_that_it_pushes(site, tmp_path)


def test_a_worker_that_is_replaced_hands_the_hub_over(tmp_path: Path) -> None:
    with run(tmp_path, gunicorn_of("django_project.wsgi")) as server:
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])
        assert site.ask("GET", "/")[0] == 200
        first = server.wait_for(r"Booting worker with pid: (\d+)")[1]
        os.kill(server.process.pid, 1)  # SIGHUP: a new worker, and the old one ends
        until(
            lambda: (
                len(re.findall("Booting worker", server.said())) == 2
                and f"Worker exiting (pid: {first})" in server.said()
            ),
            LIMIT,
        )
        assert site.ask("GET", "/")[0] == 200
        check_that_it_pushes(site, tmp_path)


def test_several_workers_are_told_to_run_the_command(tmp_path: Path) -> None:
    with run(tmp_path, gunicorn_of("django_project.wsgi", "--workers=2")) as server:
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])

        def ask_until_it_is_told() -> bool:
            visits = [Background(lambda: site.ask("GET", "/")[0]) for _ in range(4)]
            assert {visit.result(LIMIT) for visit in visits} <= {200, 500}
            return "ImproperlyConfigured" in server.said()

        until(ask_until_it_is_told, LIMIT)
        said = server.wait_for(
            r"ImproperlyConfigured: .* another process \(pid (\d+)\) runs the hub.*"
        )
        assert f"Booting worker with pid: {said[1]}" in server.said()
        assert "`manage.py wssend`" in said[0]


def test_uvicorn_starts_it_with_the_first_request(tmp_path: Path) -> None:
    command = python("uvicorn", "django_project.asgi:application", "--port=0")
    with run(tmp_path, command) as server:
        site = Site(server.wait_for(r"running on (http://[\d.:]+)")[1])
        assert not (tmp_path / "ws.sock").exists()
        assert site.ask("GET", "/")[0] == 200
        check_that_it_pushes(site, tmp_path)


def test_runserver_starts_it_at_once_and_again_after_a_change(tmp_path: Path) -> None:
    module = tmp_path / "reloaded_settings.py"
    module.write_text("from django_project.settings import *\n")
    command = python("django", "runserver", "127.0.0.1:0")
    with run(tmp_path, command, module.stem) as server:
        user = new_user()
        session = log_in(user)
        until((tmp_path / "ws.sock").exists, LIMIT)
        server.wait_for("Quit the server")
        with dial(hub_url(tmp_path), session) as client:

            def change_until_it_is_seen() -> bool:
                """The reloader takes its first look a moment after the start."""
                new = module.with_suffix(".new")
                new.write_bytes(module.read_bytes())
                new.rename(module)  # never half written
                return server.said().count("Quit the server") > 1

            until(change_until_it_is_seen, LIMIT)
            assert client.recv_close().code == 1001

        def it_is_back() -> bool:
            with suppress(OSError, Gone), dial(hub_url(tmp_path), session):
                return True
            return False

        until(it_is_back, LIMIT)


def test_a_command_that_serves_nothing_starts_nothing(tmp_path: Path) -> None:
    setting = {"EMBEDDED": True, "UNIX": tmp_path / "ws.sock"}
    code = "from wssend.django import embedded; print(embedded.hub())"
    done = subprocess.run(
        python("django", "shell", "-c", code),
        env={**os.environ, **environment(setting)},
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "None"
    assert not (tmp_path / "ws.sock").exists()
