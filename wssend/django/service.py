"""The hub with all that Django adds: who may connect, receivers, the local socket.

``manage.py wssend`` runs one, and ``EMBEDDED`` one inside the server.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import wssend

from . import auth, inbound
from .conf import Settings
from .pool import Pool

if TYPE_CHECKING:
    from wssend import Event, Listener

__all__ = ["Service"]

logger: Final = logging.getLogger("wssend.django")

PENDING: Final = 256  # messages that wait for a receiver; then the pump has to wait
HANDSHAKES: Final = 1 << 20  # no limit of ours: the hub has one


class Service:
    """A hub, its listener, its local socket and the thread that takes its events.

    :meth:`start` and :meth:`stop` are called once, by one thread.

    Args:
        settings: Where to listen, and all else.

    Attributes:
        hub: The hub.
        listener: What clients connect to, once it has started.
    """

    listener: Listener

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.hub = wssend.WSHub(
            authorize=True,
            origins=auth.hub_origins(settings),
            trusted_proxies=settings.trusted_proxies,
            **settings.hub,
        )
        self._events = self.hub.events()
        self._receivers = Pool(settings.threads, PENDING, "wssend-receiver")
        self._authorizers = Pool(settings.threads, HANDSHAKES, "wssend-authorizer")
        self._drainer = threading.Thread(
            target=self._drain, name="wssend-events", daemon=True
        )
        self._exposed = ExitStack()

    def start(self) -> None:
        """Serve.

        Raises:
            OSError: A socket cannot be bound; :meth:`stop` is to be called as well.
        """
        settings = self._settings
        self._drainer.start()
        if settings.unix is not None:
            self.listener = self.hub.listen(unix=settings.unix, path=settings.path)
        else:
            self.listener = self.hub.listen(
                settings.host, settings.port, path=settings.path
            )
        if settings.socket is not None:
            exposed = wssend.expose(
                self.hub, settings.socket, mode=settings.socket_mode
            )
            self._exposed.callback(exposed.close)

    def stop(self, timeout: float) -> None:
        """Write what is queued, close the clients with 1001, let receivers end.

        Args:
            timeout: Seconds for either.
        """
        self._exposed.close()
        self.hub.close(1001, "the server stops", timeout=timeout)
        if self._drainer.ident is not None:
            self._drainer.join(timeout)
        for pool in (self._authorizers, self._receivers):
            if not pool.close(timeout):
                logger.warning("stopped before all receivers had ended")

    def _drain(self) -> None:
        for event in self._events:
            self._dispatch(event)

    def _dispatch(self, event: Event) -> None:
        match event:
            case wssend.Authorize(handshake):
                job = partial(auth.decide, handshake, self._settings)
                self._authorizers.submit(handshake, job)
            case wssend.Message(client, data):
                message = inbound.Message(client, data)
                job = partial(inbound.tell, inbound.message_received, message=message)
                self._receivers.submit(client, job)
            case wssend.Connected(client):
                job = partial(
                    inbound.tell,
                    inbound.connected,
                    client=client,
                    user=inbound.user_of(client),
                )
                self._receivers.submit(client, job)
            case wssend.Disconnected(client, code, reason):
                job = partial(
                    inbound.tell,
                    inbound.disconnected,
                    client=client,
                    user=inbound.user_of(client),
                    code=code,
                    reason=reason,
                )
                self._receivers.submit(client, job)
