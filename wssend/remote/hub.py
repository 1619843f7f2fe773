"""A hub in another process, with the calls of one that is here."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, overload

from .._core import PreparedMessage, WSClient
from ..errors import WSSendError
from ..report import SendReport
from ..stats import HubStats
from . import protocol
from .address import path_of
from .link import Link, Outgoing, Waiter
from .protocol import ANSWERED, TEXT, Kind
from .report import LinkStats, LostMessages, RemoteClient

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Buffer, Self

    Data: TypeAlias = str | Buffer | PreparedMessage
    Excluded: TypeAlias = Iterable[RemoteClient | str]
    Report: TypeAlias = SendReport[RemoteClient]

__all__ = ["RemoteHub"]

SMALL: Final = 4096  # bytes of a payload that is copied behind its head
REASON: Final = 123  # bytes of a close reason


class RemoteHub:
    """A hub in another process of the same host; :func:`wssend.connect` makes it.

    Its calls are those of :class:`wssend.WSHub`. Each takes ``wait=``: without it,
    the call is queued on the link and returns None at once; with seconds, it blocks
    until the hub has answered, and returns or raises what the hub did.

    Any thread may use it. It connects with the first call, in a thread of its own
    that starts then, and again by itself whenever the link breaks. A forked child
    has a link of its own. It is a context manager whose exit closes it.

    Raises, in each call:
        ChannelFull: The link has no room: the hub's process does not keep up. With
            ``wait=`` also when a client's channel has none.
        LinkDown: The last attempt to connect has failed and the next is not due.
            With ``wait=`` also when the link breaks meanwhile.
        MessageTooLarge: The payload is larger than the link's queue, or than what
            the hub takes.
        HubClosed: close() was called, here or, with ``wait=``, there.
        TimeoutError: No answer within ``wait`` seconds; the text tells whether the
            call may still be done.
        TypeError, ValueError: Wrong arguments, as for a WSHub; a WSClient among
            them, since that belongs to a hub in this process.
    """

    def __init__(
        self,
        address: str,
        *,
        queue: int,
        queue_bytes: int,
        hold: float,
        on_lost: Callable[[LostMessages], object] | None,
    ) -> None:
        self._address = address
        self._link = Link(
            path_of(address),
            queue=int_of("queue", queue, 1 << 24),
            queue_bytes=int_of("queue_bytes", queue_bytes, 1 << 40),
            hold=seconds_of("hold", hold),
            on_lost=on_lost,
        )
        if on_lost is not None and not callable(on_lost):
            raise TypeError(f"on_lost must be callable or None, not {on_lost!r}")
        # What is queued when nobody has the hub any more still goes out.
        weakref.finalize(self, self._link.abandon).atexit = False

    @property
    def address(self) -> str:
        """Where the hub is."""
        return self._address

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._link.closed

    def send(
        self,
        client_id: str,
        data: Data,
        *,
        text: bool | None = None,
        wait: float | None = None,
    ) -> None:
        """Send to the client of that id.

        Args:
            client_id: The client's id.
            data: As for WSClient.send.
            text: As for WSClient.send.
            wait: Seconds to wait for the answer; None: none is waited for, and
                whether there was such a client stays unknown.

        Raises:
            ClientNotFound: With ``wait=``: no open client has that id.
            And what the class tells.
        """
        payload, flags = payload_of(data, text)
        self._call(
            Kind.SEND, flags, text_of("client_id", client_id), payload, wait=wait
        )

    @overload
    def send_to_user(
        self,
        user: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: None = None,
    ) -> None: ...
    @overload
    def send_to_user(
        self,
        user: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float,
    ) -> Report: ...
    def send_to_user(
        self,
        user: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float | None = None,
    ) -> Report | None:
        """Send to all connections of a user; the report with ``wait=``.

        Args:
            user: The user.
            data: As for WSClient.send.
            exclude: Ids, or the clients of a report, to leave out.
            text: As for WSClient.send.
            wait: Seconds to wait for the report.
        """
        payload, flags = payload_of(data, text)
        kind, target = Kind.SEND_TO_USER, text_of("user", user)
        report: Report | None = self._call(kind, flags, target, payload, exclude, wait)
        return report

    @overload
    def broadcast(
        self,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: None = None,
    ) -> None: ...
    @overload
    def broadcast(
        self,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float,
    ) -> Report: ...
    def broadcast(
        self,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float | None = None,
    ) -> Report | None:
        """Send to all clients; the report with ``wait=``.

        Args:
            data: As for WSClient.send.
            exclude: Ids, or the clients of a report, to leave out.
            text: As for WSClient.send.
            wait: Seconds to wait for the report.
        """
        payload, flags = payload_of(data, text)
        report: Report | None = self._call(
            Kind.BROADCAST, flags, None, payload, exclude, wait
        )
        return report

    @overload
    def publish(
        self,
        topic: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: None = None,
    ) -> None: ...
    @overload
    def publish(
        self,
        topic: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float,
    ) -> Report: ...
    def publish(
        self,
        topic: str,
        data: Data,
        exclude: Excluded = (),
        *,
        text: bool | None = None,
        wait: float | None = None,
    ) -> Report | None:
        """Send to the subscribers of a topic; the report with ``wait=``.

        Args:
            topic: The topic.
            data: As for WSClient.send.
            exclude: Ids, or the clients of a report, to leave out.
            text: As for WSClient.send.
            wait: Seconds to wait for the report.
        """
        payload, flags = payload_of(data, text)
        kind, target = Kind.PUBLISH, text_of("topic", topic)
        report: Report | None = self._call(kind, flags, target, payload, exclude, wait)
        return report

    @overload
    def close_user(
        self, user: str, code: int = 4401, reason: str = "", *, wait: None = None
    ) -> None: ...
    @overload
    def close_user(
        self, user: str, code: int = 4401, reason: str = "", *, wait: float
    ) -> int: ...
    def close_user(
        self,
        user: str,
        code: int = 4401,
        reason: str = "",
        *,
        wait: float | None = None,
    ) -> int | None:
        """Close all connections of a user; how many were open with ``wait=``.

        Args:
            user: Whose connections.
            code: As for WSClient.close.
            reason: As for WSClient.close.
            wait: Seconds to wait for the answer.
        """
        target = text_of("user", user)
        payload = close_code_of(code).to_bytes(2, "big") + reason_of(reason)
        closed: int | None = self._call(Kind.CLOSE_USER, 0, target, payload, wait=wait)
        return closed

    def hub_stats(self, wait: float = 5.0) -> HubStats:
        """Return the hub's own statistics; blocks for the answer."""
        found = self._call(Kind.STATS, 0, None, b"", wait=wait)
        names = {field.name for field in dataclasses.fields(HubStats)}
        if names != found.keys():
            raise WSSendError("the hub's wssend is another one: its statistics differ")
        return HubStats(**{**found, "pumps": tuple(found["pumps"])})

    def ping(self, timeout: float = 5.0) -> float:
        """Ask the hub's process for a sign of life; blocks for the answer.

        Returns:
            Seconds that it took, behind all that was queued before.
        """
        start = time.monotonic()
        self._call(Kind.PING, 0, None, b"", wait=seconds_of("timeout", timeout))
        return time.monotonic() - start

    def stats(self) -> LinkStats:
        """Return the statistics of this process's link. Never blocks."""
        return self._link.stats()

    def flush(self, timeout: float | None = None) -> None:
        """Wait until the hub has confirmed all calls that were made so far.

        The hub has queued their messages for its clients then; whether those have
        them is not asked.

        Args:
            timeout: Seconds; None: no limit.

        Raises:
            TimeoutError: It took longer.
            LinkDown: Some of them were lost meanwhile.
        """
        self._link.flush(None if timeout is None else seconds_of("timeout", timeout))

    def close(self, timeout: float | None = 5.0) -> None:
        """Wait until all calls are confirmed, and end the link; the hub stays.

        What is not confirmed in time, or cannot be because the link is down, is
        lost and reported. Closing again does nothing.

        Args:
            timeout: Seconds; None: no limit.
        """
        self._link.close(None if timeout is None else seconds_of("timeout", timeout))

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
        stats = self._link.stats()
        state = "connected" if stats.connected else "not connected"
        if self.closed:
            state = "closed"
        return f"<RemoteHub {self._address}, {state}>"

    def _call(
        self,
        kind: Kind,
        flags: int,
        target: str | None,
        payload: bytes,
        exclude: Excluded = (),
        wait: float | None = None,
    ) -> Any:  # noqa: ANN401 - as many kinds as there are calls
        waiter = None
        if wait is not None:
            wait = seconds_of("wait", wait)
            waiter = Waiter()
            flags |= ANSWERED
        name = b"" if target is None else target.encode()
        size = len(payload)
        left_out = exclude_of(exclude)
        parts: tuple[bytes, ...]
        head = protocol.call_head(kind, flags, name, left_out, size)
        parts = (head + payload,) if size <= SMALL else (head, payload)
        call = Outgoing(kind, target, size, parts, waiter)
        self._link.put(call)
        return None if waiter is None else self._answer(call, waiter, wait)

    def _answer(self, call: Outgoing, waiter: Waiter, wait: float | None) -> Any:  # noqa: ANN401
        there = False
        try:
            there = waiter.wait(wait)
        finally:  # also when Ctrl-C ends the wait
            unsent = not there and self._link.withdraw(call)
        value: Any = waiter.value
        if value is None:
            raise TimeoutError(
                f"no answer within {wait} s: the call "
                + (
                    "was not sent, and will not be"
                    if unsent
                    else "was sent, so it may still be done"
                )
            )
        if isinstance(value, Exception):
            raise value
        if "error" in value:
            raise protocol.error_of(value)
        if "report" in value:
            queued, full, closed, failed = value["report"]
            clients = tuple(RemoteClient(*client) for client in full)
            return SendReport(queued=queued, full=clients, closed=closed, failed=failed)
        return value["value"]


def text_of(name: str, value: str) -> str:
    """Check that it is a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {value!r:.100}")
    return value


def payload_of(data: Data, text: bool | None) -> tuple[bytes, int]:
    """A private copy of the payload, and the flags that go with it."""
    if not (text is None or text is True or text is False):
        raise TypeError(f"text must be True, False or None, not {text!r:.100}")
    if isinstance(data, str):
        return data.encode(), 0 if text is False else TEXT
    if isinstance(data, PreparedMessage):
        if text is not None:
            raise TypeError(
                "text cannot be chosen for a PreparedMessage, which is text or binary "
                "already"
            )
        return data.data, TEXT if data.text else 0
    payload = data if type(data) is bytes else bytes_of(data)
    if text:
        str(payload, "utf-8")
    return payload, TEXT if text else 0


def bytes_of(data: Buffer) -> bytes:
    try:
        with memoryview(data) as view:
            if not view.c_contiguous:
                raise BufferError("data must be C-contiguous")
            return view.tobytes()
    except TypeError:
        raise TypeError(
            f"data must be str, bytes-like or a PreparedMessage, not {data!r:.100}"
        ) from None


def exclude_of(exclude: Excluded) -> bytes:
    """The ids to leave out, as the link has them."""
    if exclude == ():
        return b""
    what = "an iterable of RemoteClients and ids"
    if isinstance(exclude, (str, bytes)):
        raise TypeError(f"exclude must be {what}, not {exclude!r:.100}")
    try:
        items = iter(exclude)
    except TypeError:
        raise TypeError(f"exclude must be {what}, not {exclude!r:.100}") from None
    ids = [id_of(item) for item in items]
    return json.dumps(ids, ensure_ascii=False).encode() if ids else b""


def id_of(item: RemoteClient | str) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, RemoteClient):
        return item.id
    if isinstance(item, WSClient):
        raise TypeError(
            f"exclude must hold ids here, not {item!r:.100}: a WSClient belongs to a "
            "hub in this process; give its id if the other hub knows it"
        )
    raise TypeError(f"exclude must hold RemoteClients and ids, not {item!r:.100}")


def close_code_of(code: int) -> int:
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be an int, not {code!r:.100}")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(
            f"code must be 1000 to 1003, 1007 to 1014, or 3000 to 4999, not {code}"
        )
    return code


def reason_of(reason: str) -> bytes:
    data = text_of("reason", reason).encode()
    if len(data) > REASON:
        raise ValueError(
            f"reason must be at most {REASON} bytes of UTF-8, but has {len(data)}: "
            f"{reason!r:.200}"
        )
    return data


def int_of(name: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r:.100}")
    if not 1 <= value <= most:
        raise ValueError(f"{name} must be from 1 to {most}, not {value}")
    return value


def seconds_of(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r:.100}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(
            f"{name} must be a finite number of seconds from 0, not {value!r}"
        )
    return min(value, 1e7)
