"""The hub's end of the links: a thread that does what they ask.

Threads: one serves all links, by turns; ``close`` may be called from any.

A peer costs only itself. It is read from while there is room for answers to it, a
little at a time; what it sends is bounded, and what is malformed ends its link. One
that does not take its answers is cut off. While the hub is busy with others, or with
what was sent, nothing is read: so the sender's own queue fills, and tells him.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import selectors
import socket
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from .._core import WSHub
from ..errors import HubClosed
from ..report import SendReport
from . import protocol
from .address import Place, path_of
from .protocol import ANSWERED, TEXT, Call, Frames, Kind, ProtocolError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Exposed"]

log = logging.getLogger("wssend.remote")

MAX_LINKS: Final = 1024
ACCEPTED: Final = 16  # links in one turn
TURN: Final = 64  # calls of one link before the others have their turn
READ: Final = 1 << 16
UNREAD: Final = 1 << 16  # bytes of answers that may wait while calls are taken
PATIENCE: Final = 30.0  # seconds for a peer to take some of its answers, or say hello
LONGEST: Final = 64 << 20  # bytes of a payload, whatever the hub would take
PAUSE: Final = 0.1  # seconds without accepting, when there is nothing to do it with


class Peer:
    """A link, seen from the hub.

    Attributes:
        socket: Does not block.
        name: For the log.
        frames: What has arrived.
        unwritten: What has to be written.
        done: Calls done.
        refused: Calls of those that were refused.
        told: Calls that the peer knows to be done.
        greeted: Whether it has said hello.
        since: When it last made progress in what it has to do.
        mask: What the selector waits for.
        is_ready: Whether calls of its wait to be done.
    """

    def __init__(self, found: socket.socket) -> None:
        self.socket = found
        pid, uid, _ = struct.unpack(
            "3i", found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        self.name = f"the link of process {pid} (user {uid})"
        self.frames = Frames(1 << 16)
        self.unwritten = bytearray()
        self.done = self.refused = self.told = 0
        self.greeted = False
        self.since = time.monotonic()
        self.mask = 0
        self.is_ready = False

    @property
    def is_idle(self) -> bool:
        """Whether it is not its turn to do anything."""
        return self.greeted and not self.unwritten

    def say(self, data: bytes) -> None:
        """Have something written to it."""
        if not self.unwritten:
            self.since = time.monotonic()
        self.unwritten += data


class Exposed:
    """A hub that processes of the same host can send to; see :func:`wssend.expose`.

    A context manager, whose exit closes it. In a process forked from the one that
    made it, it does nothing.

    Attributes:
        address: Where, as given.
    """

    def __init__(self, hub: WSHub, address: str, *, mode: int = 0o660) -> None:
        path = path_of(address)
        if not isinstance(hub, WSHub):
            raise TypeError(f"hub must be a WSHub, not {hub!r:.100}")
        if isinstance(mode, bool) or not isinstance(mode, int):
            raise TypeError(f"mode must be an int, as in 0o660, not {mode!r}")
        if not 0 <= mode <= 0o777:
            raise ValueError(f"mode must be from 0 to 0o777, not {mode:#o}")
        self.address = address
        self._hub = hub
        self._largest = min(hub.send_queue_bytes, LONGEST)
        self._ready: deque[Peer] = deque()  # calls of theirs wait to be done
        self._peers: set[Peer] = set()
        self._slow: set[Peer] = set()  # those that have to do something
        self._resume = 0.0  # when to accept again; 0: now
        self._closing = False
        self._close_lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._place = Place(path, mode)
        except BaseException:
            self._selector.close()
            os.close(self._bell)
            raise
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._selector.register(self._place.socket, selectors.EVENT_READ)
        self._thread = threading.Thread(
            target=self._run, name="wssend-expose", daemon=True
        )
        exposures.add(self)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether it is closed, or closing."""
        return self._closing

    @property
    def links(self) -> int:
        """How many processes are connected."""
        return len(self._peers)

    def close(self) -> None:
        """End all links, and remove the socket file. Closing again does nothing.

        Waits for the call that is under way, not for those that have not been read.
        """
        with self._close_lock:
            if not self._closing:
                self._closing = True
                os.eventfd_write(self._bell, 1)
        if self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closing else f"{self.links} links"
        return f"<Exposed {self.address}, {state}>"

    def forked(self) -> None:
        """Let go of what is the parent's."""
        if self._closing:
            return
        self._closing = True
        self._selector.close()
        os.close(self._bell)
        self._place.socket.close()
        for peer in self._peers:
            peer.socket.close()
        self._peers = set()
        self._thread = threading.current_thread()  # nothing to wait for

    # ---- the thread

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
        finally:
            with self._close_lock:
                self._closing = True
                for peer in list(self._peers):
                    self._end(peer)
                self._place.leave()
                self._selector.close()
                os.close(self._bell)

    def _turn(self) -> None:
        for key, events in self._selector.select(self._timeout()):
            if key.data is not None:
                self._guard(key.data, self._move, events)
            elif key.fileobj is self._place.socket:
                for _ in range(ACCEPTED):
                    if not self._accept():
                        break
        for _ in range(len(self._ready)):
            peer = self._ready.popleft()
            peer.is_ready = False
            self._guard(peer, self._work)
        self._look_after()

    def _timeout(self) -> float | None:
        """Seconds to wait for something to happen."""
        if self._ready:
            return 0.0
        dues = [peer.since + PATIENCE for peer in self._slow]
        if self._resume:
            dues.append(self._resume)
        return max(0.0, min(dues) - time.monotonic()) + 0.001 if dues else None

    def _look_after(self) -> None:
        """Do what is due by the clock."""
        now = time.monotonic()
        if self._resume and now >= self._resume:
            self._resume = 0.0
            self._selector.register(self._place.socket, selectors.EVENT_READ)
        for peer in [p for p in self._slow if now >= p.since + PATIENCE]:
            what = "take its answers" if peer.greeted else "say hello"
            self._end(peer, f"it does not {what}")

    def _accept(self) -> bool:
        """Take a link; False: there is none, or nothing to do it with."""
        try:
            found, _ = self._place.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:
            log.warning("%s: accept: %s", self.address, error.strerror)
            self._selector.unregister(self._place.socket)
            self._resume = time.monotonic() + PAUSE
            return False
        if len(self._peers) >= MAX_LINKS:
            log.warning("%s: more than %d links", self.address, MAX_LINKS)
            found.close()
            return True
        found.setblocking(False)
        peer = Peer(found)
        peer.say(protocol.hello(pid=os.getpid(), largest=self._largest))
        self._peers.add(peer)
        self._guard(peer, self._move, 0)
        return True

    def _guard(self, peer: Peer, step: Callable[..., None], *args: int) -> None:
        """Take a step for a link; whatever is wrong with it ends only that link."""
        if peer not in self._peers:
            return
        try:
            step(peer, *args)
        except ProtocolError as error:
            self._end(peer, str(error))
        except HubClosed:
            self._closing = True
        except ConnectionError as error:
            self._end(peer)
            log.debug("%s: %s", peer.name, error)
        except Exception:
            log.exception("%s: an error of wssend's own", peer.name)
            self._end(peer)

    def _move(self, peer: Peer, events: int) -> None:
        if events & selectors.EVENT_READ:
            data = peer.socket.recv(READ)
            if not data:
                raise ConnectionResetError("it has ended the link")
            peer.frames.feed(data)
            self._work(peer)
        else:
            self._write(peer)

    def _work(self, peer: Peer) -> None:
        """Do some of the calls that have arrived, and say so."""
        if not peer.greeted:
            for kind, rest in peer.frames.take(1):
                says = protocol.parse_hello(kind, rest)
                peer.greeted = True
                peer.frames.longest = self._largest + protocol.HEAD_ROOM
                program = str(says.get("program"))[:200]
                log.debug("%s is there: %r", peer.name, program)
        if peer.greeted:
            for kind, rest in peer.frames.take(TURN):
                self._do(peer, protocol.parse_call(kind, rest))
                if len(peer.unwritten) > UNREAD:
                    break
        self._write(peer)

    def _write(self, peer: Peer) -> None:
        """Write what there is; then see what to wait for."""
        if peer.told < peer.done and len(peer.unwritten) <= UNREAD:
            peer.say(protocol.done(peer.done, peer.refused))
            peer.told = peer.done
        if peer.unwritten:
            try:
                sent = peer.socket.send(peer.unwritten, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            if sent:
                del peer.unwritten[:sent]
                peer.since = time.monotonic()
        self._watch(peer)

    def _watch(self, peer: Peer) -> None:
        (self._slow.discard if peer.is_idle else self._slow.add)(peer)
        mask = selectors.EVENT_WRITE if peer.unwritten else 0
        if len(peer.unwritten) <= UNREAD:
            if peer.greeted and peer.frames.has_whole:
                if not peer.is_ready:  # do those before reading more
                    self._ready.append(peer)
                    peer.is_ready = True
            else:
                mask |= selectors.EVENT_READ
        if mask == peer.mask:
            return
        if mask == 0:
            self._selector.unregister(peer.socket)
        elif peer.mask == 0:
            self._selector.register(peer.socket, mask, peer)
        else:
            self._selector.modify(peer.socket, mask, peer)
        peer.mask = mask

    def _end(self, peer: Peer, why: str | None = None) -> None:
        if why is not None:
            log.warning("%s is cut off: %s", peer.name, why)
        if peer.mask:
            self._selector.unregister(peer.socket)
        peer.socket.close()
        self._peers.discard(peer)
        self._slow.discard(peer)

    # ---- calls

    def _do(self, peer: Peer, call: Call) -> None:
        """Do a call, and answer it where that is asked for."""
        closed: HubClosed | None = None
        try:
            result = CALLS[call.kind](self._hub, call)
            fine = result is None or bool(result) or not isinstance(result, SendReport)
            value: Any = encode(result)
        except ProtocolError:
            raise
        except Exception as error:
            fine, value = False, protocol.value_of(error)
            closed = error if isinstance(error, HubClosed) else None
            if value["error"] not in protocol.ERRORS and not isinstance(
                error, UnicodeError
            ):
                log.exception("%s: %s", peer.name, call.kind.name.lower())
        peer.done += 1
        peer.refused += not fine
        if call.flags & ANSWERED:
            if peer.done - 1 > peer.told:
                peer.unwritten += protocol.done(
                    peer.done - 1, peer.refused - (not fine)
                )
            peer.say(protocol.answer(peer.done, value))
            peer.told = peer.done - 1
        if closed is not None:
            self._write(peer)
            raise closed


def encode(result: object) -> dict[str, object]:
    """What a call has returned, as JSON can say it."""
    if isinstance(result, SendReport):
        full = [(client.id, client.user) for client in result.full]
        return {"report": [result.queued, full, result.closed, result.failed]}
    return {"value": result}


def data_of(call: Call) -> tuple[bytes, bool]:
    """The payload, and whether it is text."""
    return call.payload, bool(call.flags & TEXT)


def send(hub: WSHub, call: Call) -> None:
    data, text = data_of(call)
    hub.send(call.target, data, text=text)


def send_to_user(hub: WSHub, call: Call) -> SendReport:
    data, text = data_of(call)
    return hub.send_to_user(call.target, data, call.exclude, text=text)


def broadcast(hub: WSHub, call: Call) -> SendReport:
    data, text = data_of(call)
    return hub.broadcast(data, call.exclude, text=text)


def publish(hub: WSHub, call: Call) -> SendReport:
    data, text = data_of(call)
    return hub.publish(call.target, data, call.exclude, text=text)


def close_user(hub: WSHub, call: Call) -> int:
    if len(call.payload) < 2:
        raise ProtocolError("a close_user without a code")
    try:
        reason = str(call.payload[2:], "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("a reason that is not UTF-8") from None
    return hub.close_user(call.target, int.from_bytes(call.payload[:2], "big"), reason)


def stats(hub: WSHub, call: Call) -> dict[str, Any]:
    return dataclasses.asdict(hub.stats())


def ping(hub: WSHub, call: Call) -> None:
    return None


CALLS: Final[dict[Kind, Callable[[WSHub, Call], Any]]] = {
    Kind.SEND: send,
    Kind.SEND_TO_USER: send_to_user,
    Kind.BROADCAST: broadcast,
    Kind.PUBLISH: publish,
    Kind.CLOSE_USER: close_user,
    Kind.STATS: stats,
    Kind.PING: ping,
}

exposures: weakref.WeakSet[Exposed] = weakref.WeakSet()


def close_all() -> None:
    """Remove the socket files of those that are still open."""
    for exposed in list(exposures):
        exposed.close()


def leave_to_parent() -> None:
    """After a fork."""
    for exposed in list(exposures):
        exposed.forked()


os.register_at_fork(after_in_child=leave_to_parent)
