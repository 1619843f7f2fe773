"""The HTTP request with which a client connected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Headers", "Request"]


class Headers(Mapping[str, str]):
    """Header fields by name; names are found in any case.

    A field that came more than once is one value, joined with ``", "`` as HTTP
    has it (``"; "`` for ``Cookie``); :meth:`get_all` has each line. Iterating
    gives each name once, as it was first spelled.

    Args:
        lines: Names and values, in the order in which they were sent.

    >>> headers = Headers([("Host", "localhost"), ("Via", "a"), ("via", "b")])
    >>> headers["VIA"], headers.get_all("via"), list(headers)
    ('a, b', ['a', 'b'], ['Host', 'Via'])
    """

    __slots__ = ("_fields",)

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, tuple[str, list[str]]] = {}
        for name, value in lines:
            self._fields.setdefault(name.lower(), (name, []))[1].append(value)

    def get_all(self, name: str) -> list[str]:
        """Return the value of each line of that name, in order; [] for none."""
        entry = self._fields.get(name.lower())
        return [] if entry is None else entry[1].copy()

    def __getitem__(self, name: str) -> str:
        key = name.lower()
        separator = "; " if key == "cookie" else ", "
        try:
            return separator.join(self._fields[key][1])
        except KeyError:
            raise KeyError(name) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]

    def _values(self) -> dict[str, list[str]]:
        return {key: values for key, (_, values) in self._fields.items()}

    def __repr__(self) -> str:
        lines = [(name, v) for name, values in self._fields.values() for v in values]
        return f"Headers({lines!r})"


def _parse_cookies(lines: Iterable[str]) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for line in lines:
        for part in line.split(";"):
            name, equals, value = part.partition("=")
            name, value = name.strip(), value.strip()
            if len(value) >= 2 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if name and equals:
                cookies.setdefault(name, value)
    return cookies


def _split_target(target: str) -> tuple[str, str]:
    if not target.startswith("/"):  # http://host:port/path?query, RFC 9112 3.2.2
        authority = target.partition("://")[2]
        at = min(
            i
            for i in (authority.find("/"), authority.find("?"), len(authority))
            if i >= 0
        )
        target = authority[at:]
    path, _, query = target.partition("?")
    return path or "/", query


class Request:
    """The head of the HTTP request with which a client connected.

    It is parsed at first use. Text is decoded as Latin-1, which never fails and
    loses nothing. It is what the client claims: check it before you rely on it.

    Args:
        raw: The head's bytes, from the request line to the empty line.
        subprotocol: The subprotocol that was agreed on, or None.

    >>> request = Request(b"GET /chat?room=7 HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    >>> request.path, request.query, request.headers["host"]
    ('/chat', 'room=7', 'localhost')
    """

    __slots__ = ("_cookies", "_headers", "_raw", "_subprotocol", "_target")

    def __init__(self, raw: bytes, subprotocol: str | None = None) -> None:
        self._raw = raw
        self._subprotocol = subprotocol
        self._target: tuple[str, str] | None = None
        self._headers: Headers | None = None
        self._cookies: dict[str, str] | None = None

    @property
    def raw(self) -> bytes:
        """The head as it came, from the request line to the empty line."""
        return self._raw

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed on, or None."""
        return self._subprotocol

    @property
    def path(self) -> str:
        """The path, percent-encoded as it was sent: ``"/chat"``."""
        return self._parse_target()[0]

    @property
    def query(self) -> str:
        """What followed the ``?``, as it was sent; empty when nothing did.

        :func:`urllib.parse.parse_qs` takes it apart.
        """
        return self._parse_target()[1]

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            lines = self._raw.decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in lines if line)
            self._headers = Headers(
                (name, value.strip(" \t")) for name, _, value in pairs
            )
        return self._headers

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name, without quotes; of two equal names the first.

        The dict is this request's own: changing it changes what the next
        reader sees.
        """
        if self._cookies is None:
            self._cookies = _parse_cookies(self.headers.get_all("cookie"))
        return self._cookies

    def _parse_target(self) -> tuple[str, str]:
        if self._target is None:
            line = self._raw.partition(b"\r\n")[0].decode("latin-1")
            parts = line.split(" ")
            self._target = _split_target(parts[1] if len(parts) > 1 else "/")
        return self._target

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._raw, self._subprotocol)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Request):
            return NotImplemented
        return (self._raw, self._subprotocol) == (other._raw, other._subprotocol)

    def __hash__(self) -> int:
        return hash((self._raw, self._subprotocol))

    def __repr__(self) -> str:
        return f"<Request {self.path!r} query={self.query!r}>"
