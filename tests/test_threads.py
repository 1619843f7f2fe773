"""Many threads at once: nothing is lost, counted twice, or broken."""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from kit import Background, Server, serving, there, until
from wsclient import Client, Gone

import wssend

SECONDS = 1.0


@pytest.fixture(autouse=True)
def eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(params=[True, False], ids=["gil released", "gil kept"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(send_queue=50, release_gil=request.param) as server:
        yield server


def read_all(own: Client, seen: list[str | bytes]) -> None:
    with suppress(Gone, OSError, AssertionError):
        while True:
            seen.append(own.recv())


def test_each_senders_messages_arrive_once_and_in_order() -> None:
    with serving(send_queue=100_000) as server:
        client, own = server.connect()

        def send(sender: int) -> None:
            for i in range(1000):
                client.send(f"{sender} {i}")

        senders = [Background(lambda n=n: send(n)) for n in range(8)]  # type: ignore[misc]
        seen: dict[str, list[str]] = {str(n): [] for n in range(8)}
        for _ in range(8000):
            sender, i = str(own.recv()).split()
            seen[sender].append(i)
        for thread in senders:
            thread.result()
        assert set(map(tuple, seen.values())) == {tuple(map(str, range(1000)))}


def test_senders_against_close(server: Server) -> None:
    clients = [server.connect(str(i), "u") for i in range(10)]
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def send() -> None:
        own: Counter[str] = Counter()
        while not server.hub.closed:
            client = random.choice(clients)[0]
            try:
                client.send("x" * random.choice([1, 100, 20_000]))
                own["queued"] += 1
            except wssend.ChannelFull:
                own["full"] += 1
            except wssend.ChannelClosed:
                own["closed"] += 1
        with lock:
            outcomes.update(own)

    threads = [Background(send) for _ in range(6)]
    readers = [
        Background(lambda own=own: read_all(own, []))  # type: ignore[misc]
        for _, own in clients[:5]
    ]
    for client, _ in clients:
        time.sleep(SECONDS / 10)
        client.close()
    server.hub.close(timeout=0.2)
    for thread in threads:
        thread.result()
    stats = server.hub.stats()
    assert stats.accepted == outcomes["queued"]
    assert stats.refused_full == outcomes["full"]
    assert stats.refused_closed == outcomes["closed"]
    assert stats.accepted == stats.written + stats.lost
    for _, own in clients:
        own.socket.shutdown(socket.SHUT_RDWR)  # ends the readers' waits
    for reader in readers:
        reader.result()


def test_everything_at_once_and_the_hub_closes(server: Server) -> None:
    stop = threading.Event()
    events: list[wssend.Event] = []

    def close_some() -> None:
        for client in server.hub.clients():
            if random.random() < 0.05:
                client.close(4000)

    def until_stopped(job: str) -> None:
        calls: dict[str, Callable[[], object]] = {
            "broadcast": lambda: server.hub.broadcast("x", exclude=["1", "2"]),
            "publish": lambda: server.hub.publish("t", b"y"),
            "to user": lambda: server.hub.send_to_user("u", "z"),
            "by id": lambda: server.hub.send(str(random.randrange(20)), "i"),
            "look": lambda: [
                (repr(c), c.state.setdefault("n", 0), c.topics)
                for c in server.hub.clients()
            ],
            "get": lambda: server.hub.get(str(random.randrange(20))),
            "stats": lambda: server.hub.stats(),
            "subscribe": lambda: [
                random.choice([c.subscribe, c.unsubscribe])("t")
                for c in server.hub.clients()
            ],
            "close": close_some,
        }
        while not stop.is_set():
            with suppress(wssend.WSSendError):
                calls[job]()
            if job in ("close", "look"):
                time.sleep(0.002)

    def connect(n: int) -> None:
        while not stop.is_set():
            with suppress(OSError, AssertionError, Gone):
                own = Client(server.url, f"/?id={n}&user=u")
                own.send("hello")
                time.sleep(0.01)
                own.close()

    def take() -> None:
        for event in server.hub.events():
            events.append(event)
            if isinstance(event, wssend.Connected):
                event.client.state["seen"] = True

    jobs = [
        "broadcast",
        "publish",
        "to user",
        "by id",
        "look",
        "get",
        "stats",
        "subscribe",
        "close",
    ]
    threads = [Background(lambda j=j: until_stopped(j)) for j in jobs]  # type: ignore[misc]
    threads += [Background(lambda n=n: connect(n)) for n in range(6)]  # type: ignore[misc]
    consumer = Background(take)
    time.sleep(SECONDS)
    server.hub.close(timeout=1)
    stop.set()
    for thread in [*threads, consumer]:
        thread.result()
    stats = server.hub.stats()
    assert (stats.clients, stats.closing, stats.queued) == (0, 0, 0)
    assert stats.accepted == stats.written + stats.lost
    lives: dict[wssend.WSClient, list[str]] = {}
    for event in events:
        assert not isinstance(event, wssend.Authorize)
        lives.setdefault(event.client, []).append(type(event).__name__)
    for life in lives.values():
        assert life[0] == "Connected"
        assert life[-1] == "Disconnected"
        assert set(life[1:-1]) <= {"Message"}


def test_a_broadcast_tries_each_client_once_while_others_come_and_go(
    server: Server,
) -> None:
    seen: list[str | bytes] = []
    _, own = server.connect("steady")
    reader = Background(lambda: read_all(own, seen))
    stop = threading.Event()

    def come_and_go(n: int) -> None:
        while not stop.is_set():
            with (
                suppress(OSError, AssertionError, Gone),
                Client(server.url, f"/?id={n}") as other,
            ):
                other.leave()

    threads = [Background(lambda n=n: come_and_go(n)) for n in range(4)]  # type: ignore[misc]
    sent: list[str] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = str(len(sent))
        report = server.hub.broadcast(text)
        if "steady" in report.full_ids:
            time.sleep(0.005)
        else:
            sent.append(text)
    stop.set()
    for thread in threads:
        thread.result()
    until(lambda: len(seen) == len(sent))
    own.socket.shutdown(socket.SHUT_RDWR)  # ends the reader's wait
    reader.result()
    assert seen == sent


def test_one_object_for_each_connection_whoever_asks(server: Server) -> None:
    server.dial("a")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            one = there(server.hub.get("a"))
            assert one is server.hub.get("a") is server.hub.clients()[0]
            del one

    threads = [Background(ask) for _ in range(6)]
    time.sleep(SECONDS)
    stop.set()
    for thread in threads:
        thread.result()


def test_waits_against_close(server: Server) -> None:
    client, _ = server.stalled("a")
    waits = [Background(lambda: server.hub.flush()) for _ in range(3)]
    waits += [Background(lambda: client.flush()) for _ in range(3)]
    time.sleep(0.1)
    server.hub.close(timeout=0)
    for wait in waits[:3]:
        wait.result()
    for wait in waits[3:]:
        with pytest.raises(wssend.ChannelClosed):
            wait.result()
