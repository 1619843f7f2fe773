"""The interpreter's exit, with everything still open."""

from __future__ import annotations

import textwrap
import time

import pytest
from kit import Process, run_script
from wsclient import Client

SERVER = """
import sys, threading, time
import wssend
hub = wssend.WSHub(close_timeout=30, send_queue=10)
listener = hub.listen("127.0.0.1", 0)
print(listener.url, flush=True)
"""


def test_clients_are_told_and_it_is_quick() -> None:
    with Process(SERVER + "sys.stdin.readline()") as server:
        client = Client(server.read())
        server.write("end")
        began = time.monotonic()
        assert client.answer_close().code == 1001
        server.end()
        assert time.monotonic() - began < 8


def test_a_client_that_does_not_answer_holds_nothing_up() -> None:
    stall = """
sys.stdin.readline()
client = hub.clients()[0]
try:
    while True:
        client.send(bytes(65536))
except wssend.ChannelFull:
    print("full", flush=True)
"""
    with Process(SERVER + stall) as server:
        client = Client(server.read(), receive_buffer=4096)
        server.write("go")
        assert server.read() == "full"
        began = time.monotonic()
        server.end()
        assert time.monotonic() - began < 8
        client.close()


# Each leaves something behind; the exit must be clean, quiet and quick.
LEFT_BEHIND = {
    "a hub that never listened": "hub = wssend.WSHub()",
    "a hub": "server()",
    "a client": "client, own = server().connect(); client.state['me'] = client",
    "a full client": "client, own = server().stalled()",
    "events": "events = server().hub.events(); own = s.dial('a'); next(events)",
    "events that nobody took": "server().hub.fileno(); own = s.dial('a')",
    "a listener": "listener = server().hub.listen('127.0.0.1', 0)",
    "things in builtins": """
        import builtins
        builtins.s = server()
        builtins.pair = s.connect()
        builtins.events = s.hub.events()
    """,
    "things in sys": "sys.things = [server(), s.connect(), s.hub.events()]",
    "a cycle": """
        client, own = server().connect()
        client.state.update(hub=s.hub, server=s, events=s.hub.events())
        own.state = client
        del client, own, s
    """,
    "things that only errors hold": """
        try:
            server().hub.close_user(7)
        except TypeError as error:
            sys.error = error
    """,
    "a thread that waits for events": """
        events = server().hub.events()
        daemon(lambda: [e for e in events])
    """,
    "a thread that flushes": """
        client, own = server().stalled()
        def flush():
            with contextlib.suppress(wssend.ChannelClosed):
                client.flush()
        daemon(flush)
        daemon(s.hub.flush)
    """,
    "a thread that closes": """
        client, own = server(close_timeout=None).stalled()
        daemon(lambda: s.hub.close(timeout=None))
    """,
    "threads that send": """
        pairs = [server().connect(), s.connect("b")]
        def send():
            while True:
                try:
                    s.hub.broadcast("x" * 100)
                    pairs[0][0].send("y")
                except wssend.HubClosed:
                    time.sleep(0.001)
                except (wssend.ChannelFull, wssend.ChannelClosed):
                    pass
        for _ in range(4):
            daemon(send)
    """,
    "threads that connect": """
        server()
        def connect():
            while True:
                try:
                    Client(s.url, "/").close()
                    s.hub.clients()
                except (OSError, Gone):
                    pass
        for _ in range(4):
            daemon(connect)
    """,
    "an exit callback that uses it": """
        import atexit
        def last():
            client.send("last words")
            assert own.recv() == "last words"
        client, own = server().connect()
        atexit.register(last)
    """,
    "a finalizer that uses it": """
        class Late:
            def __init__(self, hub, client):
                self.hub, self.client = hub, client
            def __del__(self):
                for call in (lambda: self.hub.broadcast("x"),
                             lambda: self.client.send("x"),
                             lambda: self.hub.stats(),
                             lambda: repr((self.hub, self.client)),
                             lambda: list(self.hub.events(0)),
                             lambda: self.hub.close()):
                    try:
                        call()
                    except Exception:
                        pass
        client, own = server().connect()
        late = Late(s.hub, client)
        sys.late = Late(s.hub, client)
    """,
    "many hubs": """
        hubs = [wssend.WSHub() for _ in range(20)]
        clients = [Client(hub.listen("127.0.0.1", 0).url) for hub in hubs]
    """,
    "a hub made by an exit callback": """
        import atexit
        def last():
            global late
            late = wssend.WSHub()
            late.listen("127.0.0.1", 0)
            late.close()
        atexit.register(last)
    """,
    "an exit in the middle": "server(); sys.exit(0)",
}

PRELUDE = """
import contextlib, sys, threading, time, warnings
import wssend
from kit import Server
from wsclient import Client, Gone
warnings.filterwarnings("ignore", "unclosed <socket")  # the clients' own ends

stack = contextlib.ExitStack()

def server(**options):
    global s
    # Nothing closes it: the hub leaves the stack, the stack is never closed.
    s = Server(stack, **options)
    stack.pop_all()
    return s

def daemon(job):
    threading.Thread(target=job, daemon=True).start()
    time.sleep(0.05)

"""


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_it_is_clean_whatever_is_left_behind(what: str) -> None:
    began = time.monotonic()
    run_script(PRELUDE + textwrap.dedent(LEFT_BEHIND[what]))
    assert time.monotonic() - began < 8


def test_what_runs_after_our_own_exit_callback() -> None:
    run_script("""
import atexit

def last():  # registered before the import, so that it is called after ours
    assert hub.closed
    global late
    late = wssend.WSHub()
    late.listen("127.0.0.1", 0)
    late.close()

atexit.register(last)
import wssend
hub = wssend.WSHub()
hub.listen("127.0.0.1", 0)
""")
