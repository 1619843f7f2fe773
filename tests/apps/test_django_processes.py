"""Several processes that push through ``manage.py wssend``."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_kit import log_in, new_user
from django_servers import TESTS, Site, dial, environment
from kit import Background
from programs import LIMIT, Program, gunicorn_of, python
from wsclient import Client

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """The hub's process; its URL."""
    command = python("django", "wssend", "--port=0")
    with Program(tmp_path / "hub.log", command, settings(tmp_path)) as program:
        yield program.wait_for(r"wssend: serving (\S+),")[1]


def settings(tmp_path: Path) -> dict[str, str]:
    return environment({"SOCKET": tmp_path / "wssend.sock"})


def test_gunicorns_workers_push_to_the_same_clients(tmp_path: Path, hub: str) -> None:
    command = gunicorn_of(
        "django_project.wsgi",
        "--workers=2",
        "--access-logfile=-",
        "--access-logformat=served by %(p)s",
    )
    user = new_user()
    session = log_in(user)
    with (
        Program(tmp_path / "server.log", command, settings(tmp_path)) as server,
        dial(hub, session) as one,
        dial(hub, session) as two,
    ):
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])
        sent = 0
        workers: set[str] = set()
        while len(workers) < 2:  # until either has served
            texts = [str(sent + number) for number in range(4)]
            sent += len(texts)
            pushes = [push_in_background(site, text, str(user.pk)) for text in texts]
            for push in pushes:
                push.result(LIMIT)
            for client in (one, two):
                assert sorted(received(client, 4)) == sorted(
                    f'{{"text":"{text}"}}' for text in texts
                )
            workers |= set(re.findall(r"served by <(\d+)>", server.said()))
        assert server.stop() == 0


def push_in_background(site: Site, text: str, user: str) -> Background:
    return Background(lambda: site.push(text, user=user))


def received(client: Client, count: int) -> list[str]:
    return [str(client.recv()) for _ in range(count)]


def test_a_logout_in_a_worker_closes_the_connections(tmp_path: Path, hub: str) -> None:
    command = gunicorn_of("django_project.wsgi")
    session = log_in(new_user())
    with (
        Program(tmp_path / "server.log", command, settings(tmp_path)) as server,
        dial(hub, session) as client,
    ):
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1], session)
        assert site.ask("POST", "/logout/")[0] == 204
        assert client.recv_close().code == 4401


def test_uvicorns_workers_push_as_well(tmp_path: Path, hub: str) -> None:
    command = python("uvicorn", "django_project.asgi:application", "--port=0")
    user = new_user()
    with (
        Program(tmp_path / "server.log", command, settings(tmp_path)) as server,
        dial(hub, log_in(user)) as client,
    ):
        site = Site(server.wait_for(r"running on (http://[\d.:]+)")[1])
        site.push("hello", user=str(user.pk))
        assert client.recv() == '{"text":"hello"}'


def test_a_command_pushes_and_ends(tmp_path: Path, hub: str) -> None:
    user = new_user()
    code = f"from wssend.django import send_to_user; send_to_user({user.pk}, 'cron')"
    with dial(hub, log_in(user)) as client:
        subprocess.run(
            python("django", "shell", "-c", code),
            env={**os.environ, **settings(tmp_path)},
            cwd=TESTS,
            timeout=LIMIT,
            check=True,
            capture_output=True,
        )
        assert client.recv() == "cron"


def test_a_page_works_on_while_the_hub_is_away(tmp_path: Path) -> None:
    """The view that pushes is told why it cannot; others do not notice."""
    command = gunicorn_of("django_project.wsgi")
    with Program(tmp_path / "server.log", command, settings(tmp_path)) as server:
        site = Site(server.wait_for(r"Listening at: (http://[\d.:]+)")[1])
        assert site.ask("GET", "/")[0] == 200
        status, body = site.ask("POST", "/push/", {"text": "hello"})
        assert status == 503
        assert re.fullmatch("LinkDown: .*; is `manage.py wssend` running\\?", body)
