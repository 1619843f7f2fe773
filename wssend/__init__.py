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

from ._core import Handshake, Listener, PreparedMessage, WSClient, WSHub, send
from .authorize import Accept, Reject
from .errors import (
    ChannelClosed,
    ChannelFull,
    ClientNotFound,
    HubClosed,
    MessageTooLarge,
    WSSendError,
)
from .events import Authorize, Connected, Disconnected, Event, Message
from .report import SendReport
from .request import Headers, Request
from .stats import ClientStats, HubStats

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
    "Handshake",
    "Headers",
    "HubClosed",
    "HubStats",
    "Listener",
    "Message",
    "MessageTooLarge",
    "PreparedMessage",
    "Reject",
    "Request",
    "SendReport",
    "WSClient",
    "WSHub",
    "WSSendError",
    "__version__",
    "send",
]

__version__ = "0.1.0"
