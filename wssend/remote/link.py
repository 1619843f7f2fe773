"""The client's end of a link: a bounded queue, and the thread that empties it.

Threads: ``put`` and all that counts may be called by any; the socket is read by the
link's own thread alone, and written to by whoever has the lock, never blocking.
Locks: one, under which nothing is called that is not ours.

Each call that was put is in one place at a time, in the order of putting::

    put = confirmed + queued + in flight + lost

It is in flight from its first byte that the kernel took until the server has said
that it is done. What is in flight when the link breaks is lost: it may have been
done, so it is not sent again. What is queued then waits for the next connection.

While something is in flight new calls are only queued, for its confirmation will
wake the thread, which writes them all at once. With nothing in flight the caller
writes the call itself: that costs no more than waking the thread would.
"""

from __future__ import annotations

import logging
import os
import random
import select
import socket
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from ..errors import ChannelFull, HubClosed, LinkDown, MessageTooLarge
from . import protocol
from .protocol import Frames, Kind, ProtocolError
from .report import LinkStats, LostCall, LostMessages

__all__ = ["Link", "Outgoing", "Waiter"]

log = logging.getLogger("wssend.remote")

HELP: Final = 64  # calls queued from which on a caller writes, whatever is in flight
BATCH: Final = 64  # calls that one system call writes
READ: Final = 1 << 16
LONGEST_ANSWER: Final = 64 << 20  # bytes
EXIT: Final = 3.0  # seconds at the end of a process for what is queued
HELLO_TIMEOUT: Final = 5.0  # seconds for the server to say hello
FIRST_DELAY: Final = 0.05  # seconds between attempts to connect, doubling
LAST_DELAY: Final = 2.0


class Waiter:
    """Somebody who waits for what a call comes to.

    Attributes:
        value: The answer, or the exception to raise.
    """

    __slots__ = ("_there", "value")

    def __init__(self) -> None:
        self.value: object = None
        self._there = threading.Event()

    def tell(self, value: object) -> None:
        """Let the wait end."""
        self.value = value
        self._there.set()

    def wait(self, timeout: float | None) -> bool:
        """Wait; False: nobody has told anything in that time."""
        return self._there.wait(timeout)


class Outgoing:
    """A call on its way. ``parts`` are its bytes, dropped once they are written."""

    __slots__ = ("at", "kind", "length", "number", "parts", "size", "target", "waiter")

    def __init__(
        self,
        kind: int,
        target: str | None,
        size: int,
        parts: tuple[bytes, ...],
        waiter: Waiter | None,
    ) -> None:
        self.kind = kind
        self.target = target
        self.size = size
        self.parts = parts
        self.length = sum(map(len, parts))
        self.waiter = waiter
        self.at = time.monotonic()
        self.number = 0


class Link:
    """See above.

    Args:
        path: Of the server's socket.
        queue: Calls that may wait or be in flight.
        queue_bytes: Their payload.
        hold: Seconds that a queued call waits for a link that is down.
        on_lost: Called with a LostMessages, by the link's thread or by ``close``.
    """

    def __init__(
        self,
        path: str,
        *,
        queue: int,
        queue_bytes: int,
        hold: float,
        on_lost: Callable[[LostMessages], object] | None,
    ) -> None:
        self.path = path
        self.queue = queue
        self.queue_bytes = queue_bytes
        self._hold = hold
        self._on_lost = on_lost
        self._bell = -1
        self._socket: socket.socket | None = None
        self._reset()
        links.add(self)

    def _reset(self) -> None:
        # Reentrant: a signal's handler may send, too.
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._queued: deque[Outgoing] = deque()
        self._flight: deque[Outgoing] = deque()
        self._rest: list[memoryview] = []  # of the last in flight, not yet written
        self._queued_bytes = 0
        self._flight_bytes = 0
        self._accepted = self._confirmed = self._refused = self._lost = 0
        self._refused_full = self._refused_down = self._refused_too_large = 0
        self._connects = self._breaks = 0
        self._unreported: dict[str, list[LostCall]] = {}  # by what has happened
        self._flushers: list[list[int]] = []  # [number, how many up to it were lost]
        self._limit = self.queue_bytes  # the largest payload, as far as is known
        self._fault: str | None = None  # why this connection has to end
        self._failure: str | None = None  # why the last attempt to connect failed
        self._due = 0.0  # when the next is
        self._delay = FIRST_DELAY
        self._done_before = 0  # calls confirmed by this connection
        self._refused_before = 0
        self._rung = False
        self._writing = False  # a signal's handler may come in between
        self._blocked = False  # the kernel has no room
        self._watched = False  # for which the thread waits
        self._thread: threading.Thread | None = None
        self._closing = self._closed = False

    def forked(self) -> None:
        """Begin anew in a child: what there was is the parent's."""
        if self._socket is not None:
            self._socket.close()
        if self._bell >= 0:
            os.close(self._bell)
        self._socket, self._bell = None, -1
        closed = self._closing
        self._reset()
        self._closing = self._closed = closed

    # ---- any thread

    def put(self, call: Outgoing) -> None:
        """Queue a call, or raise; never blocks."""
        with self._lock:
            self._check(call.size)
            if self._thread is None:
                self._start()
            self._accepted += 1
            call.number = self._accepted
            self._queued_bytes += call.size
            self._queued.append(call)
            if self._socket is None:
                return
            if not self._blocked and (not self._flight or len(self._queued) >= HELP):
                self._write()
                if self._fault is not None or (self._blocked and not self._watched):
                    self._ring()

    def _check(self, size: int) -> None:
        if self._closing:
            raise HubClosed("the remote hub is closed")
        if self._failure is not None and time.monotonic() < self._due:
            self._refused_down += 1
            raise LinkDown(f"the link to unix:{self.path} is down: {self._failure}")
        if size > self._limit:
            self._refused_too_large += 1
            raise self._too_large(size)
        if (
            len(self._queued) + len(self._flight) >= self.queue
            or self._queued_bytes + self._flight_bytes + size > self.queue_bytes
        ):
            self._refused_full += 1
            raise self._full()

    def _too_large(self, size: int) -> MessageTooLarge:
        of = "queue_bytes of the link"
        if self._limit < self.queue_bytes:
            of = "send_queue_bytes of the hub"
        return MessageTooLarge(
            f"a message of {size} bytes can never fit: a channel holds "
            f"{self._limit} ({of})",
            size=size,
            limit=self._limit,
        )

    def _full(self) -> ChannelFull:
        count = len(self._queued) + len(self._flight)
        size = self._queued_bytes + self._flight_bytes
        age = self._oldest_age()
        return ChannelFull(
            f"the link to unix:{self.path} is full: {count} "
            f"message{'' if count == 1 else 's'}, {size} bytes queued, the oldest "
            f"for {age:.1f} s",
            queued=count,
            queued_bytes=size,
            oldest_age=age,
        )

    def _oldest_age(self) -> float:
        oldest = self._oldest()
        return 0.0 if oldest is None else max(0.0, time.monotonic() - oldest.at)

    def _oldest(self) -> Outgoing | None:
        for calls in (self._flight, self._queued):
            if calls:
                return calls[0]
        return None

    def withdraw(self, call: Outgoing) -> bool:
        """Take back a call that nobody waits for any more.

        Returns:
            Whether it is certain that it was not sent and will not be.
        """
        with self._lock:
            call.waiter = None
            if call not in self._queued:
                return False
            self._queued.remove(call)
            self._queued_bytes -= call.size
            self._lose([call], "")
            return True

    def flush(self, timeout: float | None) -> None:
        """Wait until all that was put so far is confirmed."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._settled:
            mark = [self._accepted, 0]
            self._flushers.append(mark)
            try:
                while self._has_before(mark[0]):
                    left = None if end is None else end - time.monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError(
                            f"timed out with {len(self._queued)} calls queued and "
                            f"{len(self._flight)} in flight, not yet confirmed"
                        )
                    self._settled.wait(left)
            finally:
                self._flushers.remove(mark)
        if mark[1]:
            raise LinkDown(
                f"the link to unix:{self.path} broke: of the calls so far {mark[1]} "
                "were not confirmed"
            )

    def _has_before(self, number: int) -> bool:
        oldest = self._oldest()
        return oldest is not None and oldest.number <= number

    def stats(self) -> LinkStats:
        """Count."""
        with self._lock:
            return LinkStats(
                connected=self._socket is not None and self._fault is None,
                accepted=self._accepted,
                confirmed=self._confirmed,
                refused=self._refused,
                queued=len(self._queued),
                queued_bytes=self._queued_bytes,
                in_flight=len(self._flight),
                in_flight_bytes=self._flight_bytes,
                lost=self._lost,
                refused_full=self._refused_full,
                refused_down=self._refused_down,
                refused_too_large=self._refused_too_large,
                oldest_age=self._oldest_age(),
                connects=self._connects,
                breaks=self._breaks,
                failure=self._failure,
            )

    @property
    def closed(self) -> bool:
        """Whether closing has begun."""
        return self._closing

    def close(self, timeout: float | None) -> None:
        """Refuse new calls, wait for those that there are, and end.

        What is not confirmed in that time, or once the link is down, is lost.
        """
        with self._settled:
            self._closing = True
            thread = self._thread
            self._ring()
            if thread is threading.current_thread():
                return  # from on_lost: it ends by itself
            ended = thread is None or self._settled.wait_for(
                lambda: self._closed, timeout
            )
            self._closed = True
            self._drop(len(self._flight) + len(self._queued), "it was closed")
            self._ring()
        self._report()
        if thread is not None and ended:
            thread.join()  # it has only to return

    def abandon(self) -> None:
        """Let the thread end once all is written: nobody has the hub any more."""
        with self._lock:
            self._closing = True
            self._ring()

    # ---- with the lock

    def _start(self) -> None:
        bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        thread = threading.Thread(target=self._run, name="wssend-link", daemon=True)
        self._bell = bell
        try:
            thread.start()
        except BaseException:
            os.close(bell)
            self._bell = -1
            raise
        self._thread = thread
        finish_in_children()

    def _ring(self) -> None:
        if self._bell >= 0 and not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def _write(self) -> None:
        """Give the kernel what it takes in one go."""
        if self._socket is None or self._fault is not None or self._writing:
            return
        parts: list[bytes | memoryview] = [*self._rest]
        for call in islice(self._queued, BATCH):
            parts += call.parts
        if not parts:
            return
        self._writing = True
        try:
            flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
            self._wrote(self._socket.sendmsg(parts, (), flags))
            self._blocked = bool(self._rest)
        except BlockingIOError:
            self._blocked = True
        except OSError as error:
            self._fault = reason_of(error)
        except BaseException:  # of a signal's handler: how far it came is not known
            self._fault = "a signal's handler has raised while it was written to"
            self._ring()
            raise
        finally:
            self._writing = False

    def _wrote(self, sent: int) -> None:
        rest = sum(map(len, self._rest))
        if sent < rest:
            self._rest = skip(self._rest, sent)
            return
        sent -= rest
        self._rest = []
        while sent > 0:
            call = self._queued.popleft()
            self._queued_bytes -= call.size
            self._flight_bytes += call.size
            self._flight.append(call)
            if sent < call.length:
                self._rest = skip(call.parts, sent)
            call.parts = ()
            sent -= call.length

    def _confirm_to(self, count: int) -> None:
        """Of this connection's calls, that many are done."""
        fresh = count - self._done_before
        if not 0 <= fresh <= len(self._flight) - (1 if self._rest else 0):
            raise ProtocolError("it says that more was done than was sent")
        if any(call.waiter is not None for call in islice(self._flight, fresh)):
            raise ProtocolError("it does not answer")
        for _ in range(fresh):
            self._flight_bytes -= self._flight.popleft().size
        self._done_before = count
        self._confirmed += fresh
        self._delay = FIRST_DELAY
        self._settled.notify_all()

    def _lose(self, calls: Iterable[Outgoing], why: str) -> None:
        """Count calls as lost, which are in no list any more."""
        for call in calls:
            self._lost += 1
            for mark in self._flushers:
                mark[1] += call.number <= mark[0]
            if call.waiter is not None:
                call.waiter.tell(LinkDown(why))
            elif why:
                name = Kind(call.kind).name.lower()
                lost = LostCall(name, call.target, call.size)
                self._unreported.setdefault(why, []).append(lost)
        self._settled.notify_all()

    def _drop(self, count: int, why: str) -> None:
        """Lose the oldest, first those in flight."""
        gone: list[Outgoing] = []
        while len(gone) < count and self._flight:
            gone.append(self._flight.popleft())
            self._flight_bytes -= gone[-1].size
        sent = len(gone)
        while len(gone) < count:
            gone.append(self._queued.popleft())
            self._queued_bytes -= gone[-1].size
        text = f"the link to unix:{self.path} is down: {why}; "
        self._lose(gone[:sent], text + "sent but not confirmed, so it may be done")
        self._lose(gone[sent:], text + "not sent")

    # ---- the thread

    def _run(self) -> None:
        try:
            while self._turn():
                self._report()
        finally:
            with self._settled:
                self._closing = self._closed = True
                self._disconnect()
                self._drop(len(self._flight) + len(self._queued), "it was closed")
                bell, self._bell = self._bell, -1
                os.close(bell)
                self._settled.notify_all()
            self._report()

    def _turn(self) -> bool:
        """Go on by a step; False: it is over."""
        with self._lock:
            if self._fault is not None:
                self._break(self._fault)
            if self._closing and (self._closed or self._is_idle()):
                return False
            connected = self._socket is not None
            if connected and not self._blocked:
                self._write()
        if connected:
            self._serve()
        else:
            self._connect()
        return True

    def _is_idle(self) -> bool:
        """Whether waiting on would change nothing."""
        if self._socket is None and self._failure is not None:
            return True
        return not self._queued and not self._flight

    def _poll(self, fd: int, mask: int, timeout: float | None) -> int:
        """Wait for the socket, if there is one, or for the bell."""
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        if fd >= 0:
            poll.register(fd, mask)
        ms = None if timeout is None else max(0, int(timeout * 1000) + 1)
        found = dict(poll.poll(ms))
        if self._bell in found:
            with self._lock:
                self._rung = False
                os.eventfd_read(self._bell)
        return found.get(fd, 0)

    def _serve(self) -> None:
        assert self._socket is not None  # only this thread ends it
        with self._lock:
            self._watched = self._blocked or len(self._queued) >= HELP
            mask = select.POLLIN | (select.POLLOUT if self._watched else 0)
        ready = self._poll(self._socket.fileno(), mask, None)
        with self._lock:
            self._watched = False
            try:
                if ready & ~select.POLLOUT:
                    self._read()
                if ready & select.POLLOUT or not self._blocked:
                    self._write()
            except ProtocolError as error:
                self._fault = f"the other side is no such server: {error}"

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(READ, socket.MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fault = reason_of(error)
            return
        if not data:
            self._fault = "the hub's process has ended the link"
            return
        self._frames.feed(data)
        for kind, rest in self._frames.take(1 << 30):
            self._take(kind, rest)

    def _take(self, kind: int, rest: bytes) -> None:
        if kind == Kind.DONE:
            count, refused = protocol.parse_done(rest)
            self._confirm_to(count)
            self._refused += refused - self._refused_before
            self._refused_before = refused
        elif kind == Kind.ANSWER:
            number, value = protocol.parse_answer(rest)
            if number <= self._done_before:
                raise ProtocolError("an answer that comes too late")
            self._confirm_to(number - 1)
            if self._flight:
                waiter, self._flight[0].waiter = self._flight[0].waiter, None
                if waiter is not None:
                    waiter.tell(value)
            self._confirm_to(number)
        else:
            raise ProtocolError(f"a frame of kind {kind}")

    def _break(self, why: str) -> None:
        """The connection has ended; with the lock."""
        self._disconnect()
        self._fault = None
        self._breaks += 1
        self._drop(len(self._flight), why)
        self._put_off()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._rest = []
        self._blocked = False

    def _put_off(self) -> None:
        self._due = time.monotonic() + self._delay * random.uniform(0.5, 1.0)
        self._delay = min(2 * self._delay, LAST_DELAY)

    def _connect(self) -> None:
        """Wait until an attempt is due, and make it."""
        left = self._due - time.monotonic()
        if left > 0:
            self._poll(-1, 0, left)
            return
        try:
            found = self._dial()
        except (OSError, ProtocolError) as error:
            why = reason_of(error) if isinstance(error, OSError) else str(error)
            self._failed(why)
            return
        with self._lock:
            self._socket = found
            self._failure = None
            self._connects += 1
            self._done_before = self._refused_before = 0
            self._frames.longest = LONGEST_ANSWER

    def _failed(self, why: str) -> None:
        with self._lock:
            self._failure = why
            self._put_off()
            self._drop_waiters(why)
            old = time.monotonic() - self._hold
            self._drop(sum(1 for call in self._queued if call.at < old), why)

    def _drop_waiters(self, why: str) -> None:
        waiting = [call for call in self._queued if call.waiter is not None]
        for call in waiting:
            self._queued.remove(call)
            self._queued_bytes -= call.size
        down = f"the link to unix:{self.path} is down: {why}; not sent"
        self._lose(waiting, down)

    def _dial(self) -> socket.socket:
        found = socket.socket(socket.AF_UNIX)
        try:
            found.settimeout(HELLO_TIMEOUT)
            found.connect(self.path)
            found.sendall(protocol.hello(pid=os.getpid(), program=sys.argv[0][-200:]))
            self._frames = Frames(1 << 16)
            says = self._await_hello(found)
            limit = says.get("largest")
            if not isinstance(limit, int) or limit < 1:
                raise ProtocolError("its hello does not say what is too large")
            self._limit = min(self.queue_bytes, limit)
            found.setblocking(False)
        except BaseException:
            found.close()
            raise
        return found

    def _await_hello(self, found: socket.socket) -> dict[str, Any]:
        end = time.monotonic() + HELLO_TIMEOUT
        while True:
            for kind, rest in self._frames.take(1):
                return protocol.parse_hello(kind, rest)
            found.settimeout(max(0.001, end - time.monotonic()))
            data = found.recv(READ)
            if not data:
                raise ProtocolError("the other side has hung up at once")
            self._frames.feed(data)

    # ---- without the lock

    def _report(self) -> None:
        """Tell of what was lost."""
        if not self._unreported:
            return
        with self._lock:
            unreported, self._unreported = self._unreported, {}
        for why, calls in unreported.items():
            lost = LostMessages(tuple(calls), why)
            log.warning("%s", lost)
            if self._on_lost is not None:
                try:
                    self._on_lost(lost)
                except Exception:
                    log.exception("on_lost has failed")


def skip(parts: Iterable[bytes | memoryview], count: int) -> list[memoryview]:
    """What is left of parts when so many bytes of them have gone."""
    left: list[memoryview] = []
    for part in parts:
        if count < len(part):
            left.append(memoryview(part)[count:])
        count = max(0, count - len(part))
    return left


def reason_of(error: OSError) -> str:
    """What an error of the system's says."""
    return error.strerror or str(error) or type(error).__name__


links: weakref.WeakSet[Link] = weakref.WeakSet()
announced: set[str] = set()  # where this process has asked to be told of its end


def finish_all() -> None:
    """Give what is queued a last, short chance."""
    end = time.monotonic() + EXIT
    for link in list(links):
        link.close(max(0.0, end - time.monotonic()))


def finish_in_children() -> None:
    """Have a child of multiprocessing's, or Celery's, finish: they skip atexit."""
    for name in {"multiprocessing.util", "billiard.util"} - announced:
        module = sys.modules.get(name)
        if module is not None:
            announced.add(name)
            module.Finalize(None, finish_all, exitpriority=0)


def begin_anew_in_child() -> None:
    """After a fork."""
    announced.clear()
    for link in list(links):
        link.forked()


os.register_at_fork(after_in_child=begin_anew_in_child)
