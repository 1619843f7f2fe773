"""What happens to clients, as :meth:`wssend.WSHub.events` yields it.

The events of one client come in order: one :class:`Connected`, its
:class:`Message`\\ s, one :class:`Disconnected`. They are immutable, and made for
``match``. A hub with ``authorize=True`` asks before there is a client, with
:class:`Authorize`::

    for event in hub.events():
        match event:
            case Connected(client):
                client.subscribe("news")
            case Message(client, data):
                client.send(data)
            case Disconnected(client, code):
                print(client.id, "left with", code)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from ._core import Handshake, WSClient

__all__ = ["Authorize", "Connected", "Disconnected", "Event", "Message"]


@dataclass(frozen=True, slots=True)
class Connected:
    """A client has connected; it can be sent to.

    Attributes:
        client: The client.
    """

    client: WSClient


@dataclass(frozen=True, slots=True)
class Message:
    """A client has sent a message.

    Attributes:
        client: Who sent it.
        data: ``str`` for a text message, ``bytes`` for a binary one.
    """

    client: WSClient
    data: str | bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A client's connection is over, nothing more comes from it.

    Attributes:
        client: The client, closed.
        code: The close code (RFC 6455 7.4): the peer's, or the one it was
            closed with here; 1005 when its Close named none, 1006 when the
            connection ended without a Close.
        reason: The close reason, often empty.
        clean: Whether both sides' Close frames were exchanged.
    """

    client: WSClient
    code: int
    reason: str
    clean: bool


@dataclass(frozen=True, slots=True)
class Authorize:
    """Somebody has asked for a WebSocket, and waits for the answer.

    Only from a hub with ``authorize=True``. There is no client yet: if it is
    accepted and comes in, that is told by :class:`Connected`. Dropping the event
    without deciding refuses it.

    Attributes:
        handshake: What is to be accepted or rejected.
    """

    handshake: Handshake


Event: TypeAlias = Connected | Message | Disconnected | Authorize
"""Any of them."""
