"""Push WebSocket messages from Python without ever waiting for a client.

A :class:`WSHub` owns the clients and a thread that serves them without the GIL.
``send()`` queues a message in the client's bounded channel and returns at once,
or raises: :exc:`ChannelFull` when the client is too slow, :exc:`ChannelClosed`
when it has gone.

>>> import wssend
>>> with wssend.WSHub() as hub:
...     listener = hub.listen("127.0.0.1", 0)
...     report = hub.broadcast("hello")
>>> report
SendReport(queued=0, full=(), closed=0, failed=0)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import Handshake, Listener, PreparedMessage, WSClient, WSHub, send
from .authorize import Accept, Reject
from .errors import (
    ChannelClosed,
    ChannelFull,
    ClientNotFound,
    HubClosed,
    LinkDown,
    MessageTooLarge,
    WSSendError,
)
from .events import Authorize, Connected, Disconnected, Event, Message
from .hub import Hub
from .report import SendReport
from .request import Headers, Request
from .stats import ClientStats, HubStats

if TYPE_CHECKING:
    from .remote import (
        Exposed,
        LinkStats,
        LostCall,
        LostMessages,
        RemoteClient,
        RemoteHub,
        connect,
        expose,
    )

__all__ = [
    "Accept",
    "Authorize",
    "ChannelClosed",
    "ChannelFull",
    "ClientNotFound",
    "ClientStats",
    "Connected",
    "Disconnected",
    "Event",
    "Exposed",
    "Handshake",
    "Headers",
    "Hub",
    "HubClosed",
    "HubStats",
    "LinkDown",
    "LinkStats",
    "Listener",
    "LostCall",
    "LostMessages",
    "Message",
    "MessageTooLarge",
    "PreparedMessage",
    "Reject",
    "RemoteClient",
    "RemoteHub",
    "Request",
    "SendReport",
    "WSClient",
    "WSHub",
    "WSSendError",
    "__version__",
    "connect",
    "expose",
    "send",
]

__version__ = "0.1.0"

# Most programs need only one of them, so they are imported when they are asked for.
_REMOTE = frozenset(
    {
        "Exposed",
        "LinkStats",
        "LostCall",
        "LostMessages",
        "RemoteClient",
        "RemoteHub",
        "connect",
        "expose",
    }
)


def __getattr__(name: str) -> object:
    if name not in _REMOTE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import remote

    value: object = getattr(remote, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_REMOTE})
