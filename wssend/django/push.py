"""Pushing: ``send_to_user``, ``publish``, ``broadcast``, ``close_user``.

What is pushed:

* a ``str`` is a text message, as it is; a lazy translation is translated first;
* ``bytes``, ``bytearray`` and ``memoryview`` are a binary message;
* a :class:`wssend.PreparedMessage` is what it is;
* all else is JSON in a text message, through ``WSSEND["ENCODER"]``, by default
  Django's ``DjangoJSONEncoder``: dates, times, ``Decimal``, ``UUID`` and lazy
  translations may be in it.

It is encoded before the call returns, so a value that cannot be encoded raises where
the mistake is, also with ``on_commit=True``, and what changes later does not matter.

Each function may be called from any thread. None of them waits for a client; only
``wait=`` waits, for the hub's answer.
"""

from __future__ import annotations

import json
import reprlib
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.db import transaction
from django.utils.functional import Promise

import wssend

from .conf import get_settings
from .hubs import call

if TYPE_CHECKING:
    from wssend import SendReport

__all__ = ["broadcast", "close_user", "encode", "publish", "send_to_user", "user_key"]

Payload: TypeAlias = "bytes | wssend.PreparedMessage"


def send_to_user(
    user: Any,
    data: Any,
    *,
    on_commit: bool = False,
    using: str | None = None,
    wait: float | None = None,
) -> SendReport | None:
    """Push to all connections of a user: tabs, browsers, devices.

    Args:
        user: A user, or its primary key (``int``, ``str`` or ``UUID``).
        data: What to push; see this module.
        on_commit: Push when the transaction has been committed, and not if it is rolled
            back; at once where there is none. What goes wrong then is logged, for the
            transaction can no longer fail.
        using: The alias of the database whose transaction it is.
        wait: Seconds to wait for the hub's answer, where the hub is another process.
            Not with ``on_commit``.

    Returns:
        How many connections it was queued for, and which refused: of an embedded hub,
        and with ``wait``. Otherwise None.

    Raises:
        TypeError: ``data`` cannot be encoded, or ``user`` is no user.
        ValueError: The user has no primary key: not saved yet, or anonymous.
        wssend.LinkDown: ``manage.py wssend`` does not run.
        wssend.HubClosed: The embedded hub does not run in this process.
        wssend.ChannelFull: The link to the hub is full.
        wssend.MessageTooLarge: No channel can hold it.
        TimeoutError: No answer within ``wait`` seconds.
    """
    return _push("send_to_user", user_key(user), data, on_commit, using, wait)


def publish(
    topic: str,
    data: Any,
    *,
    on_commit: bool = False,
    using: str | None = None,
    wait: float | None = None,
) -> SendReport | None:
    """Push to the subscribers of a topic; see :func:`send_to_user`."""
    if not isinstance(topic, str) or not topic:
        raise TypeError(f"topic must be a str, and not empty, not {topic!r}")
    return _push("publish", topic, data, on_commit, using, wait)


def broadcast(
    data: Any,
    *,
    on_commit: bool = False,
    using: str | None = None,
    wait: float | None = None,
) -> SendReport | None:
    """Push to every client; see :func:`send_to_user`."""
    return _push("broadcast", None, data, on_commit, using, wait)


def close_user(user: Any, code: int = 4401, reason: str = "") -> None:
    """Close all connections of a user.

    What is queued for them goes out first. Pages do not come back after 4401 (the
    login is over), 4403 and 4409; after every other code they do.

    Args:
        user: A user, or its primary key.
        code: The close code (RFC 6455 7.4).
        reason: Why, at most 123 bytes of UTF-8.

    Raises:
        ValueError: The user has no primary key; ``code`` or ``reason`` is wrong.
        wssend.LinkDown: ``manage.py wssend`` does not run.
        wssend.HubClosed: The embedded hub does not run in this process.
    """
    call("close_user", user_key(user), code, reason)


def _push(
    name: str,
    target: str | None,
    data: Any,
    on_commit: bool,
    using: str | None,
    wait: float | None,
) -> SendReport | None:
    if on_commit and wait is not None:
        raise ValueError("wait: nobody waits for a push that on_commit puts off")
    payload, text = encode(data)
    where = () if target is None else (target,)

    def push() -> SendReport | None:
        return call(name, *where, payload, text=text, wait=wait)

    if not on_commit:
        return push()
    transaction.on_commit(push, using=using, robust=True)
    return None


def user_key(user: Any) -> str:
    """Return what the hub calls a user: the primary key as text.

    Raises:
        TypeError: It is no user, and no primary key.
        ValueError: It has no primary key.
    """
    key = getattr(user, "pk", user)
    if key is None:
        raise ValueError(_without_key(user))
    if isinstance(key, bool) or not isinstance(key, (int, str, UUID)):
        raise TypeError(
            "user must be a user or its primary key (int, str or UUID), "
            f"not {_short(user)}"
        )
    text = str(key)
    if not text:
        raise ValueError("user must not be an empty str")
    return text


def _without_key(user: Any) -> str:
    if user is None:
        return "user is None: pass a user or its primary key"
    if getattr(user, "is_anonymous", False):
        return (
            "user is anonymous and has no primary key: check user.is_authenticated, "
            "or publish() to a topic"
        )
    return f"user {_short(user)} has no primary key: save() it first"


def encode(data: Any) -> tuple[Payload, bool | None]:
    """Return the bytes of a message, and whether they are text.

    Raises:
        TypeError: It cannot be encoded.
        ValueError: It holds NaN or infinity, or itself, or text that is not Unicode.
    """
    if isinstance(data, (str, Promise)):
        return str(data).encode(), True
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), False
    if isinstance(data, wssend.PreparedMessage):
        return data, None
    try:
        encoder = _encoder(get_settings().encoder)  # type: ignore[arg-type]
        return encoder.encode(data).encode(), True
    except TypeError as error:
        raise TypeError(f"cannot push {_short(data)}: {error}") from error
    except UnicodeEncodeError:
        raise
    except ValueError as error:
        reason = "NaN and infinity are no JSON" if _not_finite(error) else error
        raise ValueError(f"cannot push {_short(data)}: {reason}") from error


def _not_finite(error: ValueError) -> bool:
    return "Out of range float" in str(error)


@cache
def _encoder(base: Any) -> json.JSONEncoder:
    class Encoder(base):
        def default(self, o: Any) -> Any:
            try:
                return super().default(o)
            except TypeError:
                raise TypeError(
                    f"{_short(o)} of type {type(o).__name__} is no JSON; pass what the "
                    "page needs of it, as str, numbers, lists and dicts"
                ) from None

    return Encoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_REPR = reprlib.Repr()
_REPR.maxother = _REPR.maxstring = 80


def _short(value: object) -> str:
    return _REPR.repr(value)
