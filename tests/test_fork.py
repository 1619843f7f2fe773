"""What a forked child may do with the hubs of its parent.

Everything runs in a process of its own: pytest's has threads that a fork would
break. The child reports by its exit status, so that nothing hides a failure.
"""

from __future__ import annotations

import pytest
from kit import run_script

pytestmark = pytest.mark.forks

PRELUDE = """
import gc, os, signal, sys, threading, time, traceback, warnings
import wssend
from kit import serving, until
from wsclient import Client, Gone
warnings.simplefilter("ignore", DeprecationWarning)  # "process is multi-threaded"
warnings.filterwarnings("ignore", "unclosed <socket")  # the clients' own ends

def fork(child):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(10)
            child()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid

def reap(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def expect_closed(call, *args):
    try:
        call(*args)
    except wssend.HubClosed as error:
        text = str(error)
        assert f"process {os.getppid()};" in text, text
        assert f"process {os.getpid()}," in text, text
    else:
        raise AssertionError(f"{call} does not raise")
"""


def run(code: str) -> str:
    return run_script(PRELUDE + code)


def test_a_hub_that_never_listened_is_made_anew() -> None:
    run("""
hub = wssend.WSHub(send_queue=1, id_query="id")
hub.add_page("/page", "text/plain", "still here")
hub.fileno()

def child():
    listener = hub.listen("127.0.0.1", 0)
    with Client(listener.url, "/?id=a") as own:
        events = hub.events(5)
        event = next(events)
        assert event.client is hub.get("a")
        hub.broadcast("x")
        assert own.recv() == "x"
        hub.close(timeout=0)

reap(fork(child))
child()  # and so does the parent's
""")


def test_its_pages_and_options_are_kept() -> None:
    run("""
import urllib.request
hub = wssend.WSHub(send_queue_bytes=10)
hub.add_page("/page", "text/plain", "still here")

def child():
    listener = hub.listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listener.port}/page"
    with urllib.request.urlopen(address, timeout=5) as response:
        assert response.read() == b"still here"
    try:
        hub.broadcast("x" * 11)
    except wssend.MessageTooLarge:
        pass
    else:
        raise AssertionError
    hub.close()

reap(fork(child))
""")


def test_one_that_listened_belongs_to_its_process() -> None:
    run("""
with serving() as server:
    hub, listener = server.hub, server.listener
    client, own = server.connect("a", "u")
    client.subscribe("t")
    events = hub.events(0)
    message = wssend.PreparedMessage("x")

    def child():
        for call, *args in [
            (hub.send, "a", "x"), (hub.send_to_user, "u", "x"),
            (hub.broadcast, message), (hub.publish, "t", "x"),
            (hub.get, "a"), (hub.clients,), (len, hub), (hub.__contains__, "a"),
            (hub.stats,), (hub.flush, 1), (hub.close_user, "u"),
            (hub.add_page, "/", "text/plain", ""), (hub.fileno,),
            (hub.events,), (next, events), (hub.listen, "127.0.0.1", 0),
            (hub.__enter__,),
            (client.send, "x"), (wssend.send, client, "x"), (client.flush, 1),
            (client.close,), (client.subscribe, "u"), (client.unsubscribe, "t"),
            (client.stats,), (getattr, client, "topics"),
        ]:
            expect_closed(call, *args)
        assert hub.closed and client.closed and listener.closed
        assert (client.id, client.user, client.close_code) == ("a", "u", 1006)
        assert client.request.query == "id=a&user=u"
        client.state["x"] = 1
        repr((hub, client, listener))
        hub.close()
        listener.close()
        events.close()

    reap(fork(child))
    assert client.state == {}
    hub.broadcast("the parent's is none the worse")
    assert own.recv() == "the parent's is none the worse"
    assert not client.closed
""")


def test_a_child_drops_everything_without_harm() -> None:
    run("""
def make():
    hub = wssend.WSHub(id_query="id")
    listener = hub.listen("127.0.0.1", 0)
    own = Client(listener.url, "/?id=a")
    hub.get("a").state["hub"] = hub
    hub.broadcast("unread")
    return [hub, listener, own, hub.get("a"), hub.events(0), wssend.WSHub()]

things = make()

def child():
    things.clear()
    gc.collect()
    with wssend.WSHub(id_query="id") as hub:
        listener = hub.listen("127.0.0.1", 0)
        with Client(listener.url, "/?id=a") as own:
            hub.send("a", "a hub of the child's own")
            assert own.recv() == "a hub of the child's own"

reap(fork(child))
assert things[2].recv() == "unread"
things[0].close(timeout=0)
""")


def test_a_child_that_exits_in_the_ordinary_way_closes_nothing() -> None:
    run("""
with serving() as server:
    client, own = server.connect()
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        sys.stdout.flush()
        sys.exit(0)  # through the context manager, and atexit
    reap(pid)
    client.send("still open")
    assert own.recv() == "still open"
""")


def test_a_child_does_not_hold_the_parents_ports_and_connections() -> None:
    run("""
import socket
read, write = os.pipe()
with serving() as server:
    client, own = server.connect()
    pid = fork(lambda: os.read(read, 1))
    server.hub.close(timeout=0)
    try:
        own.recv_close()
        own.recv_frame()
    except Gone:
        pass
    port = server.listener.port
with wssend.WSHub() as hub:
    hub.listen("127.0.0.1", port)
os.write(write, b"x")
reap(pid)
""")


@pytest.mark.parametrize("listening", [True, False])
def test_forks_in_the_middle_of_everything(listening: bool) -> None:
    run(f"""
sys.setswitchinterval(1e-5)
hub = wssend.WSHub(id_query="id", send_queue=100000)
clients = []
if {listening}:
    listener = hub.listen("127.0.0.1", 0)
    owns = [Client(listener.url, f"/?id={{i}}") for i in range(20)]
    clients = hub.clients()
stop = threading.Event()

def busy():
    while not stop.is_set():
        try:
            hub.broadcast("x" * 100, exclude=["1"])
            hub.stats()
            hub.clients()
            for client in clients:
                client.send("y")
        except wssend.ChannelFull:
            pass

threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()

def child():
    if {listening}:
        expect_closed(hub.broadcast, "x")
        for client in clients:
            expect_closed(client.send, "x")
    else:
        hub.broadcast("x")
        hub.stats()
        hub.close()
    with wssend.WSHub() as own_hub:
        own_hub.listen("127.0.0.1", 0)

for _ in range(20):
    reap(fork(child))
stop.set()
for thread in threads:
    thread.join()
hub.close(timeout=0)
""")


def test_a_grandchild_is_told_the_process_that_has_the_hub() -> None:
    run("""
with serving() as server:
    grandparent = os.getpid()

    def grandchild():
        try:
            server.hub.broadcast("x")
        except wssend.HubClosed as error:
            assert f"process {grandparent};" in str(error)
        else:
            raise AssertionError

    reap(fork(lambda: reap(fork(grandchild))))
""")


def test_a_hub_that_was_closed_before_stays_closed() -> None:
    run("""
hub = wssend.WSHub()
hub.close()

def child():
    try:
        hub.broadcast("x")
    except wssend.HubClosed as error:
        assert str(error) == "the hub is closed"
    else:
        raise AssertionError

reap(fork(child))
""")


def test_waiting_for_events_in_a_child() -> None:
    run("""
hub = wssend.WSHub()
events = hub.events(0.1)

def child():
    assert list(events) == []

reap(fork(child))
assert list(events) == []
""")


def test_a_child_takes_events_though_a_thread_of_the_parent_waits_for_them() -> None:
    run("""
hub = wssend.WSHub()
events = hub.events()
threading.Thread(target=lambda: list(events), daemon=True).start()

def is_waiting():
    try:
        hub.events()
    except RuntimeError:
        return True

until(is_waiting)

def child():
    listener = hub.listen("127.0.0.1", 0)
    with Client(listener.url):
        assert isinstance(next(hub.events(5)), wssend.Connected)
        hub.close(timeout=0)

reap(fork(child))
hub.close()
""")


@pytest.mark.parametrize("call", ["hub.flush(5)", "client.flush(5)", "hub.close()"])
def test_a_signal_handler_that_forks_during_a_wait_leaves_no_child_behind(
    call: str,
) -> None:
    run(f"""
with serving() as server:
    hub = server.hub
    client, own = server.stalled()
    me, children = os.getpid(), []

    def handler(*_):
        pid = os.fork()
        if pid:
            children.append(pid)
        else:
            signal.alarm(10)  # ends a child that hangs

    signal.signal(signal.SIGUSR1, handler)
    threading.Timer(0.2, os.kill, (me, signal.SIGUSR1)).start()
    status = 0
    try:
        {call.replace("close()", "close(timeout=1)").replace("(5)", "(1)")}
    except TimeoutError:
        status = 1  # the parent's
    except wssend.HubClosed:
        status = 2
    if os.getpid() != me:
        os._exit(0 if status == (0 if "close" in {call!r} else 2) else 3)
    assert status == (0 if "close" in {call!r} else 1), status
    reap(children[0])
""")
