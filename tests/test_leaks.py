"""Each entry point, called thousands of times, leaves no byte behind.

In a process of its own, whose every allocation goes through malloc and one
arena, so that what is in use is known exactly.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from kit import run_script

pytestmark = pytest.mark.slow

ENV = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",  # a cache is not a leak
    "PYTHONHASHSEED": "0",
}

PRELUDE = """
import contextlib, ctypes, gc, sys, time, warnings
import wssend
from kit import serving, there, until
from wsclient import Client, Gone, trusting
warnings.filterwarnings("ignore", "unclosed")

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
        "uordblks", "fordblks", "keepcost")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info

def in_use():
    gc.collect()
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd

def raises(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind:
        return
    raise AssertionError(call)

def measure(job, rounds):
    # Caches fill for a while. A leak grows in each window, nothing else does.
    grown = []
    while not grown or grown[-1] >= 4 * rounds:
        before = settled()
        for _ in range(rounds):
            job()
        grown.append(settled() - before)
        assert len(grown) < 12, f"after each {rounds} rounds, bytes: {grown}"

def settled():
    # The pump works on its own: the lowest of several readings counts.
    return min(in_use() for _ in range(5) if time.sleep(0.005) is None)

"""

OPEN = """
with serving(send_queue=1000, send_queue_bytes=100000) as server:
    hub = server.hub
    client, own = server.connect("a", "u")
    stalled, _ = server.stalled("full", "v")
    client.subscribe("t")
    gone, its_end = server.connect("gone")
    gone.close()
    prepared = wssend.PreparedMessage("x")
    def drain():
        while client.stats().queued or client.stats().written < client.stats().accepted:
            time.sleep(0.001)
        own.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while own.socket.recv(1 << 20): pass
"""

# Jobs with clients that are open, full and gone.
JOBS = {
    "send": "client.send('x'); client.send(b'y', text=True); client.send(prepared); "
    "client.send(bytearray(100)); drain()",
    "a large send": "client.send(bytes(50000)); drain()",
    "module send": "wssend.send(client, 'x'); drain()",
    "full": "raises(wssend.ChannelFull, stalled.send, bytes(9000))",
    "full by id": "raises(wssend.ChannelFull, hub.send, 'full', bytes(9000))",
    "closed": "raises(wssend.ChannelClosed, gone.send, 'x')",
    "too large": "raises(wssend.MessageTooLarge, client.send, bytes(100001))",
    "wrong type": "raises(TypeError, client.send, None)",
    "wrong keyword": "raises(TypeError, client.send, b'', what=1)",
    "wrong text": "raises(TypeError, client.send, b'', text=1)",
    "bad utf-8": "raises(UnicodeDecodeError, client.send, b'\\xff', text=True)",
    "bad str": "raises(UnicodeEncodeError, client.send, '\\ud800')",
    "bad view": "raises(BufferError, client.send, memoryview(b'123')[::2])",
    "not found": "raises(wssend.ClientNotFound, hub.send, 'nobody', 'x')",
    "none": "raises(wssend.ClientNotFound, wssend.send, None, 'x')",
    "by id": "hub.send('a', 'x'); drain()",
    "broadcast": "hub.broadcast('x' * 9000); drain()",
    "broadcast excluding": "hub.broadcast('x', exclude=[client, 'full', 'no']); "
    "hub.broadcast('x', exclude=iter(['a', 'full'])); drain()",
    "broadcast wrongly": "raises(TypeError, hub.broadcast, 'x', ['a', client, 7]); "
    "raises(TypeError, hub.broadcast, 'x', 'a')",
    "broadcast too large": "raises(wssend.MessageTooLarge, hub.broadcast, "
    "bytes(100001))",
    "publish": "hub.publish('t', prepared); drain()",
    "to user": "hub.send_to_user('u', 'x'); "
    "hub.send_to_user('v', bytes(9000)); drain()",
    "prepared": "wssend.PreparedMessage('x' * 100); len(prepared); repr(prepared); "
    "raises(UnicodeDecodeError, wssend.PreparedMessage, b'\\xff', text=True)",
    "get": "hub.get('a'); hub.get('nobody'); hub.get('full')",
    "clients": "hub.clients(); hub.clients('u'); len(hub); 'a' in hub; client in hub",
    "attributes": "(client.id, client.user, client.remote, client.peer, client.topics, "
    "client.closed, client.close_code, gone.close_code, "
    "gone.close_reason, repr(client), client.request.headers)",
    "stats": "client.stats(); hub.stats()",
    "topics": "client.subscribe('s'); client.topics; client.unsubscribe('s')",
    "wrong topics": "raises(ValueError, client.subscribe, ''); "
    "raises(wssend.ChannelClosed, gone.subscribe, 's')",
    "flush": "client.flush(); hub.flush(0) if 0 else None; "
    "raises(TimeoutError, stalled.flush, 0); raises(TimeoutError, hub.flush, 0)",
    "close again": "gone.close(4000, 'x'); raises(ValueError, gone.close, 1)",
    "close nobody": "hub.close_user('nobody')",
    "pages": "hub.add_page('/x', 'text/plain', 'x' * 100); "
    "raises(ValueError, hub.add_page, 'x', '', '')",
    "fileno": "hub.fileno()",
    "no events": "list(hub.events(0)); hub.events().close(); "
    "raises(ValueError, hub.events, -1)",
    "listen": "hub.listen('127.0.0.1', 0).close()",
    "listen wrongly": "raises(OSError, hub.listen, '127.0.0.1', "
    "server.listener.port); raises(TypeError, hub.listen); "
    "raises(OSError, hub.listen, fd=987654)",
    "listener": "(server.listener.url, server.listener.host, repr(server.listener))",
    "options": "wssend.WSHub(origins=['https://example.com'], subprotocols=['a', 'b'], "
    "trusted_proxies=['::1'], id_query='id')",
    "decisions": "wssend.Accept(user='u', topics=['t', 's'], headers={'A': 'b'}); "
    "wssend.Reject(401, 'x', [('A', 'b'), ('Content-Type', 'x')])",
    "wrong decisions": "raises(ValueError, wssend.Accept, topics=['t', '']); "
    "raises(ValueError, wssend.Reject, 403, 'x', {'A': 'b', 'C': ' '}); "
    "raises(TypeError, wssend.Reject, 403, '', [('A', 'b'), 7])",
    "wrong options": "raises(TypeError, wssend.WSHub, subprotocols=['a', 7]); "
    "raises(ValueError, wssend.WSHub, origins=['x']); "
    "raises(TypeError, wssend.WSHub, what=1)",
    "pickled errors": "import pickle; pickle.loads(pickle.dumps("
    "wssend.ChannelFull('x', client=client, queued=1)))",
}


@pytest.mark.parametrize("what", JOBS)
def test_a_call_leaves_nothing_behind(what: str) -> None:
    job = textwrap.indent(f"def job():\n    {JOBS[what]}\nmeasure(job, 200)\n", "    ")
    run_script(PRELUDE + OPEN + job, env=ENV)


DIAL = """
    def dial(client_id):
        return Client(server.url, f"/?id={client_id}")
"""

# Jobs in which connections and hubs come and go.
LIVES = {
    "a connection": """
        def job():
            own = dial("b")
            client = there(server.hub.get("b"))
            client.state["me"] = client
            client.request.headers
            client.subscribe("t")
            client.send("x")
            assert own.recv() == "x"
            own.leave()
    """,
    "a connection with events": """
        events = server.hub.events(10)
        def job():
            own = dial("b")
            assert type(next(events)) is wssend.Connected
            own.send("text"); own.send(b"bytes")
            assert next(events).data == "text"
            client = next(events).client
            client.state["me"] = client
            own.leave()
            assert type(next(events)) is wssend.Disconnected
    """,
    "a connection that breaks": """
        def job():
            own = dial("b")
            client = there(server.hub.get("b"))
            own.close()
            while not client.closed:
                time.sleep(0.001)
    """,
    "a connection that is full and cut": """
        def job():
            own = dial("b")
            client = there(server.hub.get("b"))
            try:
                while True:
                    client.send(bytes(50000))
            except wssend.ChannelFull as error:
                client.state["error"] = error
            own.close()
            while not client.closed:
                time.sleep(0.001)
    """,
    "a refused handshake": """
        server.dial("b")
        def job():
            try:
                dial("b")
            except AssertionError:
                return
            raise SystemExit("not refused")
    """,
    "a hub": """
        def job():
            with wssend.WSHub() as hub:
                with Client(hub.listen("127.0.0.1", 0).url) as own:
                    events = hub.events()
                    hub.clients()[0].state["hub"] = hub
                    hub.broadcast("x")
                    hub.close(timeout=0)
    """,
    "handshakes": """
        from wsclient import Asker
        door = wssend.WSHub(authorize=True)
        address = door.listen("127.0.0.1", 0).url
        events = door.events(10)
        def job():
            def asked():
                event = next(events)
                while type(event) is not wssend.Authorize:
                    event = next(events)
                return event.handshake
            with Asker(address) as own, Asker(address) as again:
                assert asked().accept(
                    user="u", id="a", topics=["t"], headers={"A": "b"}
                )
                assert own.opened().response
                handshake = asked()
                handshake.request, handshake.subprotocols, repr(handshake)
                raises(ValueError, handshake.accept, subprotocol="x")
                raises(TypeError, handshake.decide, 7)
                assert handshake.accept(id="a", replace=True)
                raises(RuntimeError, handshake.reject)
                again.opened()
            for decision in (
                wssend.Reject(401, "x", {"A": "b"}),
                wssend.Reject(403, "x", close_code=4403),
            ):
                with Asker(address) as own:
                    assert asked().decide(decision)
                    own._read_head()
            with Asker(address) as own:
                asked()
                own.answer()
            with Asker(address) as own:
                handshake = asked()
            until(lambda: handshake.decided)
            until(lambda: sum(door.stats().pumps) == 0)
    """,
    "TLS": """
        from pathlib import Path
        from kit import make_pair
        pair = make_pair(Path(sys.argv[1]), "pair")
        def job():
            listener = server.hub.listen(
                "127.0.0.1", 0, tls_cert=pair.both, tls_client_ca=pair.cert
            )
            listener.reload_tls()
            raises(OSError, listener.reload_tls, tls_cert="/nonexistent")
            raises(ValueError, listener.reload_tls, tls_cert=pair.key)
            raises(TypeError, listener.reload_tls, tls_cert=7)
            raises(ValueError, server.listener.reload_tls)
            raises(TypeError, server.hub.listen, port=0, tls_key=pair.key)
            context = trusting()
            raises((OSError, Gone), Client, listener.url, tls=context)
            context.load_cert_chain(pair.both)
            with Client(listener.url, tls=context) as own:
                listener.close()
                raises(ValueError, listener.reload_tls)
                own.leave()
    """,
    "a hub that nobody closes": """
        def job():
            hub = wssend.WSHub(close_timeout=0.01)
            listener = hub.listen("127.0.0.1", 0)
            with contextlib.suppress(Gone):
                with Client(listener.url) as own:
                    del hub, listener
                    gc.collect()
    """,
}


@pytest.mark.parametrize("what", LIVES)
def test_a_life_leaves_nothing_behind(what: str, tmp_path: Path) -> None:
    code = textwrap.dedent(LIVES[what])
    rounds = 10 if "nobody" in what else 40
    code = textwrap.indent(f"{code}\nmeasure(job, {rounds})\n", "    ")
    # Blocks of a connection are large: a leak of one would be seen at once.
    code = f"{PRELUDE}\nwith serving() as server:\n{DIAL}{code}"
    run_script(code, str(tmp_path), env=ENV)
