"""What :meth:`wssend.Handshake.decide` is told: let a client in, or do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Accept", "Reject"]


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the client in.

    It is checked when it is made, but for what only a handshake can tell: which
    subprotocols the client offers. Topics and headers are kept as tuples.

    Args:
        user: Whose connection it is, 1 to 255 bytes of UTF-8; None: nobody's.
        id: Names the connection, likewise; None: one is generated.
        topics: What it is subscribed to; an iterable of str, 256 at most.
        subprotocol: One of those that the client offers; None: as the hub has it.
        headers: More header lines for the 101, at most 8192 bytes: a mapping, or
            pairs of name and value.
        replace: Whether an open client that has the id is closed, with 4409.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: One that cannot be used.

    :meth:`wssend.Handshake.accept` says more of each.

    >>> Accept(user="42", topics=["news"])
    Accept(user='42', id=None, topics=('news',), subprotocol=None, headers=(), \
replace=False)
    """

    user: str | None = None
    id: str | None = None
    topics: Iterable[str] = ()
    subprotocol: str | None = None
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    replace: bool = False

    def __post_init__(self) -> None:
        from ._core import _check_accept

        topics, headers = _check_accept(
            self.user,
            self.id,
            self.topics,
            self.subprotocol,
            self.headers,
            self.replace,
        )
        object.__setattr__(self, "topics", topics)
        object.__setattr__(self, "headers", headers)


@dataclass(frozen=True, slots=True)
class Reject:
    """Turn the client away.

    It is checked when it is made. Headers are kept as a tuple.

    Args:
        status: Of HTTP, 400 to 599; or 300 to 399, but 304, with a Location.
        body: Of the answer, at most 4096 bytes of UTF-8; with close_code the
            reason, at most 123.
        headers: More header lines, at most 8192 bytes: a mapping, or pairs of
            name and value.
        close_code: The WebSocket opens and is closed with that code, which a
            page in a browser can read; None: it does not open.

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: One that cannot be used.

    :meth:`wssend.Handshake.reject` says more of each.

    >>> Reject(401, "Who are you?", {"WWW-Authenticate": "Bearer"})
    Reject(status=401, body='Who are you?', \
headers=(('WWW-Authenticate', 'Bearer'),), close_code=None)
    """

    status: int = 403
    body: str = ""
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()
    close_code: int | None = None

    def __post_init__(self) -> None:
        from ._core import _check_reject

        headers = _check_reject(self.status, self.body, self.headers, self.close_code)
        object.__setattr__(self, "headers", headers)
