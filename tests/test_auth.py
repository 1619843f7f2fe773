"""wssend.auth: tokens and tickets, and what attackers make of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt as pyjwt
import pytest
from kit import Background

import wssend
from wssend.auth import (
    JWT,
    InvalidTicket,
    InvalidToken,
    Ticket,
    Tickets,
    bearer_subprotocol,
    bearer_token,
    jwt_authorizer,
    ticket_authorizer,
)

KEY = b"0123456789abcdef0123456789abcdef"
FAR = 4_102_444_800  # the year 2100
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0C\n-----END PUBLIC KEY-----\n"


@dataclass
class Handshake:
    """What a client brings along."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    subprotocols: tuple[str, ...] = ()
    target: str = "/"

    @property
    def request(self) -> wssend.Request:
        lines = [f"GET {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return wssend.Request(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))


def bearing(token: str) -> Handshake:
    return Handshake([("Authorization", f"Bearer {token}")])


def token(claims: dict[str, Any] | None = None, key: bytes = KEY, **more: Any) -> str:
    now = time.time()
    said = {"sub": "42", "iat": now, "exp": now + 60, **(claims or {})}
    said = {name: value for name, value in said.items() if value is not None}
    return pyjwt.encode(said, key, **{"algorithm": "HS256", **more})


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_hand(header: object, claims: object, key: bytes = KEY) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.new(key, text.encode(), hashlib.sha256).digest())}"


def why(call: Callable[..., object], *arguments: str) -> str:
    """The reason for which a token or ticket is refused."""
    with pytest.raises(InvalidToken) as caught:
        call(*arguments)
    return caught.value.reason


# ---- where the token is


@pytest.mark.parametrize(
    ("headers", "subprotocols", "found"),
    [
        ([], (), None),
        ([("Authorization", "Bearer abc.DEF-1_~+/==")], (), "abc.DEF-1_~+/=="),
        ([("AUTHORIZATION", "bEARER   abc ")], (), "abc"),
        ([("Authorization", "Bearer")], (), None),
        ([("Authorization", "Bearer ")], (), None),
        ([("Authorization", "Bearer a b")], (), None),
        ([("Authorization", "Bearer a=b")], (), None),
        ([("Authorization", "Bearer a,b")], (), None),
        ([("Authorization", "Bearer \xe4")], (), None),
        ([("Authorization", "Basic abc")], (), None),
        ([("Authorization", "BearerX abc")], (), None),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], (), None),
        ([], ("bearer", "abc"), "abc"),
        ([], ("chat", "bearer", "abc", "v2"), "abc"),
        ([], ("bearer",), None),
        ([], ("Bearer", "abc"), None),
        ([], ("abc", "bearer"), None),
        ([("Authorization", "Bearer a")], ("bearer", "b"), "a"),
        ([("Authorization", "Basic a")], ("bearer", "b"), "b"),
    ],
)
def test_a_bearer_token_is_found_where_it_may_be(
    headers: list[tuple[str, str]], subprotocols: tuple[str, ...], found: str | None
) -> None:
    assert bearer_token(Handshake(headers, subprotocols)) == found


def test_the_subprotocol_to_accept_with_is_never_the_token() -> None:
    assert bearer_subprotocol(Handshake(subprotocols=("bearer", "abc"))) == "bearer"
    assert bearer_subprotocol(Handshake(subprotocols=("chat",))) is None


# ---- JSON Web Tokens


def test_a_token_names_its_user_and_claims() -> None:
    checker = JWT(KEY)
    assert checker.user_of(token()) == "42"
    assert checker.claims(token({"role": "admin"}))["role"] == "admin"
    assert JWT(KEY.decode()).user_of(token()) == "42"
    assert JWT(KEY, user_claim="user_id").user_of(token({"user_id": 7})) == "7"
    both = JWT(KEY * 2, algorithms=("HS256", "HS512"))
    assert both.user_of(token(key=KEY * 2, algorithm="HS512")) == "42"


@pytest.mark.parametrize(
    ("claims", "options", "reason"),
    [
        ({"exp": 1}, {}, "expired"),
        ({"exp": None}, {}, "claims"),
        ({"exp": "soon"}, {}, "malformed"),
        ({"exp": float("inf")}, {}, "malformed"),
        ({"nbf": FAR}, {}, "early"),
        ({"iat": FAR}, {}, "early"),
        ({"aud": "other"}, {}, "audience"),
        ({"aud": "other"}, {"audience": "us"}, "audience"),
        ({}, {"audience": "us"}, "claims"),
        ({"iss": "other"}, {"issuer": "us"}, "issuer"),
        ({}, {"issuer": "us"}, "claims"),
        ({"iat": None}, {"max_age": 10}, "claims"),
        ({"iat": 1}, {"max_age": 10}, "expired"),
        ({"sub": None}, {}, "claims"),
        ({"sub": ""}, {}, "claims"),
        ({"sub": "a\0b"}, {}, "claims"),
        ({"id": True}, {"user_claim": "id"}, "claims"),
        ({"id": ["42"]}, {"user_claim": "id"}, "claims"),
    ],
)
def test_a_token_that_does_not_hold_says_why(
    claims: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    checker = JWT(KEY, **options)
    assert why(lambda: checker.user_of(token(claims))) == reason


def test_what_the_checker_allows_is_taken() -> None:
    now = time.time()
    late = token({"exp": now - 10, "nbf": now + 10, "iat": now - 50})
    assert JWT(KEY, leeway=300, max_age=20).user_of(late) == "42"
    assert JWT(KEY, require_expiry=False).user_of(token({"exp": None})) == "42"
    us = token({"aud": ["them", "us"], "iss": "us"})
    assert JWT(KEY, audience="us", issuer="us").user_of(us) == "42"
    assert JWT(KEY, audience=["a", "us"]).user_of(us) == "42"


CLAIMS = {"sub": "42", "exp": FAR}


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        ("", {"missing"}),
        ("a", {"malformed"}),
        ("a.b", {"malformed"}),
        ("...", {"malformed"}),
        ("\u20ac.\u20ac.\u20ac", {"malformed"}),
        ("a" * 100_000, {"malformed"}),
        (part({"alg": "none"}) + "." + part(CLAIMS) + ".", {"algorithm", "malformed"}),
        (signed_by_hand({"alg": "none"}, CLAIMS), {"algorithm"}),
        (signed_by_hand({"alg": "None"}, CLAIMS), {"algorithm"}),
        (signed_by_hand({"alg": "HS512"}, CLAIMS), {"algorithm"}),
        (signed_by_hand({"alg": "RS256"}, CLAIMS), {"algorithm"}),
        (signed_by_hand({"alg": ["HS256"]}, CLAIMS), {"algorithm", "malformed"}),
        (signed_by_hand({}, CLAIMS), {"algorithm", "malformed"}),
        (signed_by_hand([], CLAIMS), {"malformed"}),
        (signed_by_hand({"alg": "HS256"}, []), {"malformed"}),
        (signed_by_hand({"alg": "HS256"}, CLAIMS, b"x" * 32), {"signature"}),
        (signed_by_hand({"alg": "HS256", "jwk": {}}, CLAIMS, b"x"), {"signature"}),
        (signed_by_hand(b"[" * 5000, b"{}"), {"malformed"}),
        (signed_by_hand({"alg": "HS256"}, b"[" * 5000), {"malformed"}),
        (
            signed_by_hand({"alg": "HS256"}, b'{"exp":' + b"9" * 5000 + b"}"),
            {"malformed"},
        ),
    ],
)
def test_a_hostile_token_is_refused(bad: str, reasons: set[str]) -> None:
    assert why(JWT(KEY).user_of, bad) in reasons


def test_no_change_of_a_token_gets_through() -> None:
    checker = JWT(KEY)
    good = token()
    for end in range(len(good)):
        assert why(checker.claims, good[:end]) != "expired"
    rng = random.Random(7)
    for _ in range(500):
        at = rng.randrange(len(good) - 1)  # the last character has spare bits
        other = rng.choice([c for c in "Aaz09-_.=%" if c != good[at]])
        changed = good[:at] + other + good[at + 1 :]
        with pytest.raises(InvalidToken):
            checker.claims(changed)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"algorithms": []}, ValueError, "algorithms must be among"),
        ({"algorithms": ["none"]}, ValueError, r"not \['none'\]"),
        ({"algorithms": ["HS256", "None"]}, ValueError, r"not \['None'\]"),
        ({"algorithms": "HS256"}, TypeError, "algorithms must be a list"),
        ({"algorithms": ["HS256", "RS256"]}, ValueError, "for one kind of key"),
        ({"key": b"short"}, ValueError, "key must have at least 32 bytes"),
        ({"algorithms": ["HS512"]}, ValueError, "key must have at least 64 bytes"),
        ({"key": ""}, ValueError, "key must not be empty"),
        ({"key": None}, ValueError, "key must not be empty"),
        ({"key": 7}, TypeError, "key must be str or bytes, not int"),
        ({"key": PUBLIC_KEY}, ValueError, "not a secret but a key pair's"),
        ({"leeway": -1}, ValueError, "leeway must be"),
        ({"max_age": 0}, ValueError, "max_age must be"),
        ({"max_age": "1"}, TypeError, "max_age must be"),
        ({"user_claim": ""}, TypeError, "user_claim must be"),
    ],
)
def test_a_checker_that_would_be_unsafe_is_not_made(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        JWT(**{"key": KEY, **arguments})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(ImportError, match=r'pip install "wssend\[jwt\]"'):
        JWT(KEY)


def test_a_missing_algorithm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyjwt.PyJWS, "get_algorithms", lambda self: ["HS256"])
    with pytest.raises(ImportError, match="RS256 needs cryptography"):
        JWT(PUBLIC_KEY, ["RS256"])


def test_a_token_is_a_str() -> None:
    with pytest.raises(TypeError, match="token must be a str, not bytes"):
        JWT(KEY).claims(b"a.b.c")  # type: ignore[arg-type]


# ---- tickets

UNCHECKED: Any = Tickets  # for what the type checker would refuse


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock: a list with the time."""
    clock = [1_700_000_000.0]
    monkeypatch.setattr("wssend.auth.time.time", lambda: clock[0])
    return clock


def test_a_ticket_is_redeemed_once(now: list[float]) -> None:
    tickets = Tickets(KEY)
    ticket = tickets.issue("42", room=7, tags=["a", None])
    assert set(ticket) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )
    redeemed = tickets.redeem(ticket)
    claims = {"room": 7, "tags": ["a", None]}
    assert redeemed == Ticket("42", claims, now[0], now[0] + 30)
    assert why(tickets.redeem, ticket) == "used"


def test_a_ticket_is_issued_anywhere_and_a_secret_is_text_or_bytes() -> None:
    issued = Tickets(KEY.decode()).issue("J\u00fcrgen \U0001f600")
    assert Tickets(KEY).redeem(issued).user == "J\u00fcrgen \U0001f600"
    other = Tickets(b"another secret, long enough")
    assert why(other.redeem, issued) == "signature"


def test_no_two_tickets_are_the_same(now: list[float]) -> None:
    tickets = Tickets(KEY)
    assert len({tickets.issue("42") for _ in range(100)}) == 100


def test_a_ticket_expires_and_may_be_ahead_by_little(now: list[float]) -> None:
    tickets = Tickets(KEY, ttl=10, skew=5)
    one, two = tickets.issue("1"), tickets.issue("2")
    now[0] += 9.9
    assert tickets.redeem(one).user == "1"
    now[0] += 0.2
    assert why(tickets.redeem, two) == "expired"
    ahead = tickets.issue("3")
    now[0] -= 5.1
    assert why(tickets.redeem, ahead) == "early"
    now[0] += 0.2
    assert tickets.redeem(ahead).user == "3"


def test_a_clock_that_is_set_back_revives_no_ticket(now: list[float]) -> None:
    tickets = Tickets(KEY, ttl=10, skew=100)
    used = tickets.issue("1")
    tickets.redeem(used)
    now[0] += 20
    tickets.redeem(tickets.issue("2"))  # the first is forgotten
    now[0] -= 20
    assert why(tickets.redeem, used) == "expired"


def test_what_is_remembered_is_bounded_and_expires(now: list[float]) -> None:
    tickets = Tickets(KEY, ttl=10, max_used=3)
    for i in range(3):
        tickets.redeem(tickets.issue(str(i)))
    waiting = tickets.issue("late", ttl="a claim like any other")
    assert why(tickets.redeem, waiting) == "full"
    now[0] += 11
    assert tickets.redeem(tickets.issue("4")).user == "4"


def test_of_many_threads_one_redeems_it() -> None:
    tickets = Tickets(KEY)
    count = 16
    for _ in range(20):
        ticket = tickets.issue("42")
        start = threading.Barrier(count)

        def redeem(ticket: str = ticket, start: threading.Barrier = start) -> str:
            start.wait(20)
            try:
                return tickets.redeem(ticket).user
            except InvalidTicket as error:
                return error.reason

        threads = [Background(redeem) for _ in range(count)]
        got = sorted(thread.result() for thread in threads)
        assert got == ["42"] + ["used"] * (count - 1)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "missing"),
        ("abc", "malformed"),
        (".", "signature"),
        ("a.b.c", "signature"),
        ("\u20ac.a", "malformed"),
        ("a" * 5000 + ".a", "malformed"),
        (part([1, 2, 3]) + "." + part(b"x" * 32), "signature"),
        (signed_by_hand(["n", 0, 9e12, "42", {}], {}), "signature"),
    ],
)
def test_a_hostile_ticket_is_refused(bad: str, reason: str) -> None:
    assert why(Tickets(KEY).redeem, bad) == reason


def test_no_change_of_a_ticket_gets_through() -> None:
    tickets = Tickets(KEY)
    good = tickets.issue("42")
    for end in range(len(good)):
        assert why(tickets.redeem, good[:end]) != "expired"
    rng = random.Random(7)
    for _ in range(500):
        at = rng.randrange(len(good))
        other = rng.choice([c for c in "Aaz09-_.=%" if c != good[at]])
        changed = good[:at] + other + good[at + 1 :]
        assert why(tickets.redeem, changed) != "used"
    for more in ("=", "A", ".", " ", "\n"):
        assert why(tickets.redeem, good + more) == "signature"
    assert tickets.redeem(good).user == "42"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: UNCHECKED("short"), ValueError, "secret must have at least 16"),
        (lambda: UNCHECKED(7), TypeError, "secret must be str or bytes"),
        (lambda: UNCHECKED(KEY, ttl=0), ValueError, "ttl must be"),
        (lambda: UNCHECKED(KEY, skew=-1), ValueError, "skew must be"),
        (lambda: UNCHECKED(KEY, max_used=0), ValueError, "max_used must be at least 1"),
        (lambda: UNCHECKED(KEY, max_used=1.5), TypeError, "max_used must be an int"),
        (
            lambda: UNCHECKED(KEY).issue(42),
            TypeError,
            r"user must be a str, not 42: str",
        ),
        (lambda: UNCHECKED(KEY).issue(None), TypeError, "user must be a str, not None"),
        (lambda: UNCHECKED(KEY).issue(""), ValueError, "user must not be empty"),
        (lambda: UNCHECKED(KEY).issue("\ud800"), ValueError, "surrogates"),
        (lambda: UNCHECKED(KEY).issue("a", x={1}), TypeError, "not JSON serializable"),
        (
            lambda: UNCHECKED(KEY).issue("a", x="y" * 4000),
            ValueError,
            "of at most 4096",
        ),
        (lambda: UNCHECKED(KEY).redeem(b"a.b"), TypeError, "ticket must be a str"),
    ],
)
def test_a_wrong_argument_is_named(
    call: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        call()


# ---- errors, and what decides


def test_the_errors_are_ours_pickle_and_tell_no_secret() -> None:
    bad = token(key=b"x" * 32)
    for call in (
        lambda: JWT(KEY).claims(bad),
        lambda: Tickets(KEY).redeem(bad),
    ):
        with pytest.raises(InvalidToken) as caught:
            call()
        assert isinstance(caught.value, (wssend.WSSendError, ValueError))
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (str(copy), copy.reason) == (str(caught.value), "signature")
        assert bad not in str(copy)
        assert caught.value.__cause__ is None
    assert issubclass(InvalidTicket, InvalidToken)


def test_a_handshake_is_decided_by_its_token() -> None:
    decide = jwt_authorizer(JWT(KEY), topics=["news"])
    assert decide(bearing(token())) == wssend.Accept(user="42", topics=["news"])
    offered = Handshake(subprotocols=("bearer", token()))
    assert decide(offered) == wssend.Accept(
        user="42", topics=["news"], subprotocol="bearer"
    )
    challenge = {"WWW-Authenticate": "Bearer"}
    assert decide(Handshake()) == wssend.Reject(401, "there is no token", challenge)
    late = bearing(token({"exp": 1}))
    assert decide(late) == wssend.Reject(401, "the token has expired", challenge)
    closing = jwt_authorizer(JWT(KEY), close_code=4401)
    assert closing(late) == wssend.Reject(401, "the token has expired", close_code=4401)


@pytest.mark.parametrize("user", ["x" * 256, "\ud800"], ids=["long", "surrogate"])
def test_a_user_that_no_client_can_have_is_rejected(user: str) -> None:
    decision = jwt_authorizer(JWT(KEY))(bearing(token({"sub": user})))
    assert isinstance(decision, wssend.Reject)
    assert decision.status == 401
    closing = jwt_authorizer(JWT(KEY), close_code=4401)
    assert isinstance(closing(bearing(token({"sub": user}))), wssend.Reject)


def test_a_ticket_of_a_user_that_no_client_can_have_is_rejected() -> None:
    tickets = Tickets(KEY)
    decision = ticket_authorizer(tickets)(bearing(tickets.issue("x" * 256)))
    assert isinstance(decision, wssend.Reject)


def test_a_long_text_is_cut_to_the_size_of_a_reason() -> None:
    jwt = JWT(KEY, user_claim="https://example.com/" + "\u20ac" * 40)
    decision = jwt_authorizer(jwt, close_code=4401)(bearing(token()))
    assert isinstance(decision, wssend.Reject)
    assert len(decision.body.encode()) <= 123
    assert decision.body.startswith("the token names no user")


def test_an_age_that_is_no_sensible_number_is_too_old() -> None:
    aged = JWT(KEY, max_age=10)
    assert why(aged.claims, token({"iat": -(10**400)})) == "expired"


def test_a_handshake_is_decided_by_its_ticket() -> None:
    tickets = Tickets(KEY)
    decide = ticket_authorizer(tickets)
    ticket = tickets.issue("42")
    assert decide(bearing(ticket)) == wssend.Accept(user="42")
    in_url = Handshake(target=f"/?a=b&ticket={ticket}")
    assert decide(in_url).body == "the ticket was used before"  # type: ignore[union-attr]
    in_url = Handshake(target=f"/?a=b&ticket={tickets.issue('7')}")
    elsewhere = ticket_authorizer(tickets, parameter="t")
    assert isinstance(elsewhere(in_url), wssend.Reject)
    assert isinstance(ticket_authorizer(tickets, parameter=None)(in_url), wssend.Reject)
    twice = Handshake(target=f"/?ticket={tickets.issue('7')}&ticket=b")
    assert isinstance(decide(twice), wssend.Reject)
    assert decide(in_url) == wssend.Accept(user="7")
