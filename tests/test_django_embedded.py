"""The embedded hub: when it starts, and in which process only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import wsclient
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.signals import request_started
from django.test import Client, override_settings
from django.test.client import ClientHandler
from django_kit import log_in, new_user
from kit import Process, run_script, there, until

import wssend
from wssend.django import broadcast, embedded, get_hub, send_to_user

# Another process of the same project.
SETUP = """
    import os, sys, json
    os.environ["WSSEND_TEST_SETTINGS"] = sys.argv[1]
    import django_kit
    from django.core.exceptions import ImproperlyConfigured
    from wssend.django import embedded
"""


@pytest.fixture
def unix(tmp_path: Path) -> Iterator[Path]:
    """Where the hub listens; it is stopped in the end."""
    path = tmp_path / "ws.sock"
    with override_settings(WSSEND={"EMBEDDED": True, "UNIX": path}):
        yield path
        embedded.stop()


def test_nothing_listens_before_the_first_request(unix: Path) -> None:
    assert embedded.hub() is None
    call_command("check")
    Client().get("/")
    assert embedded.hub() is None
    assert not unix.exists()


@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler])
def test_the_first_request_that_is_served_starts_it(unix: Path, handler: type) -> None:
    embedded.on_request(sender=handler)
    hub = there(embedded.hub())
    embedded.on_request(sender=handler)
    assert embedded.hub() is hub is get_hub() is embedded.start()
    assert unix.is_socket()


def test_a_test_clients_request_does_not(unix: Path) -> None:
    embedded.on_request(sender=ClientHandler)
    assert embedded.hub() is None


def test_it_pushes_to_who_is_logged_in(unix: Path) -> None:
    user = new_user()
    hub = embedded.start()
    headers = [("Cookie", f"sessionid={log_in(user)}"), ("Origin", "http://localhost")]
    with wsclient.Client(f"ws+unix:{unix}:/ws", headers=headers) as client:
        until(lambda: hub.clients(str(user.pk)))
        report = send_to_user(user, {"n": 1})
        assert report is not None
        assert report.queued == 1
        assert client.recv() == '{"n":1}'
        embedded.stop()
        assert client.recv_close().code == 1001


def test_it_can_be_started_again(unix: Path) -> None:
    embedded.start()
    embedded.stop()
    assert embedded.hub() is None
    embedded.start()
    assert unix.is_socket()


def test_a_push_before_it_runs_is_told_what_to_do(unix: Path) -> None:
    with pytest.raises(wssend.HubClosed) as caught:
        broadcast("hello")
    assert f"does not run in process {os.getpid()}" in str(caught.value)
    assert 'set WSSEND["SOCKET"]' in str(caught.value)


@pytest.mark.slow
@pytest.mark.forks
def test_a_push_in_a_forked_child_is_told_the_same(tmp_path: Path) -> None:
    code = """
    import warnings
    import wssend
    from wssend.django import broadcast
    warnings.simplefilter("ignore", DeprecationWarning)  # "is multi-threaded"
    hub = embedded.start()
    pid = os.fork()
    if pid == 0:
        try:
            broadcast("hello")
        except wssend.HubClosed as error:
            print(str(error).startswith(
                f"the embedded hub does not run in process {os.getpid()}: "
            ), flush=True)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    print(embedded.hub() is hub)
    """
    setting = f'{{"EMBEDDED": true, "UNIX": "{tmp_path}/ws.sock"}}'
    assert other_process(setting, code) == "True\nTrue\n"


def other_process(setting: str, code: str) -> str:
    return run_script(SETUP + code, setting)


WAIT = "    sys.stdout.flush(); sys.stdin.readline()\n"


SERVE = """
    embedded.PATIENCE = float(os.environ.get("PATIENCE", 0))
    try:
        embedded.start()
    except ImproperlyConfigured as error:
        print(error)
    else:
        print("it runs")
"""


@pytest.mark.slow
def test_a_second_process_is_told_to_run_the_command(unix: Path) -> None:
    embedded.start()
    said = other_process(f'{{"EMBEDDED": true, "UNIX": "{unix}"}}', SERVE)
    assert f"another process (pid {os.getpid()}) runs the hub already" in said
    assert "EMBEDDED to False" in said
    assert "`manage.py wssend`" in said


@pytest.mark.slow
def test_workers_that_take_any_port_are_found_as_well(tmp_path: Path) -> None:
    setting = {"EMBEDDED": True, "PORT": 0}
    with override_settings(WSSEND=setting):
        code = SETUP + SERVE + WAIT
        with Process(code, '{"EMBEDDED": true, "PORT": 0}') as sibling:
            assert sibling.read() == "it runs"
            said = other_process('{"EMBEDDED": true, "PORT": 0}', SERVE)
            assert f"another process (pid {sibling.pid}) runs" in said
            sibling.write("end")
            sibling.end()


@pytest.mark.slow
def test_the_place_of_a_process_that_ends_is_taken_over(unix: Path) -> None:
    setting = f'{{"EMBEDDED": true, "UNIX": "{unix}"}}'
    code = SETUP + SERVE.replace("0))", "20))") + WAIT
    with Process(code, setting) as first:
        assert first.read() == "it runs"
        with Process(code, setting) as second:
            first.write("end")
            first.end()
            assert second.read() == "it runs"
            second.write("end")
            second.end()


@pytest.mark.slow
def test_a_refusal_is_remembered(unix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PATIENCE", 0.0)
    setting = f'{{"EMBEDDED": true, "UNIX": "{unix}"}}'
    code = SETUP + SERVE + WAIT
    with Process(code, setting) as first:
        assert first.read() == "it runs"
        with pytest.raises(ImproperlyConfigured, match=f"pid {first.pid}"):
            embedded.on_request(sender=WSGIHandler)
        first.write("end")
        first.end()
    with pytest.raises(ImproperlyConfigured, match="is for a server of one process"):
        embedded.on_request(sender=WSGIHandler)
    embedded.stop()
    embedded.start()


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        setting = {"EMBEDDED": True, "PORT": taken.getsockname()[1]}
        with (
            override_settings(WSSEND=setting),
            pytest.raises(ImproperlyConfigured, match=r"If `manage\.py wssend` runs"),
        ):
            embedded.start()
    embedded.stop()
    with override_settings(WSSEND=setting):
        embedded.start()
        embedded.stop()


@pytest.mark.slow
def test_a_server_is_asked_through_djangos_signal(tmp_path: Path) -> None:
    """In a process whose settings say so; here they did not when Django started."""
    assert not any(
        key[0] == "wssend.django.embedded" for key, *_ in request_started.receivers
    )
    code = """
    from django.core.signals import request_started
    from django.core.handlers.wsgi import WSGIHandler
    assert embedded.hub() is None
    request_started.send(sender=WSGIHandler)
    print(embedded.hub() is not None)
    """
    setting = f'{{"EMBEDDED": true, "UNIX": "{tmp_path}/ws.sock"}}'
    assert other_process(setting, code) == "True\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "serves"),
    [
        (["manage.py"], {}, False),
        (["manage.py", "migrate"], {"RUN_MAIN": "true"}, False),
        (["manage.py", "shell", "--noreload"], {}, False),
        (["manage.py", "runserver", "8000"], {}, False),
        (["manage.py", "runserver", "8000"], {"RUN_MAIN": "true"}, True),
        (["manage.py", "runserver", "8000", "--noreload"], {}, True),
    ],
)
def test_runserver_serves_in_one_process(
    arguments: list[str], environment: dict[str, str], serves: bool
) -> None:
    assert embedded.is_served_by_runserver(arguments, environment) is serves
