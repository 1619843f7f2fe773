"""``manage.py wssend``: the hub as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings
from django_kit import log_in, new_user
from django_servers import dial, environment
from programs import LIMIT, Program, python

from wssend.django import get_hub, send_to_user

SERVING = r"wssend: serving (\S+), local socket unix:(\S+) \(Ctrl-C stops\)\n"


def run(tmp_path: Path, *options: str, **setting: Any) -> Program:
    command = python("django", "wssend", *options)
    return Program(tmp_path / "hub.log", command, environment(setting))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_comes(tmp_path: Path, number: int) -> None:
    user = new_user()
    path = tmp_path / "wssend.sock"
    with run(tmp_path, SOCKET=path, PORT=0) as hub:
        url, said = hub.wait_for(SERVING).groups()
        assert url.startswith("ws://127.0.0.1:")
        assert said == str(path)
        with (
            dial(url, log_in(user)) as client,
            override_settings(WSSEND={"SOCKET": path}),
        ):
            send_to_user(user, {"n": 1}, wait=LIMIT)
            assert client.recv() == '{"n":1}'
            send_to_user(user, "the last", wait=LIMIT)
            hub.process.send_signal(number)
            assert client.recv() == "the last"
            assert client.answer_close().code == 1001
            get_hub().close()
        assert hub.process.wait(LIMIT) == 0  # a second signal would end it at once
    assert not path.exists()
    assert re.fullmatch(SERVING, hub.said())


@pytest.mark.slow
def test_options_count_before_the_setting(tmp_path: Path) -> None:
    session = log_in(new_user())
    options = ["--unix", f"{tmp_path}/ws.sock", "--path=/push", "--drain=1"]
    options += ["--control", f"{tmp_path}/other.sock"]
    with run(tmp_path, *options, SOCKET=tmp_path / "a.sock", PORT=1) as hub:
        url, control = hub.wait_for(SERVING).groups()
        assert url == f"ws+unix:{tmp_path}/ws.sock:/push"
        assert control == f"{tmp_path}/other.sock"
        with dial(url, session, "/push"):
            pass


@pytest.mark.slow
def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with run(tmp_path, SOCKET=tmp_path / "a.sock", PORT=port) as hub:
            assert hub.process.wait(LIMIT) == 1
    assert re.fullmatch(r"CommandError: .*in use.*\n", hub.said()), hub.said()


@pytest.mark.slow
def test_a_second_hub_finds_the_local_socket_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with run(tmp_path, SOCKET=path, PORT=0) as first:
        first.wait_for(SERVING)
        (tmp_path / "second").mkdir()
        with run(tmp_path / "second", SOCKET=path, PORT=0) as second:
            assert second.process.wait(LIMIT) == 1
        assert path.is_socket()
    assert re.fullmatch(rf"CommandError: {path}: .*in use\n", second.said())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port=99999"], "--port must be from 0 to 65535, not 99999"),
        (["--path=ws"], "--path must begin with a slash"),
        (["--unix=ws.sock"], "--unix must be the absolute path of a unix socket"),
        (["--control=a.sock"], "--control must be the absolute path"),
        (["--drain=-1"], "--drain must be from 0 to 3600 seconds, not -1"),
    ],
)
def test_a_wrong_option_is_told(options: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("wssend", *options)


def test_without_a_local_socket_there_is_nothing_to_run() -> None:
    with (
        override_settings(WSSEND={"EMBEDDED": True}),
        pytest.raises(CommandError, match=r'set WSSEND\["SOCKET"\], or give --control'),
    ):
        call_command("wssend")


def test_wrong_settings_are_told_by_the_checks(tmp_path: Path) -> None:
    with (
        override_settings(WSSEND=json.loads('{"SOKCET": "/run/a.sock"}')),
        pytest.raises(SystemCheckError, match=r"wssend\.E002.*did you mean|SOKCET"),
    ):
        call_command("wssend", skip_checks=False)
