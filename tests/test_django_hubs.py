"""The hub that a process pushes through, where it is another process's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from django_kit import Running, log_in, new_user, running
from kit import run_script, until

import wssend
from wssend.django import (
    broadcast,
    close_user,
    get_hub,
    override_hub,
    publish,
    send_to_user,
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Of the local socket, which WSSEND names."""
    path = tmp_path / "wssend.sock"
    with override_settings(WSSEND={"SOCKET": path}):
        yield path
        try:
            hub = get_hub()
        except wssend.LinkDown:
            return
        assert isinstance(hub, wssend.RemoteHub)
        hub.close()


@pytest.fixture
def server(path: Path) -> Iterator[Running]:
    with running(SOCKET=path) as server:
        yield server


def test_all_pushes_go_through_the_socket(server: Running) -> None:
    user = new_user()
    client = server.dial(log_in(user))
    server.hub.clients()[0].subscribe("news")
    assert send_to_user(user, {"n": 1}) is None
    assert publish("news", "two") is None
    assert broadcast(b"three") is None
    assert [client.recv() for _ in range(3)] == ['{"n":1}', "two", b"three"]
    close_user(user, 4401, "over")
    close = client.recv_close()
    assert (close.code, close.reason) == (4401, "over")


def test_one_can_wait_for_the_report(server: Running) -> None:
    user = new_user()
    server.dial(log_in(user))
    report = send_to_user(user, "hello", wait=10)
    assert report is not None
    assert report.queued == 1


def test_the_link_is_made_once(server: Running) -> None:
    assert get_hub() is get_hub()


@pytest.mark.parametrize("stale", [False, True])
def test_without_the_hub_one_is_told_to_run_it(path: Path, stale: bool) -> None:
    if stale:
        with running(SOCKET=path):
            os.link(path, path.with_name("kept"))
        path.with_name("kept").rename(path)
    with pytest.raises(wssend.LinkDown) as caught:
        broadcast("hello")
    assert f"unix:{path}" in str(caught.value)
    assert str(caught.value).endswith("; is `manage.py wssend` running?")


def test_a_hub_that_goes_away_is_told_and_one_that_comes_is_used(path: Path) -> None:
    user = new_user()
    with running(SOCKET=path) as first:
        broadcast("hello", wait=10)
        assert len(first.hub) == 0

    def is_down() -> bool:
        try:
            broadcast("hello")
        except wssend.LinkDown as error:
            return "manage.py wssend" in str(error)
        return False

    until(is_down)
    with running(SOCKET=path) as second:
        client = second.dial(log_in(user))

        def is_up() -> bool:
            try:
                return send_to_user(user, "again", wait=10) is not None
            except wssend.LinkDown:
                return False

        until(is_up)
        got = [client.recv()]
        while got[-1] != "again":
            got.append(client.recv())
        assert set(got[:-1]) <= {"hello"}  # queued while the link was breaking


def test_a_hub_of_ones_own_comes_first(server: Running) -> None:
    with wssend.WSHub() as hub, override_hub(hub):
        assert get_hub() is hub
        with wssend.WSHub() as inner, override_hub(inner):
            assert get_hub() is inner
        assert get_hub() is hub
    assert get_hub() is not hub


@pytest.mark.slow
@pytest.mark.forks
def test_a_forked_child_has_a_link_of_its_own(path: Path) -> None:
    code = """
    import os, sys, warnings
    os.environ["WSSEND_TEST_SETTINGS"] = '{"SOCKET": "%s"}' % sys.argv[1]
    import django_kit
    from wssend.django import broadcast
    warnings.simplefilter("ignore", DeprecationWarning)  # "is multi-threaded"
    broadcast("from the parent", wait=10)
    pid = os.fork()
    if pid == 0:
        broadcast("from the child", wait=10)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    broadcast("from the parent again", wait=10)
    """
    with running(SOCKET=path, ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        run_script(code, str(path))
        assert [client.recv() for _ in range(3)] == [
            "from the parent",
            "from the child",
            "from the parent again",
        ]


@pytest.mark.slow
def test_a_process_that_ends_at_once_has_pushed(path: Path) -> None:
    code = """
    import os, sys
    os.environ["WSSEND_TEST_SETTINGS"] = '{"SOCKET": "%s"}' % sys.argv[1]
    import django_kit
    from wssend.django import broadcast
    broadcast("good-bye")
    """
    with running(SOCKET=path, ALLOW_ANONYMOUS=True) as server:
        client = server.dial()
        run_script(code, str(path))
        assert client.recv() == "good-bye"
