"""The hub that this process pushes through.

It is, in this order: one that :func:`override_hub` put there; the embedded hub, where
this process runs it; the link to the hub behind ``WSSEND["SOCKET"]``, made at the first
push. In a forked child that link begins anew.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import wssend

from . import embedded
from .conf import get_settings

if TYPE_CHECKING:
    from wssend import RemoteHub, SendReport, WSHub

    AnyHub: TypeAlias = WSHub | RemoteHub

__all__ = ["call", "get_hub", "override_hub"]

_lock = threading.Lock()
_links: dict[str, RemoteHub] = {}  # by socket
_override: list[AnyHub] = []
# Nobody is there: no such file, nobody who listens, no permission.
NOBODY: Final = (errno.ENOENT, errno.ECONNREFUSED, errno.EACCES)


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it in the parent


os.register_at_fork(after_in_child=_renew_lock)


def get_hub() -> AnyHub:
    """Return the hub of this process: a ``WSHub``, or a ``RemoteHub``.

    It does not wait: a link that breaks comes up again by itself.

    Raises:
        wssend.LinkDown: Nobody listens at the socket.
        wssend.HubClosed: The hub is embedded, and not in this process.
        ImproperlyConfigured: ``WSSEND`` is wrong.
    """
    if _override:
        return _override[-1]
    own = embedded.hub()
    if own is not None:
        return own
    settings = get_settings()
    if settings.socket is None:
        raise wssend.HubClosed(embedded.absent())
    link = _links.get(settings.socket)
    if link is None or link.closed:
        with _lock:
            link = _links.get(settings.socket)
            if link is None or link.closed:
                _look_for(settings.socket)
                link = _links[settings.socket] = wssend.connect(settings.socket)
    return link


def _look_for(address: str) -> None:
    """See that somebody listens, for a new link would only say so later."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        failure = probe.connect_ex(address.removeprefix("unix:"))
    if failure in NOBODY:
        text = f"the link to {address} is down: {os.strerror(failure)}"
        raise wssend.LinkDown(text)


@contextmanager
def override_hub(hub: AnyHub) -> Iterator[AnyHub]:
    """Let this process push through a hub of one's own, for tests.

    It holds for all threads, until the block ends.

    Args:
        hub: An open hub; it is not closed here.
    """
    _override.append(hub)
    try:
        yield hub
    finally:
        _override.remove(hub)


def call(
    name: str, *arguments: Any, wait: float | None = None, **options: Any
) -> SendReport | None:
    """Call a hub's method; what goes wrong says what to do.

    Args:
        name: The method.
        arguments: Its arguments.
        wait: Seconds to wait for the answer of a hub in another process.
        options: More of its arguments.

    Returns:
        What it returned.
    """
    try:
        hub = get_hub()
        if wait is not None and not isinstance(hub, wssend.WSHub):
            options["wait"] = wait
        return cast("SendReport | None", getattr(hub, name)(*arguments, **options))
    except wssend.LinkDown as error:
        text = f"{error}; is `manage.py wssend` running?"
        raise wssend.LinkDown(text) from error
