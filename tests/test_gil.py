"""A thread that holds the GIL for seconds delays nothing that the pump does."""

from __future__ import annotations

import time

import pytest
from kit import Process
from wsclient import PING, PONG, TEXT, Client, Frame

pytestmark = pytest.mark.slow

HOLD = 2.5  # seconds
SOON = 0.4  # seconds within which all must happen: the GIL is held far longer

SERVER = """
import ctypes, sys, threading, time
import wssend

hold = float(sys.argv[1])
hub = wssend.WSHub(ping_interval=0.2, ping_timeout=5, send_queue=10000)
listener = hub.listen("127.0.0.1", 0)
events = hub.events()
print(listener.url, flush=True)
client = next(events).client
sys.stdin.readline()
if sys.argv[2] == "queued":
    for i in range(100):
        client.send(f"{i}" + " " * 10000)
elif sys.argv[2] == "close":
    client.close(4000)

# PyDLL keeps the GIL during the call: no other Python thread can run.
usleep = ctypes.PyDLL(None).usleep
ticks = []
threading.Thread(
    target=lambda: [ticks.append(time.monotonic()) or time.sleep(0.01)
                    for _ in range(int(hold * 100))],
    daemon=True,
).start()
time.sleep(0.05)
began = time.monotonic()
print("held", flush=True)
usleep(int(hold * 1e6))
ended = time.monotonic()
assert ended - began >= hold
assert not [t for t in ticks if began + 0.1 < t < ended - 0.1], "the GIL was free"
print("given back", flush=True)
hub.close(timeout=1)
"""


class Holding:
    """A server in another process, whose GIL is held until ``end``."""

    def __init__(self, what: str) -> None:
        self.process = Process(SERVER, str(HOLD), what)
        self.client = Client(self.process.read(), receive_buffer=4096)
        self.process.write("go")
        assert self.process.read() == "held"
        self.began = time.monotonic()

    def end(self) -> None:
        assert time.monotonic() - self.began < HOLD - 0.5, "too late to tell"
        assert self.process.read() == "given back"
        self.client.close()
        self.process.end()


def test_pings_are_answered_and_sent() -> None:
    server = Holding("nothing")
    with server.process:
        server.client.send_frame(PING, b"are you there?")
        pings = 0
        while (frame := server.client.recv_frame()) != Frame(PONG, b"are you there?"):
            assert frame.opcode == PING
            pings += 1
        assert time.monotonic() - server.began < SOON
        while pings < 3:
            frame = server.client.recv_frame()
            assert frame.opcode == PING
            server.client.send_frame(PONG, frame.payload)
            pings += 1
        assert time.monotonic() - server.began < SOON + 1
        server.end()


def test_queued_messages_go_out() -> None:
    server = Holding("queued")
    with server.process:
        got = 0
        while got < 100:
            frame = server.client.recv_frame()
            if frame.opcode == TEXT:
                assert frame.payload.startswith(f"{got} ".encode())
                got += 1
        assert time.monotonic() - server.began < SOON
        server.end()


@pytest.mark.parametrize("who", ["here", "there"])
def test_a_close_is_carried_out(who: str) -> None:
    server = Holding("close" if who == "there" else "nothing")
    with server.process:
        if who == "there":
            assert server.client.answer_close().code == 4000
        else:
            server.client.leave(4321)
        assert time.monotonic() - server.began < SOON
        server.end()


def test_others_can_still_connect() -> None:
    server = Holding("nothing")
    with server.process:
        url = "ws://{}:{}/".format(*server.client.socket.getpeername())
        with Client(url) as other:
            other.send("for later")
            other.leave()
        assert time.monotonic() - server.began < SOON
        server.end()
