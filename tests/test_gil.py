"""A thread that holds the GIL delays nothing that the pump does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kit import Process
from wsclient import PING, PONG, TEXT, Client, Frame

SOON = 8.0  # seconds; whatever needed the GIL would not happen at all

SERVER = """
import ctypes, os, sys, threading, time
import wssend

hub = wssend.WSHub(ping_interval=0.2, ping_timeout=5, send_queue=10000)
listener = hub.listen("127.0.0.1", 0)
events = hub.events()
print(listener.url, flush=True)
client = next(events).client
sys.stdin.readline()
if sys.argv[1] == "queued":
    for i in range(100):
        client.send(f"{i}" + " " * 10000)
elif sys.argv[1] == "close":
    client.close(4000)

ticks = []
def tick():
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()

# PyDLL keeps the GIL during the call: no other Python thread can run until the
# test has written a byte.
read = ctypes.PyDLL(None).read
print("held", flush=True)
began = time.monotonic()
read(0, ctypes.create_string_buffer(1), 1)
ended = time.monotonic()
assert not [t for t in ticks if began + 0.05 < t < ended - 0.05], "the GIL was free"
hub.close(timeout=1)
"""


@contextmanager
def holding(what: str) -> Iterator[Client]:
    """A client of a server in another process that holds its GIL all the time."""
    with (
        Process(SERVER, what) as server,
        Client(server.read(), receive_buffer=4096) as client,
    ):
        server.write("go")
        assert server.read() == "held"
        began = time.monotonic()
        yield client
        time.sleep(max(0.0, began + 0.2 - time.monotonic()))
        server.write("enough")
        client.close()
        server.end()


def next_ping(client: Client) -> float:
    """Answer the next ping; return when it came."""
    frame = client.recv_frame()
    assert frame.opcode == PING
    client.send_frame(PONG, frame.payload)
    return time.monotonic()


def ask(client: Client, payload: bytes) -> float:
    """Send a ping; return how long its answer took."""
    began = time.monotonic()
    client.send_frame(PING, payload)
    while (frame := client.recv_frame()) != Frame(PONG, payload):
        assert frame.opcode == PING
        client.send_frame(PONG, frame.payload)
    return time.monotonic() - began


def test_pings_are_answered_and_sent() -> None:
    with holding("nothing") as client:
        assert ask(client, b"are you there?") < SOON
        times = [next_ping(client) for _ in range(4)]
        assert times[-1] - times[0] < 0.6 + SOON


def test_queued_messages_go_out() -> None:
    with holding("queued") as client:
        began = time.monotonic()
        got = 0
        while got < 100:
            frame = client.recv_frame()
            if frame.opcode == TEXT:
                assert frame.payload.startswith(f"{got} ".encode())
                got += 1
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize("who", ["here", "there"])
def test_a_close_is_carried_out(who: str) -> None:
    with holding("close" if who == "there" else "nothing") as client:
        began = time.monotonic()
        if who == "there":
            assert client.answer_close().code == 4000
        else:
            client.leave(4321)
        assert time.monotonic() - began < SOON


def test_others_can_connect_and_leave() -> None:
    with holding("nothing") as client:
        began = time.monotonic()
        host, port = client.socket.getpeername()
        with Client(f"ws://{host}:{port}/") as other:
            other.send("for later")
            other.leave()
        assert time.monotonic() - began < SOON


@pytest.mark.slow
def test_ten_seconds_are_as_good_as_one() -> None:
    with holding("nothing") as client:
        end = time.monotonic() + 10
        n = 0
        while time.monotonic() < end:
            n += 1
            assert ask(client, str(n).encode()) < SOON
            time.sleep(0.05)
        assert n > 50
