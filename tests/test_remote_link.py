"""The client's end: what happens when the hub's process is stuck, killed or away."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from kit import Background, Process, run_script, serving, until
from test_remote import WAIT, lawful

import wssend
from wssend import LostCall, LostMessages
from wssend.remote import link, protocol
from wssend.remote.protocol import Kind

HUB = """
import sys, wssend
with wssend.WSHub(id_query="id") as hub, wssend.expose(hub, sys.argv[1]):
    print(hub.listen("127.0.0.1", 0).url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/hub"


@contextmanager
def hub_at(address: str) -> Iterator[Process]:
    """A hub in a process of its own."""
    with Process(HUB, address) as process:
        assert process.read().startswith("ws://")
        yield process


def reached(remote: wssend.RemoteHub) -> bool:
    """Whether the hub answers now."""
    with suppress(wssend.LinkDown):
        remote.ping(WAIT)
        return True
    return False


def fill(remote: wssend.RemoteHub) -> wssend.ChannelFull:
    """Send until the link is full."""
    while True:
        try:
            remote.publish("t", "x")
        except wssend.ChannelFull as error:
            return error


def stop(process: Process) -> None:
    """Have a process stuck."""
    os.kill(process.pid, signal.SIGSTOP)
    state = Path(f"/proc/{process.pid}/stat")
    until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")


def kill(process: Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


# Down, and up again.


def test_it_is_down_while_there_is_no_hub(address: str) -> None:
    with wssend.connect(address, hold=0) as remote:
        remote.broadcast("accepted: nobody has tried yet")
        error = down(remote)
        assert "No such file or directory" in str(error)
        assert (error.code, error.client) == (None, None)
        stats = until(lambda: remote.stats() if remote.stats().lost else None)
        assert stats is not None
        assert lawful(stats)
        assert stats.refused_down >= 1
        assert stats.failure == "No such file or directory"
        with hub_at(address):
            until(lambda: reached(remote))
            assert remote.stats().failure is None


def down(remote: wssend.RemoteHub) -> wssend.LinkDown:
    """Send until the link is down."""
    while True:
        try:
            remote.broadcast("x")
        except wssend.LinkDown as error:
            return error
        time.sleep(0.002)


def test_what_is_queued_waits_for_the_hub(address: str) -> None:
    with wssend.connect(address, hold=WAIT) as remote, serving() as server:
        for number in range(10):
            with suppress(wssend.LinkDown):
                remote.publish("t", str(number))
        accepted = remote.stats().accepted
        assert accepted >= 1
        client, own = server.connect("a")
        client.subscribe("t")
        until(lambda: remote.stats().failure)
        with wssend.expose(server.hub, address):
            remote.flush(WAIT)
            assert [own.recv() for _ in range(accepted)] == [
                str(number) for number in range(accepted)
            ]


def test_it_connects_again_after_the_hub_was_killed(address: str) -> None:
    lost: list[LostMessages] = []
    with wssend.connect(address, on_lost=lost.append) as remote:
        for breaks in range(3):
            with hub_at(address) as hub:
                until(lambda: reached(remote))
                assert remote.stats().breaks == breaks
                kill(hub)
                until(lambda: not remote.stats().connected)
            down(remote)
        stats = remote.stats()
        assert (stats.connects, stats.breaks) == (3, 3)
        assert lawful(stats)


def test_a_stuck_hub_makes_the_link_full_and_blocks_nobody(address: str) -> None:
    lost: list[LostMessages] = []
    with wssend.connect(address, queue=200, on_lost=lost.append) as remote:
        with hub_at(address) as hub:
            remote.ping(WAIT)
            stop(hub)
            error = fill(remote)
            assert (error.queued, error.queued_bytes) == (200, 200)
            assert error.oldest_age >= 0
            assert str(error).startswith(f"the link to {address} is full: 200 messages")
            stats = remote.stats()
            assert (stats.unconfirmed, stats.accepted) == (200, 201)  # and the ping
            assert lawful(stats)
            in_flight = stats.in_flight
            assert in_flight >= 1
            kill(hub)
            until(lambda: lost)
        # What was on its way is reported, and what was not waits.
        stats = remote.stats()
        assert (stats.lost, stats.queued) == (lost[0].count, 200 - lost[0].count)
        assert lost[0].count >= in_flight
        assert lost[0].size == lost[0].count
        assert set(lost[0].calls) == {LostCall("publish", "t", 1)}
        assert "so it may be done" in str(lost[0])
        with hub_at(address):
            until(lambda: reached(remote))
            remote.flush(WAIT)
        stats = remote.stats()
        assert stats.unconfirmed == 0
        assert lawful(stats)


def test_payload_bytes_are_bounded_too(address: str) -> None:
    with hub_at(address) as hub, wssend.connect(address, queue_bytes=1000) as remote:
        remote.ping(WAIT)
        stop(hub)
        remote.broadcast(bytes(600))
        with pytest.raises(wssend.ChannelFull) as caught:
            remote.broadcast(bytes(600))
        assert (caught.value.queued, caught.value.queued_bytes) == (1, 600)
        remote.broadcast(bytes(400))
        kill(hub)


def test_large_messages_are_written_in_pieces(address: str) -> None:
    with (
        serving(send_queue_bytes=1 << 26) as server,
        wssend.expose(server.hub, address),
        wssend.connect(address, queue_bytes=1 << 26) as remote,
    ):
        _, own = server.connect("a")
        data = bytes(range(256)) * 4096 * 5  # more than any socket buffer
        remote.send("a", data)
        remote.send("a", "behind it")
        assert own.recv() == data
        assert own.recv() == "behind it"
        remote.flush(WAIT)


# Waiting.


def test_a_timeout_tells_whether_the_call_may_still_be_done(address: str) -> None:
    with hub_at(address) as hub, wssend.connect(address) as remote:
        remote.ping(WAIT)
        stop(hub)
        with pytest.raises(TimeoutError, match=r"within 0.05 s.* so it may still be"):
            remote.broadcast("written at once", wait=0.05)
        with pytest.raises(TimeoutError, match="was not sent, and will not be"):
            remote.broadcast("behind that", wait=0.05)
        stats = remote.stats()
        assert (stats.in_flight, stats.queued, stats.lost) == (1, 0, 1)
        assert lawful(stats)
        os.kill(hub.pid, signal.SIGCONT)
        remote.flush(WAIT)
        assert remote.stats().confirmed == 2


def test_whoever_waits_is_told_that_the_link_broke(address: str) -> None:
    with wssend.connect(address) as remote:
        with hub_at(address) as hub:
            remote.ping(WAIT)
            stop(hub)
            waits = Background(lambda: remote.broadcast("x", wait=WAIT))
            flushes = Background(lambda: remote.flush(WAIT))
            until(lambda: remote.stats().in_flight)
            kill(hub)
            with pytest.raises(wssend.LinkDown, match="sent but not confirmed"):
                waits.result(WAIT)
            with suppress(wssend.LinkDown):  # it may have come before the call
                flushes.result(WAIT)
        with pytest.raises(wssend.LinkDown):
            remote.ping(WAIT)


def test_flush_tells_what_was_lost(address: str) -> None:
    with wssend.connect(address) as remote, hub_at(address) as hub:
        remote.ping(WAIT)
        stop(hub)
        remote.broadcast("x")
        with pytest.raises(TimeoutError, match="0 calls queued and 1 in flight"):
            remote.flush(0.01)
        flush = Background(lambda: remote.flush(WAIT))
        until(lambda: remote._link._flushers)
        kill(hub)
        with pytest.raises(wssend.LinkDown, match="1 were not confirmed"):
            flush.result(WAIT)


# Servers that are none.


@contextmanager
def server_that_says(
    address: str, *says: bytes, then: Callable[[socket.socket], object] | None = None
) -> Iterator[None]:
    """Accepts one link, and says that."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address.removeprefix("unix:"))
        listening.listen()

        def serve() -> None:
            found, _ = listening.accept()
            with closing(found), suppress(OSError):
                for data in says:
                    found.sendall(data)
                while found.recv(65536):
                    pass

        thread = Background(serve)
        yield
        thread.result(WAIT)


HELLO = protocol.hello(largest=1000)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ((b"HTTP/1.1 400 Bad\r\n\r\n",), "a frame of 1213486160 bytes"),
        ((protocol.frame(Kind.PING),), "does not begin with a hello"),
        ((protocol.frame(Kind.HELLO, b"{"),), "bad JSON"),
        ((protocol.frame(Kind.HELLO, b"[]"),), "does not begin with a hello"),
        ((protocol.frame(Kind.HELLO, b'{"protocol": "wssend"}'),), "version None"),
        ((protocol.hello(),), "what is too large"),
    ],
)
def test_a_server_that_is_none_is_told_from_one(
    address: str, says: tuple[bytes, ...], why: str
) -> None:
    with (
        wssend.connect(address, hold=0) as remote,
        server_that_says(address, *says),
        pytest.raises(wssend.LinkDown, match=why),
    ):
        remote.broadcast("x", wait=WAIT)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (protocol.frame(Kind.DONE, b"short"), "a DONE of a wrong size"),
        (protocol.done(2, 0), "more was done than was sent"),
        (protocol.answer(3, {}), "more was done than was sent"),
        (protocol.done(1, 0), "it does not answer"),
        (protocol.answer(0, {}), "an answer that comes too late"),
        (protocol.frame(Kind.ANSWER, b""), "an ANSWER that is too short"),
        (protocol.frame(Kind.PUBLISH, b""), "a frame of kind 4"),
        (bytes([0, 0, 0, 1, 99]), "a frame of kind 99"),
        (bytes(5), "a frame of 0 bytes"),
    ],
)
def test_a_server_that_breaks_the_rules_is_left(
    address: str, says: bytes, why: str
) -> None:
    path = address.removeprefix("unix:")
    with (
        wssend.connect(address) as remote,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        listening.bind(path)
        listening.listen()
        call = Background(lambda: remote.broadcast("x", wait=WAIT))
        found, _ = listening.accept()
        with closing(found):
            found.sendall(HELLO)
            until(lambda: remote.stats().in_flight)
            found.sendall(says)
            with pytest.raises(wssend.LinkDown, match=why):
                call.result(WAIT)
            os.unlink(path)


# Losing, and telling.


def test_what_is_lost_is_logged_and_a_failing_on_lost_hurts_nobody(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(lost: LostMessages) -> None:
        raise ValueError("of the application's")

    with wssend.connect(address, on_lost=fail, hold=0) as remote:
        remote.publish("t", "four")
        until(lambda: "on_lost has failed" in caplog.text)
        assert "1 message, 4 bytes, lost: the link to unix:" in caplog.text
        with hub_at(address):
            until(lambda: reached(remote))


def test_on_lost_may_use_and_close_the_hub(address: str) -> None:
    told = threading.Event()

    def on_lost(lost: LostMessages) -> None:
        with suppress(wssend.LinkDown):
            remote.broadcast("x")
        remote.close()
        told.set()

    remote = wssend.connect(address, on_lost=on_lost, hold=0)
    remote.broadcast("x")
    assert told.wait(WAIT)
    until(lambda: remote.stats().unconfirmed == 0)
    assert lawful(remote.stats())


def test_closing_flushes_and_refuses(address: str) -> None:
    with serving() as server, wssend.expose(server.hub, address):
        _, own = server.connect("a")
        remote = wssend.connect(address)
        for number in range(100):
            remote.send("a", str(number))
        remote.close(WAIT)
        assert [own.recv() for _ in range(100)] == [str(n) for n in range(100)]
        for call in (lambda: remote.broadcast("x"), lambda: remote.ping(WAIT)):
            with pytest.raises(wssend.HubClosed, match=r"^the remote hub is closed$"):
                call()
        remote.close()
        assert repr(remote) == f"<RemoteHub {address}, closed>"


def test_what_is_left_over_at_a_close_is_reported(address: str) -> None:
    lost: list[LostMessages] = []
    with hub_at(address) as hub:
        remote = wssend.connect(address, on_lost=lost.append)
        remote.ping(WAIT)
        stop(hub)
        for _ in range(10):
            remote.broadcast(bytes(1 << 20))  # more than a socket takes
        remote.close(0.01)
        assert sum(each.count for each in lost) == 10
        assert {each.reason.rpartition("; ")[2] for each in lost} == {
            "not sent",
            "sent but not confirmed, so it may be done",
        }
        assert lawful(remote.stats())
        kill(hub)


def test_a_hub_that_nobody_has_any_more_still_writes_what_is_queued(
    address: str,
) -> None:
    with serving() as server, wssend.expose(server.hub, address) as exposed:
        _, own = server.connect("a")
        remote = wssend.connect(address)
        for number in range(100):
            remote.send("a", str(number))
        del remote
        gc.collect()
        assert [own.recv() for _ in range(100)] == [str(n) for n in range(100)]
        until(lambda: exposed.links == 0)
        until(lambda: all(t.name != "wssend-link" for t in threading.enumerate()))


def test_nothing_is_started_before_the_first_call(address: str) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    remote = wssend.connect(address)
    assert remote.stats().accepted == 0
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    remote.close()


def test_each_accepted_call_is_accounted_for_while_links_break(address: str) -> None:
    lost: list[LostMessages] = []
    over = threading.Event()
    seen: list[bool] = []
    counts: list[int] = []

    with wssend.WSHub() as hub:
        hub.listen("127.0.0.1", 0)
        remote = wssend.connect(address, queue=300, on_lost=lost.append, hold=0.05)

        def hammer() -> None:
            accepted = 0
            while not over.is_set():
                try:
                    remote.publish("t", "x")
                except wssend.ChannelFull:
                    time.sleep(0.001)
                except wssend.LinkDown:
                    time.sleep(0.001)
                else:
                    accepted += 1
                seen.append(lawful(remote.stats()))
            counts.append(accepted)

        threads = [Background(hammer) for _ in range(4)]
        for number in range(8):
            with wssend.expose(hub, address):
                before = remote.stats().confirmed
                until(lambda: remote.stats().confirmed > before + 200)  # noqa: B023
            if number % 2:
                until(lambda: remote.stats().failure)
        over.set()
        for thread in threads:
            thread.result(WAIT)
        remote.close(WAIT)
    stats = remote.stats()
    assert all(seen)
    assert sum(counts) == stats.accepted
    assert stats.unconfirmed == 0
    assert stats.accepted == stats.confirmed + stats.lost
    assert sum(each.count for each in lost) == stats.lost


def test_a_signals_handler_may_send_and_may_raise_anywhere(address: str) -> None:
    """Each of its calls comes in between whatever the main thread is at."""
    with serving() as server, wssend.expose(server.hub, address):
        out = run_script(
            """
import logging, signal, sys, wssend
logging.disable()  # what a raising handler has torn is lost, and reported

class Stop(Exception):
    pass

def handler(number, frame):
    global sent
    try:
        remote.publish("t", "from the handler")
    except (wssend.ChannelFull, wssend.LinkDown):
        pass
    else:
        sent += 1
    if sent % 5 == 0:
        raise Stop

lost, sent = [], 0
remote = wssend.connect(sys.argv[1], on_lost=lost.append)
remote.ping(30)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
while sent < 300:
    try:
        for _ in range(20):
            remote.publish("t", "x" * 50)
        remote.flush(30)
    except (Stop, wssend.ChannelFull, wssend.LinkDown):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
try:
    remote.flush(30)
except wssend.LinkDown:
    pass
signal.signal(signal.SIGALRM, signal.SIG_IGN)
remote.ping(30)
stats = remote.stats()
print(stats.unconfirmed, stats.connected)
""",
            address,
        )
        assert out == "0 True\n"


# Processes that end.


def test_a_script_that_ends_at_once_has_sent_everything(address: str) -> None:
    with serving(send_queue=1000) as server, wssend.expose(server.hub, address):
        _, own = server.connect("a")
        run_script(
            """
import sys, wssend
remote = wssend.connect(sys.argv[1])
for number in range(500):
    remote.send("a", str(number))
""",
            address,
        )
        assert [own.recv() for _ in range(500)] == [str(n) for n in range(500)]


def test_a_script_without_a_hub_ends_soon_and_says_what_is_lost(address: str) -> None:
    with Process(
        'import sys, wssend; wssend.connect(sys.argv[1]).publish("t", "x")', address
    ) as process:
        process.end(
            WAIT,
            logged="1 message, 1 bytes, lost: the link to unix:.* is down: .* not sent",
        )


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.forks
def test_a_child_of_multiprocessing_has_sent_everything(
    address: str, method: str
) -> None:
    with serving(send_queue=1000) as server, wssend.expose(server.hub, address):
        _, own = server.connect("a")
        run_script(
            """
import multiprocessing, sys, tempfile, os, wssend
import remote_child
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    child = context.Process(target=remote_child.push, args=(sys.argv[1],))
    child.start()
    child.join()
    assert child.exitcode == 0
""",
            address,
            method,
        )
        assert [own.recv() for _ in range(200)] == [str(n) for n in range(200)]


@pytest.mark.forks
def test_a_forked_child_has_a_link_of_its_own(address: str) -> None:
    with (
        serving(send_queue=1000) as server,
        wssend.expose(server.hub, address) as exposed,
    ):
        _, own = server.connect("a")
        run_script(
            """
import os, sys, warnings, wssend
warnings.simplefilter("ignore", DeprecationWarning)  # "process is multi-threaded"
remote = wssend.connect(sys.argv[1])
remote.send("a", "parent", wait=30)
pid = os.fork()
if pid == 0:
    status = 1
    try:
        assert remote.stats().accepted == 0
        remote.send("a", "child", wait=30)
        assert remote.stats().connects == 1
        status = 0
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
remote.send("a", "parent again", wait=30)
stats = remote.stats()
assert (stats.accepted, stats.confirmed, stats.connects) == (2, 2, 1), stats
""",
            address,
        )
        assert [own.recv() for _ in range(3)] == ["parent", "child", "parent again"]
        until(lambda: exposed.links == 0)


def test_logging_has_the_name_that_is_documented() -> None:
    assert link.log is logging.getLogger("wssend.remote")
