"""What clients send, and their coming and going: Django signals and ``@receiver``.

Receivers run where the hub runs (in ``manage.py wssend``, or in the server with an
embedded hub), in its threads, never in the pump; a receiver may use the database and
may block. Those of one client run one after the other, in the order in which things
happened; those of different clients run beside each other. A receiver that raises is
logged, and costs nobody else anything.

A module ``receivers`` of each installed app is imported when Django starts.
"""

from __future__ import annotations

import json
import logging
from asyncio import iscoroutinefunction
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ValidationError
from django.dispatch import Signal
from django.utils.functional import SimpleLazyObject

import wssend

if TYPE_CHECKING:
    from wssend import WSClient

__all__ = ["Message", "connected", "disconnected", "message_received", "receiver"]

logger: Final = logging.getLogger("wssend.django")

message_received = Signal()
"""A client has sent something. Arguments: ``message``."""

connected = Signal()
"""A client may be sent to. Arguments: ``client``, ``user``."""

disconnected = Signal()
"""A client has gone. Arguments: ``client``, ``user``, ``code``, ``reason``."""

Receiver = TypeVar("Receiver", bound=Callable[..., Any])


class Message:
    """What a client has sent.

    Attributes:
        client: Who sent it, a :class:`wssend.WSClient`: ``message.client.send()``.
        data: ``str`` for a text message, ``bytes`` for a binary one.
        user: Whose connection it is; ``AnonymousUser`` where nobody's. It is looked
            up at first use, so it is as it is now, not as at the login; in a
            coroutine ``await message.auser()`` does so.
    """

    def __init__(self, client: WSClient, data: str | bytes) -> None:
        self.client = client
        self.data = data

    @cached_property
    def user(self) -> Any:
        """Whose connection it is."""
        return user_of(self.client)

    async def auser(self) -> Any:
        """Whose connection it is, in a receiver that is a coroutine function."""
        await sync_to_async(lambda: self.user.is_authenticated)()
        return self.user

    @cached_property
    def json(self) -> Any:
        """What the JSON in it says.

        Raises:
            ValueError: It is no JSON.
        """
        return json.loads(self.data)

    @cached_property
    def type(self) -> str | None:
        """The value of ``"type"`` of a JSON object; None where there is none."""
        try:
            value = self.json["type"] if isinstance(self.json, Mapping) else None
        except (KeyError, ValueError, RecursionError):
            return None
        return value if isinstance(value, str) else None

    def __repr__(self) -> str:
        return f"<Message from {self.client.id!r}: {self.data[:80]!r}>"


def user_of(client: WSClient) -> Any:
    """Return the user of a client, looked up at first use."""
    name = client.user
    return SimpleLazyObject(lambda: load_user(name))


def load_user(key: str | None) -> Any:
    """Look a user up by its primary key; ``AnonymousUser`` where there is none."""
    from django.contrib.auth import get_backends
    from django.contrib.auth.models import AnonymousUser

    if key is not None:
        for backend in get_backends():
            with suppress(ValueError, OverflowError, ValidationError):  # no key
                user = backend.get_user(key)
                if user is not None:
                    return user
    return AnonymousUser()


@overload
def receiver(function: Receiver, /) -> Receiver: ...


@overload
def receiver(kind: str | None = None, /) -> Callable[[Receiver], Receiver]: ...


def receiver(what: Any = None, /) -> Any:
    """Call a function with each :class:`Message` that clients send.

    ``@receiver("chat")`` takes only JSON objects whose ``"type"`` is ``"chat"``. The
    function may be a coroutine function::

        @receiver("ping")
        def answer(message):
            message.client.send("pong")

    Args:
        what: The function, or the type.

    """
    if callable(what):
        return _connect(what, None)
    if what is not None and not isinstance(what, str):
        raise TypeError(f"receiver: the type must be a str, not {what!r}")
    return lambda function: _connect(function, what)


def _connect(function: Receiver, kind: str | None) -> Receiver:
    @wraps(function)
    def receive(sender: object, message: Message, **_: object) -> None:
        if kind is None or message.type == kind:
            plain(function)(message)

    message_received.connect(receive, weak=False, dispatch_uid=(function, kind))
    return function


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a coroutine function one that can be called."""
    if iscoroutinefunction(function):
        called: Callable[..., Any] = async_to_sync(function)
        return called
    return function


def tell(signal: Signal, **arguments: Any) -> None:
    """Call the receivers of a signal; what they raise is logged."""
    for each, result in signal.send_robust(sender=wssend.WSHub, **arguments):
        if isinstance(result, Exception):
            name = getattr(each, "__qualname__", repr(each))
            logger.error("the receiver %s has failed", name, exc_info=result)
