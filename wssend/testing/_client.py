"""The client in memory."""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._core import MemoryEnd
from ..errors import ChannelClosed

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from .._core import WSClient, WSHub

_SHOWN = 500  # characters of a message in an error


def connect(
    hub: WSHub,
    *,
    id: str | None = None,
    user: str | None = None,
    topics: Iterable[str] = (),
    path: str = "/",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    subprotocol: str | None = None,
    remote: str = "127.0.0.1",
) -> MemoryClient:
    """Have a client without a socket join a hub, and return its own end.

    Where the hub's events are taken, :class:`wssend.Connected` comes as for any
    client. The client holds its hub. Any thread may call it; it never blocks.

    Args:
        hub: The hub; it need not listen.
        id: The client's id, unique among the hub's open clients. None: a random
            one.
        user: Whose connection it is, or None.
        topics: What it is subscribed to at once; a bare str is a TypeError.
        path: The target of its HTTP request, with a query if there is one:
            ``"/chat?room=7"``.
        headers: Header fields of that request, beside ``Host``: a mapping, or
            pairs of name and value.
        subprotocol: The subprotocol that was agreed on, or None.
        remote: Its address, as ``client.remote`` and ``client.peer`` give it.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: The id is in use, empty, or longer than 255 bytes; path or
            headers cannot stand in a request; the hub has 64 pumps.
        RuntimeError: The hub has ``max_clients`` already.
        HubClosed: The hub is closed, or belongs to another process.
    """
    if isinstance(topics, str):
        raise TypeError(f"topics must be an iterable of str, not a str: {topics!r}")
    names = list(topics)
    head = _make_head(path, headers, subprotocol)
    own_id = secrets.token_hex(16) if id is None else id
    end = MemoryEnd(hub, own_id, user, remote, head, subprotocol)
    client = MemoryClient(end)
    try:
        for name in names:
            client.client.subscribe(name)
    except BaseException:
        client.vanish()
        raise
    return client


def _make_head(
    path: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    subprotocol: str | None,
) -> bytes:
    if not isinstance(path, str):
        raise TypeError(f"path must be a str, not {path!r}")
    if not path.startswith("/") or not all("!" <= c <= "~" for c in path):
        raise ValueError(
            'path must begin with "/" and hold visible ASCII, percent-encoded '
            f"where need be, not {path!r}"
        )
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        raise TypeError(f"headers must be pairs of str, not {headers!r}")
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", "localhost"))
    if subprotocol is not None:
        pairs.append(("Sec-WebSocket-Protocol", subprotocol))
    lines = [f"GET {path} HTTP/1.1"]
    for name, value in pairs:
        line = f"{name}: {value}"
        if not name or ":" in name or not line.isprintable():
            raise ValueError(f"headers must be names and values, not {line!r}")
        lines.append(line)
    try:
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"headers must be Latin-1: {error}") from None


class MemoryClient:
    """The own end of a client without a socket; made by :func:`connect`.

    Every method may be called from any thread. Times are seconds; a wait ends
    at the latest when they have passed.

    A client that is let go of without :meth:`close` vanishes: the hub sees 1006,
    as when a connection breaks. As a context manager it closes in the end. In a
    forked child every method raises HubClosed: the client is the parent's.
    """

    def __init__(self, end: MemoryEnd) -> None:
        self._end = end
        self._client = end.client
        self._lock = threading.Lock()  # guards the two below
        self._received: list[str | bytes] = []
        self._next = 0  # the first that nobody has asked for

    @property
    def client(self) -> WSClient:
        """The hub's side of it, as ``hub.get(id)`` returns it."""
        return self._client

    @property
    def id(self) -> str:
        """The client's id."""
        return self._client.id

    @property
    def received(self) -> list[str | bytes]:
        """All messages that have come so far, in order; a new list.

        They are kept, these too that were asked for, as long as the client.
        """
        with self._lock:
            self._pull()
            return self._received.copy()

    @property
    def closed(self) -> bool:
        """Whether the connection is over: this end has closed, or seen a Close.

        A stalled client does not see the hub's Close until it goes on.
        """
        return self._end.over

    @property
    def close_code(self) -> int | None:
        """The close code (RFC 6455 7.4); None until the connection is over."""
        return self._client.close_code if self._end.over else None

    @property
    def close_reason(self) -> str | None:
        """The close reason, often empty; None until the connection is over."""
        return self._client.close_reason if self._end.over else None

    def receive(self, timeout: float = 1.0) -> str | bytes:
        """Return the next message, and wait for it where there is none yet.

        ``str`` for a text message, ``bytes`` for a binary one.

        Raises:
            TimeoutError: None has come.
            ChannelClosed: There is none, and the connection is over.
        """
        until = _deadline(timeout)
        while True:
            with self._lock:
                self._pull()
                if self._next < len(self._received):
                    self._next += 1
                    return self._received[self._next - 1]
                seen = len(self._received)
            if self._end.over and not self._has_more(seen):
                raise ChannelClosed(
                    f"client {self.id!r} has no more messages: {self._over()}",
                    client=self._client,
                    code=self.close_code,
                    reason=self.close_reason or "",
                )
            if not self._wait(seen, until):
                raise TimeoutError(
                    f"client {self.id!r}: no message within {timeout} s{self._why()}"
                )

    def expect(
        self,
        message: str | Buffer | dict[str, Any] | list[Any],
        timeout: float = 1.0,
    ) -> str | bytes:
        """Receive the next message, and check that it is this one.

        Args:
            message: A ``str`` is compared with a text message, something
                bytes-like with a binary one. A dict or a list is compared with
                what the message, text or binary, is as JSON.
            timeout: How long to wait for the message, in seconds.

        Returns:
            The message as it came.

        Raises:
            AssertionError: Another message came (it counts as received), none
                came, or the connection is over.
            TypeError: message is of another type.
        """
        wanted = _check_wanted(message)
        try:
            came = self.receive(timeout)
        except (TimeoutError, ChannelClosed) as error:
            raise AssertionError(f"expected {_show(wanted)}, but {error}") from None
        difference = _compare(wanted, came)
        if difference is not None:
            raise AssertionError(f"client {self.id!r}: {difference}")
        return came

    def expect_nothing(self) -> None:
        """Check that no message is there; never waits.

        What one thread has sent to a client that is not stalled is there as soon
        as ``send()`` has returned. What waits in a stalled client's channel
        counts, too.

        Raises:
            AssertionError: There is one.
        """
        with self._lock:
            self._pull()
            rest = self._received[self._next :]
        if rest:
            raise AssertionError(
                f"client {self.id!r}: expected nothing, but {len(rest)} "
                f"message{'s' if len(rest) > 1 else ''} came, first {_show(rest[0])}"
            )
        queued = self._client.stats().queued
        if queued:
            raise AssertionError(
                f"client {self.id!r}: expected nothing, but {queued} "
                f"message{'s' if queued > 1 else ''} would come if it was not stalled"
            )

    def expect_close(self, code: int | None = None, timeout: float = 1.0) -> int:
        """Wait for the end of the connection, and return its close code.

        Messages that nobody has asked for stay, and do not matter here.

        Args:
            code: What the close code must be; None: any.
            timeout: How long to wait, in seconds.

        Raises:
            AssertionError: It is open still, or was closed with another code.
        """
        until = _deadline(timeout)
        while not self._end.over:
            if not self._wait(self._count(), until):
                wanted = "a close" if code is None else f"a close with {code}"
                raise AssertionError(
                    f"client {self.id!r}: expected {wanted}, but it is open after "
                    f"{timeout} s{self._why()}"
                )
        got = self._client.close_code
        assert got is not None
        if code is not None and got != code:
            raise AssertionError(
                f"client {self.id!r}: expected a close with {code}, but {self._over()}"
            )
        return got

    def stall(self) -> None:
        """Stop reading: what is sent stays queued, until the channel is full.

        Without a socket there are no buffers on the way: exactly ``send_queue``
        messages fit, or fewer of ``send_queue_bytes`` in all.
        """
        self._end.stall(True)

    def resume(self) -> None:
        """Read on: all that is queued comes, and the Close if there is one."""
        self._end.stall(False)

    def send(self, data: str | Buffer, timeout: float = 1.0) -> None:
        """Send a message to the hub: an event :class:`wssend.Message`.

        As with any client, it is dropped and counted where nobody takes the
        hub's events, or the hub has begun to close the client; and a message
        above the hub's ``max_message_size`` has the hub close it with 1009.

        Args:
            data: ``str`` for a text message, bytes-like for a binary one.
            timeout: How long to wait, in seconds, for whoever takes the events
                to make room for one more.

        Raises:
            TimeoutError: There is no room: the hub's ``max_events``.
            ChannelClosed: The connection is over.
            TypeError: data is neither str nor bytes-like.
        """
        until = _deadline(timeout)
        pause = 0.0005
        while not self._end.send(data):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(
                    f"client {self.id!r}: the hub's events had no room for its "
                    f"message for {timeout} s: take some, or raise max_events"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.02)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Leave, with a Close; does nothing once the connection is over.

        What a stalled client has not taken is lost, and counted so.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: At most 123 bytes of UTF-8.
        """
        self._end.close(code, reason)

    def vanish(self) -> None:
        """Leave without a Close, as when a connection breaks: the code is 1006."""
        self._end.vanish()

    def _pull(self) -> None:
        self._received += self._end.take()

    def _count(self) -> int:
        with self._lock:
            self._pull()
            return len(self._received)

    def _has_more(self, seen: int) -> bool:
        return self._count() > seen

    def _wait(self, seen: int, until: float) -> bool:
        return self._end.wait(seen, max(until - time.monotonic(), 0))

    def _over(self) -> str:
        reason = f", {self.close_reason!r}" if self.close_reason else ""
        return f"it was closed with {self.close_code}{reason}"

    def _why(self) -> str:
        """What explains that nothing has come, if anything does."""
        if self._end.over:
            return f"; {self._over()}"
        queued = self._client.stats().queued
        if queued:
            return f"; it is stalled, with {queued} queued"
        if self._client.closed:
            return "; it is stalled, and closing"
        return ""

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
        return f"<MemoryClient of {self._client!r}>"


def _deadline(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {timeout!r}")
    if not math.isfinite(timeout) or timeout < 0:
        raise ValueError(
            f"timeout must be a finite number of seconds from 0, not {timeout!r}"
        )
    return time.monotonic() + timeout


def _check_wanted(message: object) -> str | bytes | dict[str, Any] | list[Any]:
    if isinstance(message, (str, bytes, dict, list)):
        return message
    if isinstance(message, (bytearray, memoryview)):
        return bytes(message)
    raise TypeError(
        f"message must be str, bytes-like, or a dict or list as JSON, not {message!r}"
    )


def _show(message: object) -> str:
    text = repr(message)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} in all)"


def _compare(
    wanted: str | bytes | dict[str, Any] | list[Any], came: str | bytes
) -> str | None:
    """None, or what the difference is."""
    if isinstance(wanted, (str, bytes)):
        same: object = came
    else:
        try:
            same = json.loads(came)
        except ValueError:
            return f"expected {_show(wanted)} as JSON, but {_show(came)} came"
    if wanted == same:
        return None
    lines = [f"expected {_show(wanted)}", f"but came {_show(same)}"]
    lines += _differences(wanted, same, "")
    return "\n".join(lines)


def _differences(wanted: object, came: object, where: str) -> list[str]:
    """A line for each place in which two JSON values differ."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        keys = [*wanted, *(key for key in came if key not in wanted)]
        pairs = [
            (f"{where}[{key!r}]", wanted.get(key, _MISSING), came.get(key, _MISSING))
            for key in keys
        ]
    elif isinstance(wanted, list) and isinstance(came, list):
        pairs = [
            (
                f"{where}[{i}]",
                wanted[i] if i < len(wanted) else _MISSING,
                came[i] if i < len(came) else _MISSING,
            )
            for i in range(max(len(wanted), len(came)))
        ]
    else:
        return [f"  {where}: {_show(wanted)} != {_show(came)}"] if where else []
    return [
        line
        for at, one, other in pairs
        if one != other
        for line in _differences(one, other, at)
    ]


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()
