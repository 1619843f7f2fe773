"""Hubs that other processes send to: the calls, and processes that come and go."""

from __future__ import annotations

import json
import pickle
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Server, serving, until

import wssend
from wssend import LinkStats, RemoteClient, SendReport

WAIT = 30.0  # seconds, far more than anything takes


def lawful(stats: LinkStats) -> bool:
    return stats.accepted == (
        stats.confirmed + stats.queued + stats.in_flight + stats.lost
    )


def report(queued: int = 0, *full: RemoteClient) -> SendReport[RemoteClient]:
    return SendReport(queued=queued, full=full)


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/hub"


@pytest.fixture
def server(address: str) -> Iterator[Server]:
    with serving() as server, wssend.expose(server.hub, address):
        yield server


@pytest.fixture
def remote(address: str) -> Iterator[wssend.RemoteHub]:
    with wssend.connect(address) as remote:
        yield remote
        assert lawful(remote.stats())


# The calls.


def test_each_call_reaches_the_clients(
    server: Server, remote: wssend.RemoteHub
) -> None:
    client, own = server.connect("a", "u")
    client.subscribe("t")
    remote.send("a", "one")
    remote.send_to_user("u", b"two")
    remote.broadcast("three")
    remote.publish("t", b"four")
    assert [own.recv() for _ in range(4)] == ["one", b"two", "three", b"four"]
    remote.close_user("u", 4403, "bye")
    until(lambda: client.closed)
    assert (client.close_code, client.close_reason) == (4403, "bye")
    remote.flush(WAIT)
    stats = remote.stats()
    assert (stats.accepted, stats.confirmed, stats.refused) == (5, 5, 0)


def test_with_wait_each_call_returns_what_the_hub_returns(
    server: Server, remote: wssend.RemoteHub
) -> None:
    client, own = server.connect("a", "u")
    client.subscribe("t")
    remote.send("a", "x", wait=WAIT)
    assert remote.send_to_user("u", "x", wait=WAIT) == report(1)
    assert remote.send_to_user("v", "x", wait=WAIT) == report()
    assert remote.broadcast("x", wait=WAIT) == report(1)
    assert remote.publish("t", "x", wait=WAIT) == report(1)
    assert remote.publish("t", "x", ["a"], wait=WAIT) == report()
    assert remote.broadcast("x", [RemoteClient("a")], wait=WAIT) == report()
    assert [own.recv() for _ in range(4)] == ["x"] * 4
    assert remote.hub_stats(WAIT).accepted == server.hub.stats().accepted == 4
    assert remote.ping(WAIT) >= 0
    assert remote.close_user("u", wait=WAIT) == 1
    assert remote.close_user("u", wait=WAIT) == 0


def test_a_report_names_the_full(address: str) -> None:
    with (
        serving(send_queue=3) as server,
        wssend.expose(server.hub, address),
        wssend.connect(address) as remote,
    ):
        server.stalled("slow", "u")
        server.connect("quick")
        found = remote.broadcast("x", wait=WAIT)
        assert found == report(1, RemoteClient("slow", "u"))
        assert (found.full_ids, bool(found)) == (("slow",), False)
        remote.broadcast("x", found.full)
        remote.flush(WAIT)
        with pytest.raises(wssend.ChannelFull, match=r"^client 'slow': the send") as it:
            remote.send("slow", "x", wait=WAIT)
        assert (it.value.client_id, it.value.queued) == ("slow", 3)
        assert it.value.queued_bytes > 0
        assert it.value.oldest_age > 0
        remote.send("slow", "x")
        remote.flush(WAIT)
        assert remote.stats().refused == 3


def test_errors_arrive_as_the_hub_raised_them(address: str) -> None:
    with (
        serving(send_queue_bytes=10) as server,
        wssend.expose(server.hub, address),
        wssend.connect(address) as remote,
    ):
        with pytest.raises(wssend.ClientNotFound) as absent:
            remote.send("nobody", "x", wait=WAIT)
        assert absent.value.client_id == "nobody"
        with pytest.raises(wssend.MessageTooLarge) as large:
            remote.broadcast("x" * 11)
        assert (large.value.size, large.value.limit) == (11, 10)
        assert remote.stats().refused_too_large == 1
        server.hub.close()
        with pytest.raises(wssend.HubClosed, match=r"^the hub is closed$"):
            remote.broadcast("x", wait=WAIT)


def test_what_is_too_large_is_known_before_the_first_connection(address: str) -> None:
    with (
        wssend.connect(address, queue_bytes=10) as remote,
        pytest.raises(wssend.MessageTooLarge, match=r"\(queue_bytes of the link\)"),
    ):
        remote.broadcast("x" * 11)


@pytest.mark.parametrize(
    ("data", "options", "arrives"),
    [
        ("é", {}, "é"),
        ("é", {"text": False}, "é".encode()),
        (b"[1]", {"text": True}, "[1]"),
        (bytearray(b"x"), {}, b"x"),
        (memoryview(b"abc")[1:], {}, b"bc"),
        ("", {}, ""),
        (b"", {}, b""),
        (wssend.PreparedMessage("é"), {}, "é"),
        (wssend.PreparedMessage(b"x"), {}, b"x"),
        (wssend.PreparedMessage(b"x", text=True), {}, "x"),
        ("x" * 100_000, {}, "x" * 100_000),
    ],
)
def test_data_arrives_as_from_the_hub_itself(
    server: Server,
    remote: wssend.RemoteHub,
    data: Any,
    options: dict[str, bool],
    arrives: str | bytes,
) -> None:
    _, own = server.connect("a")
    server.hub.send("a", data, **options)
    remote.send("a", data, **options)
    assert [own.recv(), own.recv()] == [arrives, arrives]


def test_the_data_is_copied_at_the_call(address: str, tmp_path: Path) -> None:
    with serving() as server, wssend.connect(address) as remote:
        _, own = server.connect("a")
        data = bytearray(b"before")
        remote.send("a", data)
        data[:] = b"after!"
        with wssend.expose(server.hub, address):
            assert own.recv() == b"before"


def error_of(call: Callable[..., object], *args: object, **options: object) -> object:
    try:
        call(*args, **options)
    except Exception as error:
        return error
    raise AssertionError(args)


def test_wrong_arguments_are_told_at_once_as_by_the_hub(
    server: Server, remote: wssend.RemoteHub
) -> None:
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("send", (1, "x"), {}),
        ("send", ("a", None), {}),
        ("send", ("a", 1), {}),
        ("send", ("a", "x"), {"text": 1}),
        ("send", ("a", wssend.PreparedMessage("")), {"text": True}),
        ("send", ("a", "\ud800"), {}),
        ("send", ("\ud800", "x"), {}),
        ("send", ("a", b"\xff"), {"text": True}),
        ("send", ("a", memoryview(b"abcd")[::2]), {}),
        ("publish", (None, "x"), {}),
        ("send_to_user", (b"u", "x"), {}),
        ("close_user", (42,), {}),
        ("close_user", ("u", 999), {}),
        ("close_user", ("u", 1005), {}),
        ("close_user", ("u", "4401"), {}),
        ("close_user", ("u", 4401, "x" * 124), {}),
        ("close_user", ("u", 4401, None), {}),
    ]
    server.connect("a")
    for name, args, options in calls:
        local = error_of(getattr(server.hub, name), *args, **options)
        far = error_of(getattr(remote, name), *args, **options)
        assert type(far) is type(local), (name, args)
        if not isinstance(local, BufferError):  # its end is of the object's making
            assert str(far) == str(local), (name, args)
    assert remote.stats().accepted == 0


@pytest.mark.parametrize("exclude", ["a", b"a", 5, [1], [None]])
def test_a_wrong_exclude(remote: wssend.RemoteHub, exclude: Any) -> None:
    with pytest.raises(TypeError, match=r"^exclude must "):
        remote.broadcast("x", exclude)


def test_a_client_of_a_hub_here_cannot_be_excluded_there(
    server: Server, remote: wssend.RemoteHub
) -> None:
    client, _ = server.connect("a")
    with pytest.raises(TypeError, match="belongs to a hub in this process"):
        remote.broadcast("x", [client])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("address", "options", "error", "match"),
    [
        ("tcp:host:1", {}, ValueError, "^address must be 'unix:'.* not 'tcp:host:1'"),
        ("unix:relative", {}, ValueError, "^address must be 'unix:'"),
        ("/run/x", {}, ValueError, "^address must be 'unix:'"),
        ("unix:/" + "x" * 107, {}, ValueError, "at most 107 bytes"),
        (None, {}, TypeError, "^address must be a str"),
        ("unix:/x", {"queue": 0}, ValueError, "^queue must be from 1 to"),
        ("unix:/x", {"queue": 1.5}, TypeError, "^queue must be an int"),
        ("unix:/x", {"queue_bytes": 0}, ValueError, "^queue_bytes must be"),
        ("unix:/x", {"hold": -1}, ValueError, "^hold must be a finite number"),
        ("unix:/x", {"hold": None}, TypeError, "^hold must be a number"),
        ("unix:/x", {"on_lost": 1}, TypeError, "^on_lost must be callable"),
    ],
)
def test_wrong_options(
    address: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        wssend.connect(address, **options)


def test_a_wait_that_is_no_time(remote: wssend.RemoteHub) -> None:
    wait: Any
    for wait in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^wait must be a finite number"):
            remote.broadcast("x", wait=wait)
    with pytest.raises(TypeError, match=r"^wait must be a number of seconds"):
        remote.broadcast("x", wait=True)


def test_calls_of_one_thread_arrive_in_order(
    server: Server, remote: wssend.RemoteHub
) -> None:
    _, own = server.connect("a")
    for first in range(0, 3000, 100):
        for number in range(first, first + 100):
            remote.send("a", json.dumps(number))
        assert [own.recv() for _ in range(100)] == [
            str(number) for number in range(first, first + 100)
        ]


def test_the_errors_of_a_link_pickle() -> None:
    error = pickle.loads(pickle.dumps(wssend.LinkDown("why")))
    assert (type(error), str(error)) == (wssend.LinkDown, "why")
    assert isinstance(error, wssend.ChannelClosed)


def test_both_hubs_are_hubs(server: Server, remote: wssend.RemoteHub) -> None:
    hubs: list[wssend.Hub] = [remote, server.hub]  # mypy checks that
    _, own = server.connect("a")
    for hub in hubs:
        assert isinstance(hub, wssend.Hub)
        hub.send("a", "x")
        hub.flush(WAIT)
        assert own.recv() == "x"
        hub.close(timeout=WAIT)
        assert hub.closed


# The socket file.


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_file_has_the_permissions_asked_for(address: str, mode: int) -> None:
    path = Path(address.removeprefix("unix:"))
    with wssend.WSHub() as hub:
        with wssend.expose(hub, address, mode=mode) as exposed:
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert not exposed.closed
        assert not path.exists()
        assert exposed.closed
