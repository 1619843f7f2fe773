"""Memory and descriptors run out: an exception that says so, and nothing more."""

from __future__ import annotations

import resource
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from kit import Process, make_pair, run_script
from wsclient import Client, Gone

needs_testcapi = pytest.mark.skipif(
    find_spec("_testcapi") is None, reason="this Python has no _testcapi"
)

PRELUDE = """
import _testcapi, gc, warnings
import wssend
from kit import serving, there, until
from wsclient import Client

def fails(job, *args):
    "Call job with the first, the second, ... allocation failing, until none does."
    n = failed = 0
    while True:
        try:
            _testcapi.set_nomemory(n, n + 1)
            job(*args)
        except MemoryError:
            failed += 1
        except wssend.WSSendError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        # Only a call that allocates less than n times is past the failures.
        if n > 60 and n > failed + 20:
            return
        n += 1
        assert n < 2000

warnings.simplefilter("ignore", ResourceWarning)
with serving(send_queue=10) as server:
    hub = server.hub
    client, own = server.connect("a", "u")
    stalled, _ = server.stalled("full")
    gone, _ = server.connect("gone")
    gone.close()
    view = memoryview(bytearray(100))
"""

JOBS = {
    "send": "client.send('x')",
    "send bytes": "client.send(view, text=True)",
    "full": "stalled.send('x')",
    "closed": "gone.send('x')",
    "too large": "client.send(bytes(2000000))",
    "not found": "hub.send('nobody', 'x')",
    "broadcast": "hub.broadcast('x', exclude=['a', client])",
    "publish": "hub.publish('t', 'x')",
    "get": "hub.get('full')",
    "clients": "hub.clients()",
    "stats": "client.stats(); hub.stats()",
    "attributes": "(client.id, client.remote, client.topics, repr(client), repr(hub))",
    "topics": "client.subscribe('t'); client.topics; client.unsubscribe('t')",
    "prepared": "wssend.PreparedMessage('x' * 100)",
    "a hub": "wssend.WSHub(origins=['https://x.y'], subprotocols=['a'], id_query='q')",
    "flush": "client.flush(1)",
    "close": "gone.close(4000, 'x')",
    "pages": "hub.add_page('/', 'text/plain', 'x')",
    "listen": "hub.listen('127.0.0.1', 0).close()",
    "listen with TLS": "hub.listen('127.0.0.1', 0, tls_cert=PEM).close()",
    "reload": "secure.reload_tls(tls_cert=PEM)",
    "events": "hub.events(0).close()",
    "decisions": "wssend.Accept(user='u', topics=['t'], headers={'A': 'b'}); "
    "wssend.Reject(401, 'x', [('A', 'b'), ('Content-Type', 'x')])",
}


@needs_testcapi
@pytest.mark.parametrize("what", JOBS)
def test_a_call_fails_cleanly(what: str, tmp_path: Path) -> None:
    code = f"def job():\n    {JOBS[what]}\nfails(job)\n"
    if "PEM" in code:
        pair = make_pair(tmp_path, "pair")
        code = (
            f"PEM = {str(pair.both)!r}\n"
            f"secure = hub.listen('127.0.0.1', 0, tls_cert=PEM)\n{code}"
        )
    run_script(PRELUDE + textwrap.indent(code, "    "))


@needs_testcapi
def test_a_handshake_is_never_lost_and_decided_on_once() -> None:
    run_script(
        PRELUDE.partition("warnings.simplefilter")[0]
        + """
from wsclient import Asker

def persist(call):
    "What it returns once it has memory."
    n = 0
    while True:
        try:
            _testcapi.set_nomemory(n, n + 1)
            return call()
        except MemoryError:
            n += 1
        finally:
            _testcapi.remove_mem_hooks()

decisions = [
    lambda h: h.accept(user="u", id="a", topics=["t"], headers={"A": "b"}),
    lambda h: h.reject(401, "x", {"A": "b", "Content-Type": "c"}),
    lambda h: h.decide(wssend.Accept(topics=["t"], headers={"A": "b"})),
    lambda h: h.decide(wssend.Reject(close_code=4000)),
]
with wssend.WSHub(authorize=True, close_timeout=2) as hub:
    listener = hub.listen("127.0.0.1", 0)
    for decide in decisions:
        asker = Asker(listener.url, headers=[("Sec-WebSocket-Protocol", "a, b")])
        until(lambda: hub.stats().handshakes == 1)
        events = hub.events(10)
        event = persist(lambda: next(events))
        while type(event) is not wssend.Authorize:
            event = persist(lambda: next(events))
        handshake = event.handshake
        persist(lambda: (handshake.request, handshake.subprotocols, repr(handshake)))
        assert persist(lambda: decide(handshake))
        until(lambda: hub.stats().handshakes == 0)
        assert asker._read_head().startswith("HTTP/1.1 ")
        events.close()
        asker.close()
    assert hub.stats().joined == 2
"""
    )


@needs_testcapi
def test_no_event_is_lost() -> None:
    run_script(
        PRELUDE.partition("warnings.simplefilter")[0]
        + """
with serving() as server:
    for text in ("x" * 50, b"y" * 50):
        # The iterator first: the clients are announced to it one by one.
        events = server.hub.events(5)
        own = server.dial(type(text).__name__)
        got = []
        for n in range(40):
            own.send(text)
        own.leave()
        until(lambda: server.hub.stats().closing == 0)
        n = 0
        while len(got) < 42:
            event = None
            try:
                _testcapi.set_nomemory(n, n + 1)
                event = next(events)
            except MemoryError:
                n += 1
            finally:
                _testcapi.remove_mem_hooks()
            if event is not None:
                got.append(event)
                n = 0
        kinds = [type(event).__name__ for event in got]
        assert kinds == ["Connected"] + ["Message"] * 40 + ["Disconnected"], kinds
        assert {event.data for event in got[1:-1]} == {text}
        events.close()
"""
    )


@pytest.mark.slow  # a sanitizer takes more memory than the limit leaves
def test_a_copy_for_which_there_is_no_memory() -> None:
    run_script("""
import resource
import wssend
from kit import serving

with serving(send_queue_bytes=1 << 30) as server:
    client, own = server.connect("a", "u")
    data = bytearray(100_000_000)
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 50_000_000, -1))
    calls = [
        lambda: client.send(data),
        lambda: server.hub.send("a", data),
        lambda: server.hub.broadcast(data),
        lambda: server.hub.send_to_user("u", data),
        lambda: wssend.PreparedMessage(data),
        lambda: server.hub.add_page("/", "text/plain", data),
    ]
    for call in calls:
        try:
            call()
        except MemoryError:
            pass
        else:
            raise AssertionError
    assert client.stats().refused_nomem == 4
    assert client.stats().attempted == 4
    client.send("small")
    assert own.recv() == "small"
""")


SHORT_OF_MEMORY = """
import ctypes, sys
import wssend

ctypes.CDLL(None).mallopt(-8, 1)  # one heap for all: none in reserve
hub = wssend.WSHub(id_query="id", send_queue_bytes=8 << 20, ping_interval=None)
print(hub.listen("127.0.0.1", 0).url, flush=True)
data = bytes(50_000)
sent = failed = 0
clients = []
reserve = bytearray(1_000_000)

def fill():
    global sent, failed, reserve
    for client in clients:
        try:
            for _ in range(40):
                client.send(data)
                sent += 1
        except MemoryError:
            failed += 1
    reserve = None  # for Python itself
    assert sent > 0 and failed > 0

def account():
    s = hub.stats()
    assert s.accepted == s.written + s.queued + s.dropped + s.lost
    assert (s.accepted, s.refused_nomem) == (sent, failed)

def greet():
    global sent
    hub.send("new", "welcome")
    sent += 1

jobs = {
    "gather": lambda: clients.extend(hub.clients()),
    "fill": fill,
    "account": account,
    "greet": greet,
    "close": lambda: hub.close(timeout=0),
}
for line in sys.stdin:
    jobs[line.strip()]()
    print("done", flush=True)
"""


@pytest.mark.slow  # a sanitizer takes more memory than the limit leaves
def test_a_server_short_of_memory_refuses_and_recovers() -> None:
    clients = []
    with Process(SHORT_OF_MEMORY) as server:
        url = server.read()

        def ask(job: str) -> None:
            server.write(job)
            assert server.read() == "done"

        def connect(name: str) -> Client:
            clients.append(Client(url, f"/?id={name}", receive_buffer=4096))
            return clients[-1]

        for number in range(20):
            connect(f"before{number}")
        ask("gather")
        with open(f"/proc/{server.pid}/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        tight = (size + 8_000_000, resource.RLIM_INFINITY)
        loose = resource.prlimit(server.pid, resource.RLIMIT_AS, tight)
        ask("fill")
        refused = 0
        while refused < 10:
            assert len(clients) < 5000
            try:
                connect(f"tight{len(clients)}")
            except (Gone, AssertionError):  # cut, or answered 503
                refused += 1

        resource.prlimit(server.pid, resource.RLIMIT_AS, loose)
        ask("account")
        for client in clients:
            client.close()
        new = connect("new")
        ask("greet")
        assert new.recv() == "welcome"
        new.close()
        ask("account")
        ask("close")
        server.end(logged="wssend: libwebsockets: .* OOM.*|wssend: .* held back")


def test_descriptors_run_out() -> None:
    run_script("""
import errno, os, resource
import wssend
from wsclient import Client

hub = wssend.WSHub()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
spare = []

def exhaust():
    try:
        while True:
            spare.append(os.dup(0))
    except OSError as error:
        assert error.errno == errno.EMFILE

def expect_emfile(call, *args):
    try:
        call(*args)
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    else:
        raise AssertionError

exhaust()
expect_emfile(wssend.WSHub)
expect_emfile(hub.listen, "127.0.0.1", 0)
for fd in spare:
    os.close(fd)
listener = hub.listen("127.0.0.1", 0)
with Client(listener.url) as client:
    hub.broadcast("none the worse")
    assert client.recv() == "none the worse"
hub.close(timeout=0)
""")
