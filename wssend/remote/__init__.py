"""A hub that other processes of the same host send to.

:func:`expose` stands in the process that has the hub, :func:`connect` in the others:
web workers, task queues, cron scripts. Both are ``wssend.expose`` and
``wssend.connect``, too.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING

from .hub import RemoteHub
from .link import finish_all
from .report import LinkStats, LostCall, LostMessages, RemoteClient
from .server import Exposed, close_all

if TYPE_CHECKING:
    from .._core import WSHub

__all__ = [
    "Exposed",
    "LinkStats",
    "LostCall",
    "LostMessages",
    "RemoteClient",
    "RemoteHub",
    "connect",
    "expose",
]


def expose(hub: WSHub, address: str, *, mode: int = 0o660) -> Exposed:
    """Let other processes of this host send to a hub.

    Whoever may write to the socket file may send to every client. A thread of its
    own serves all processes; while it is busy nothing more is read from them.

    Args:
        hub: A hub of this process.
        address: ``"unix:"`` and an absolute path, as in
            ``"unix:/run/app/wssend.sock"``. A socket file that nobody listens on
            any more is replaced; it is removed in the end.
        mode: The permissions of that file.

    Returns:
        An Exposed; closing it ends the links, closing the hub does not.

    Raises:
        OSError: The address cannot be had; filename names it, errno tells why.
        TypeError, ValueError: Wrong arguments.
    """
    return Exposed(hub, address, mode=mode)


def connect(
    address: str,
    *,
    queue: int = 1024,
    queue_bytes: int = 16 << 20,
    hold: float = 10.0,
    on_lost: Callable[[LostMessages], object] | None = None,
) -> RemoteHub:
    """Reach the hub of another process, which has called :func:`wssend.expose`.

    Returns at once: the first call connects.

    Args:
        address: ``"unix:"`` and the absolute path of its socket.
        queue: Calls that may be unconfirmed, 1 to 16777216: waiting here, or on
            their way. More raise ChannelFull.
        queue_bytes: Their payload bytes, from 1; so also the largest message.
        hold: Seconds that a queued call waits while the link is down before it is
            lost.
        on_lost: Called with a LostMessages about calls that nobody waits for and
            that were accepted, but not confirmed when the link broke, or not sent in
            time. In the link's thread, or in that which closes it; without it, and
            with it, the logger ``wssend.remote`` warns.

    Raises:
        TypeError, ValueError: Wrong arguments.
    """
    return RemoteHub(
        address, queue=queue, queue_bytes=queue_bytes, hold=hold, on_lost=on_lost
    )


atexit.register(close_all)
atexit.register(finish_all)  # runs first: a process may send to its own hub
