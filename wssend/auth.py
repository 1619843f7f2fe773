"""Tokens and tickets: who a client is, told by something that it brings along.

Where the token is:

* :func:`bearer_token` finds it in a handshake: in the header ``Authorization:
  Bearer ...`` (RFC 6750), or, since browsers cannot set headers, among the
  subprotocols: ``new WebSocket(url, ["bearer", token])``.
* Not in the URL: those end in the logs of servers and proxies and in the
  browser's history. What can be used once, and soon, may be there: a ticket.

What it says:

* :class:`JWT` checks JSON Web Tokens (RFC 7519), with PyJWT:
  ``pip install "wssend[jwt]"``.
* :class:`Tickets` are one-time tickets: a page that the user has logged in to
  has one made, and connects with it.

And what follows from that: :func:`jwt_authorizer` and :func:`ticket_authorizer`
make functions that decide a handshake, for ``authorize=`` of
``wssend.aio.serve``, or for a thread that takes events::

    decide = jwt_authorizer(JWT(key))
    for event in hub.events():
        match event:
            case wssend.Authorize(handshake):
                handshake.decide(decide(handshake))

Nothing here blocks, and any thread may call it.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import json
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from .errors import WSSendError

if TYPE_CHECKING:
    from .authorize import Accept, Reject
    from .request import Request

__all__ = [
    "JWT",
    "InvalidTicket",
    "InvalidToken",
    "Ticket",
    "Tickets",
    "bearer_subprotocol",
    "bearer_token",
    "jwt_authorizer",
    "ticket_authorizer",
]

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.ASCII | re.IGNORECASE)
_MAX_TOKEN = 8192  # characters; the head of a handshake has no more
_MAX_TICKET = 4096
_MAX_USER = 255  # bytes, as of Accept


class InvalidToken(WSSendError, ValueError):
    """The token does not show who the client is. The text never repeats it.

    Attributes:
        reason: Why, in a word: ``"missing"``, ``"malformed"``, ``"algorithm"``,
            ``"signature"``, ``"expired"``, ``"early"`` (not valid yet),
            ``"audience"``, ``"issuer"`` or ``"claims"`` (one is missing, or not
            what it must be).
    """

    reason: str

    def __init__(self, text: str, /, *, reason: str = "malformed") -> None:
        super().__init__(text)
        self.reason = reason


class InvalidTicket(InvalidToken):
    """The ticket does not show who the client is.

    Attributes:
        reason: Why, in a word: ``"missing"``, ``"malformed"``, ``"signature"``,
            ``"expired"``, ``"early"``, ``"used"``, or ``"full"``: too many
            tickets that are still valid were redeemed, and this one, which may
            be good, could not be told from a used one.
    """


class _Handshake(Protocol):
    @property
    def request(self) -> Request: ...
    @property
    def subprotocols(self) -> Sequence[str]: ...


def bearer_token(handshake: _Handshake) -> str | None:
    """Return the token that a client brings along, or None.

    It is that of the header ``Authorization: Bearer TOKEN``, or else the one
    that follows ``"bearer"`` among the subprotocols. In the latter case the
    handshake must be accepted with a subprotocol that was offered, or browsers
    give up: see :func:`bearer_subprotocol`.

    None, too, for a header that came twice or is malformed, unless there is a
    subprotocol. Nothing has been checked: it is what the client claims.

    Args:
        handshake: What has the request and the offered subprotocols: a
            :class:`wssend.Handshake`.
    """
    lines = handshake.request.headers.get_all("Authorization")
    found = _BEARER.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is not None:
        return found[1]
    offered = list(handshake.subprotocols)
    at = offered.index("bearer") + 1 if "bearer" in offered else len(offered)
    return offered[at] if at < len(offered) else None


def bearer_subprotocol(handshake: _Handshake) -> str | None:
    """Return the subprotocol to accept a handshake with: ``"bearer"`` or None.

    ``"bearer"`` where the client offered it; an application with a subprotocol
    of its own accepts with that instead. Never accept with the token: it would
    stand in the answer.
    """
    return "bearer" if "bearer" in handshake.subprotocols else None


# Which keys fit which algorithms: two kinds are never mixed, or a public key
# might be taken for the secret of an HMAC.
_KINDS = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "a shared secret"),
    **dict.fromkeys(("RS256", "RS384", "RS512"), "an RSA key"),
    **dict.fromkeys(("PS256", "PS384", "PS512"), "an RSA key"),
    **dict.fromkeys(("ES256", "ES384", "ES512", "ES256K"), "an elliptic curve key"),
    "EdDSA": "an Edwards curve key",
}
_REASONS = {  # the errors of PyJWT, the special ones first
    "ExpiredSignatureError": ("expired", "the token has expired"),
    "ImmatureSignatureError": ("early", "the token is not valid yet"),
    "InvalidSignatureError": ("signature", "the token's signature is wrong"),
    "InvalidAlgorithmError": ("algorithm", "the token's algorithm is not allowed"),
    "InvalidAudienceError": ("audience", "the token is for another audience"),
    "InvalidIssuerError": ("issuer", "the token is from another issuer"),
    "MissingRequiredClaimError": ("claims", "the token lacks a claim that it needs"),
    "DecodeError": ("malformed", "the token is malformed"),
}


class JWT:
    """Checks JSON Web Tokens (RFC 7519); immutable.

    A token must have an expiry, and that must not have passed; ``nbf`` and
    ``iat``, where it has them, must not lie in the future.

    Args:
        key: The secret for HS256 and its like, at least as long as the hash
            (32 bytes for HS256); a public key, in PEM or as PyJWT takes it, for
            the others, which also need the package ``cryptography``.
        algorithms: Those that are allowed, all for the same kind of key:
            ``["HS256"]``, ``["RS256", "PS256"]``. ``none`` never is.
        audience: What ``aud`` must be or contain; a token that has one is
            refused where None is given.
        issuer: What ``iss`` must be; None: anything.
        leeway: Seconds by which the clocks may differ.
        user_claim: The claim that names the user.
        max_age: Seconds that a token may be used from its ``iat`` on, which it
            then must have; None: until it expires.
        require_expiry: False takes tokens that never expire.

    Raises:
        ImportError: PyJWT, or what an algorithm needs, is not installed.
        ValueError: An algorithm that is unknown, ``none``, or for another kind
            of key; a key that is too short or is not for the algorithms.
        TypeError: An argument of a wrong type.
    """

    def __init__(
        self,
        key: object,
        algorithms: Iterable[str] = ("HS256",),
        *,
        audience: str | Iterable[str] | None = None,
        issuer: str | None = None,
        leeway: float = 0.0,
        user_claim: str = "sub",
        max_age: float | None = None,
        require_expiry: bool = True,
    ) -> None:
        self._jwt = _import_pyjwt()
        self._algorithms = _check_algorithms(algorithms)
        self._key = _check_key(key, self._algorithms)
        for name in set(self._algorithms) - set(self._jwt.PyJWS().get_algorithms()):
            raise ImportError(
                f"{name} needs cryptography: pip install cryptography", name="jwt"
            )
        self._audience = (
            audience if audience is None or isinstance(audience, str) else [*audience]
        )
        self._issuer = issuer
        self._leeway = _seconds("leeway", leeway, zero=True)
        self._max_age = None if max_age is None else _seconds("max_age", max_age)
        if not isinstance(user_claim, str) or not user_claim:
            raise TypeError(f"user_claim must be a str, not {user_claim!r}")
        self._user_claim = user_claim
        self._required = ["exp"] if require_expiry else []
        if max_age is not None:
            self._required.append("iat")

    def claims(self, token: str) -> dict[str, Any]:
        """Return all that a token says, checked.

        Raises:
            InvalidToken: It does not hold; ``reason`` says why.
            TypeError: token is not a str.
        """
        _check_text("token", token)
        if not token:
            raise InvalidToken("there is no token", reason="missing")
        if len(token) > _MAX_TOKEN or not token.isascii():
            raise InvalidToken("the token is malformed", reason="malformed")
        claims = self._decode(token)
        self._check_age(claims)
        return claims

    def user_of(self, token: str) -> str:
        """Return the user that a token names; a number becomes a str.

        Raises:
            InvalidToken: As :meth:`claims`, or it names none.
            TypeError: token is not a str.
        """
        return self._user_in(self.claims(token))

    def _user_in(self, claims: dict[str, Any]) -> str:
        user = claims.get(self._user_claim)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not user or "\0" in user:
            raise InvalidToken(
                f"the token names no user: its claim {self._user_claim!r}",
                reason="claims",
            )
        return user

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            decoded: dict[str, Any] = self._jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": self._required},
            )
        except self._jwt.PyJWTError as error:
            raise _translate(error) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            # What its JSON parser or its clock make of a hostile one.
            raise InvalidToken("the token is malformed", reason="malformed") from None
        return decoded

    def _check_age(self, claims: dict[str, Any]) -> None:
        if self._max_age is None:
            return
        issued = claims.get("iat")
        if isinstance(issued, bool) or not isinstance(issued, (int, float)):
            raise InvalidToken("the token's iat is not a number", reason="claims")
        # A comparison, for it may be too large a number to calculate with.
        if not issued >= time.time() - self._max_age - self._leeway:
            raise InvalidToken("the token is too old", reason="expired")


def _import_pyjwt() -> ModuleType:
    try:
        import jwt
    except ImportError as error:
        raise ImportError(
            'checking JWTs needs PyJWT: pip install "wssend[jwt]"', name="jwt"
        ) from error
    return jwt


def _translate(error: Exception) -> InvalidToken:
    for cls in type(error).__mro__:
        if cls.__name__ in _REASONS:
            reason, text = _REASONS[cls.__name__]
            return InvalidToken(text, reason=reason)
    return InvalidToken("the token's claims are not what they must be", reason="claims")


def _check_algorithms(algorithms: Iterable[str]) -> list[str]:
    if isinstance(algorithms, str):
        raise TypeError(f"algorithms must be a list of names, not {algorithms!r}")
    names = list(algorithms)
    unknown = [name for name in names if name not in _KINDS]
    if not names or unknown:
        raise ValueError(
            f"algorithms must be among {', '.join(_KINDS)}, not {(unknown or names)!r}"
        )
    if len({_KINDS[name] for name in names}) > 1:
        raise ValueError(
            f"algorithms must all be for one kind of key, not {names!r}: "
            "a JWT for each kind"
        )
    return names


def _check_key(key: object, algorithms: list[str]) -> object:
    if key is None or (isinstance(key, (str, bytes)) and not key):
        raise ValueError("key must not be empty")
    shared = [name for name in algorithms if name.startswith("HS")]
    if not shared:
        return key
    secret = _as_secret("key", key)
    if secret.lstrip().startswith((b"-----BEGIN", b"ssh-", b"ecdsa-")):
        raise ValueError(
            f"key is not a secret but a key pair's, which {shared[0]} must not use"
        )
    least = max(int(name[2:]) // 8 for name in shared)
    if len(secret) < least:
        raise ValueError(
            f"key must have at least {least} bytes for {', '.join(shared)}, but has "
            f"{len(secret)}: secrets.token_bytes({least}) makes one"
        )
    return secret


def _as_secret(name: str, value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{name} must be str or bytes, not {type(value).__name__}")


def _seconds(name: str, value: float, *, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(
            f"{name} must be a finite number of seconds {'from' if zero else 'above'} "
            f"0, not {value!r}"
        )
    return float(value)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket said, once it was redeemed.

    Attributes:
        user: Whom it was issued to.
        claims: What else was given to :meth:`Tickets.issue`, as JSON has it.
        issued: When, in seconds since the epoch by the issuer's clock.
        expires: Until when it could be redeemed, likewise.
    """

    user: str
    claims: dict[str, Any]
    issued: float
    expires: float


class Tickets:
    """One-time tickets, for browsers, which cannot set headers.

    A page that knows its user fetches a ticket, wherever the secret is known: a
    view, another process, another host. It connects with it at once, as a
    subprotocol or in the URL: once redeemed it is worthless, so a log may have
    it. :meth:`redeem` belongs where the hub is.

    A ticket is signed (HMAC-SHA256), not encrypted: who holds it can read its
    user and claims. That it is redeemed only once holds for one Tickets object:
    keep one in the hub's process, and none across a fork. The clocks of issuer
    and hub must agree within a fraction of ``ttl``.

    Args:
        secret: At least 16 bytes that only issuers and hubs know; a str is taken
            as UTF-8. It may have other uses: a key of its own is derived.
        ttl: Seconds in which a ticket issued here must be redeemed.
        skew: Seconds that an issuer's clock may be ahead of this one.
        max_used: How many used tickets are remembered until they expire, some
            150 bytes each. Beyond that every ticket is refused (``"full"``).

    Raises:
        TypeError: An argument of a wrong type.
        ValueError: A secret that is too short, or a number out of range.
    """

    def __init__(
        self,
        secret: str | bytes,
        ttl: float = 30.0,
        *,
        skew: float = 5.0,
        max_used: int = 100_000,
    ) -> None:
        raw = _as_secret("secret", secret)
        if len(raw) < 16:
            raise ValueError(
                f"secret must have at least 16 bytes, but has {len(raw)}: "
                "secrets.token_bytes(32) makes one"
            )
        if isinstance(max_used, bool) or not isinstance(max_used, int):
            raise TypeError(f"max_used must be an int, not {max_used!r}")
        if max_used < 1:
            raise ValueError(f"max_used must be at least 1, not {max_used!r}")
        self._key = hmac.new(raw, b"wssend.auth.Tickets 1", hashlib.sha256).digest()
        self._ttl = _seconds("ttl", ttl)
        self._skew = _seconds("skew", skew, zero=True)
        self._max_used = max_used
        self._lock = threading.Lock()  # guards all below
        self._used: set[str] = set()
        self._order: list[tuple[float, str]] = []  # a heap of them, by expiry
        self._forgotten = -math.inf  # the latest expiry of those forgotten

    def issue(self, user: str, /, **claims: object) -> str:
        """Return a new ticket: letters, digits, ``-``, ``_`` and one ``.``.

        Args:
            user: Whom it is for: not empty.
            claims: Whatever else, as JSON.

        Raises:
            TypeError: user is not a str, or a claim is not JSON.
            ValueError: user is empty; the ticket has more than 4096 characters.
        """
        if not isinstance(user, str):
            raise TypeError(f"user must be a str, not {user!r}: str(user.pk), say")
        if not user or "\0" in user:
            raise ValueError(f"user must not be empty or hold a NUL, but is {user!r}")
        user.encode()  # or nobody could be called so
        now = time.time()
        said = [secrets.token_urlsafe(16), now, now + self._ttl, user, claims]
        body = _encode(json.dumps(said, allow_nan=False, separators=(",", ":")))
        ticket = f"{body}.{self._sign(body)}"
        if len(ticket) > _MAX_TICKET:
            raise ValueError(
                f"user and claims are too large: a ticket of {len(ticket)} "
                f"characters, of at most {_MAX_TICKET}"
            )
        return ticket

    def redeem(self, ticket: str) -> Ticket:
        """Return what a ticket says, and make it worthless.

        Of several threads that redeem the same one, one succeeds.

        Raises:
            InvalidTicket: It does not hold; ``reason`` says why.
            TypeError: ticket is not a str.
        """
        _check_text("ticket", ticket)
        nonce, opened = self._open(ticket)
        now = time.time()
        if opened.issued > now + self._skew:
            raise InvalidTicket("the ticket is not valid yet", reason="early")
        with self._lock:
            self._forget(now)
            if opened.expires <= max(now, self._forgotten):
                raise InvalidTicket("the ticket has expired", reason="expired")
            if nonce in self._used:
                raise InvalidTicket("the ticket was used before", reason="used")
            if len(self._used) >= self._max_used:
                raise InvalidTicket(
                    f"{self._max_used} used tickets are remembered: max_used",
                    reason="full",
                )
            self._used.add(nonce)
            heapq.heappush(self._order, (opened.expires, nonce))
        return opened

    def _sign(self, body: str) -> str:
        return _encode(hmac.new(self._key, body.encode(), hashlib.sha256).digest())

    def _open(self, ticket: str) -> tuple[str, Ticket]:
        """The nonce, and what it says; only of a ticket that we, or others with
        the secret, have issued."""
        if not ticket:
            raise InvalidTicket("there is no ticket", reason="missing")
        body, dot, signature = ticket.partition(".")
        if not dot or len(ticket) > _MAX_TICKET or not ticket.isascii():
            raise InvalidTicket("the ticket is malformed", reason="malformed")
        if not hmac.compare_digest(self._sign(body), signature):
            raise InvalidTicket("the ticket's signature is wrong", reason="signature")
        nonce, issued, expires, user, claims = json.loads(_decode(body))
        return nonce, Ticket(user, claims, issued, expires)

    def _forget(self, now: float) -> None:
        """Of those that have expired nothing need be known but when: should the
        clock be set back, they stay so."""
        while self._order and self._order[0][0] <= now:
            expires, nonce = heapq.heappop(self._order)
            self._used.remove(nonce)
            self._forgotten = max(self._forgotten, expires)


def _encode(data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


_Authorizer = Callable[[_Handshake], "Accept | Reject"]


def jwt_authorizer(
    jwt: JWT, *, topics: Iterable[str] = (), close_code: int | None = None
) -> _Authorizer:
    """Return a function that decides a handshake by its bearer token.

    A token that holds is accepted, as the user that it names; any other is
    rejected with 401, and so is one whose user is longer than 255 bytes of UTF-8.

    Args:
        jwt: What checks the tokens.
        topics: What each client is subscribed to.
        close_code: 4401, say: rejected clients are connected, and at once closed
            with this code; browsers cannot see a status.
    """
    names = tuple(topics)

    def decide(handshake: _Handshake) -> Accept | Reject:
        return _decide(
            handshake,
            lambda: jwt.user_of(bearer_token(handshake) or ""),
            names,
            close_code,
        )

    return decide


def ticket_authorizer(
    tickets: Tickets,
    *,
    parameter: str | None = "ticket",
    topics: Iterable[str] = (),
    close_code: int | None = None,
) -> _Authorizer:
    """Return a function that decides a handshake by its one-time ticket.

    The ticket comes as a bearer token does, or in the URL:
    ``new WebSocket(url + "?ticket=" + ticket)``. One that holds is accepted, as
    the user that it was issued to; any other is rejected with 401, and so is one
    whose user is longer than 255 bytes of UTF-8.

    Args:
        tickets: What redeems them.
        parameter: The query parameter that may have it; None: none.
        topics: What each client is subscribed to.
        close_code: As for :func:`jwt_authorizer`.
    """
    names = tuple(topics)

    def decide(handshake: _Handshake) -> Accept | Reject:
        ticket = bearer_token(handshake) or _parameter(handshake, parameter)
        return _decide(
            handshake, lambda: tickets.redeem(ticket).user, names, close_code
        )

    return decide


def _parameter(handshake: _Handshake, name: str | None) -> str:
    query = handshake.request.query
    values = parse_qs(query).get(name, []) if name is not None else []
    return values[0] if len(values) == 1 else ""


def _decide(
    handshake: _Handshake,
    find_user: Callable[[], str],
    topics: tuple[str, ...],
    close_code: int | None,
) -> Accept | Reject:
    from .authorize import Accept, Reject

    try:
        user = find_user()
        if not _may_be_called(user):
            raise InvalidToken("the user's name cannot be used", reason="claims")
    except InvalidToken as error:
        headers = [("WWW-Authenticate", "Bearer")] if close_code is None else []
        text = str(error)
        if close_code is not None:  # a reason, of 123 bytes at most
            text = text.encode(errors="replace")[:123].decode(errors="ignore")
        return Reject(401, text, headers, close_code=close_code)
    return Accept(user=user, topics=topics, subprotocol=bearer_subprotocol(handshake))


def _may_be_called(user: str) -> bool:
    """Whether a client can have that user: what a token names, its issuer, or
    whoever could choose a name there, has chosen."""
    try:
        return len(user.encode()) <= _MAX_USER
    except UnicodeEncodeError:
        return False
