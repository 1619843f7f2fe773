"""A server for other people's clients: it sends back what it gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from kit import Pair

import wssend

__all__ = ["EchoServer"]

TIMEOUT = 20.0  # seconds
PAGE = '<!doctype html><title>page</title><link rel="icon" href="data:,">'


class EchoServer:
    """A hub whose clients choose their id, and a thread that echoes.

    Args:
        tls: Its certificate and key; by default it speaks no TLS.
        options: More options for the hub.
    """

    def __init__(self, tls: Pair | None = None, **options: Any) -> None:
        subprotocols = ["chat.v1", "chat.v2"]
        self.hub = wssend.WSHub(id_query="id", subprotocols=subprotocols, **options)
        self.hub.add_page("/page", "text/html", PAGE)
        self.hub.fileno()  # from here on, what clients send is kept for events()
        cert, key = (None, None) if tls is None else (tls.cert, tls.key)
        self.listener = self.hub.listen("127.0.0.1", 0, tls_cert=cert, tls_key=key)
        self.seen: dict[str, list[wssend.Event]] = {}
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="echo")
        self._thread.start()

    def url(self, client_id: str) -> str:
        """Return the address for a client of that id."""
        return f"{self.listener.url}?id={client_id}"

    def _run(self) -> None:
        for event in self.hub.events():
            assert not isinstance(event, wssend.Authorize)
            with self._news:
                self.seen.setdefault(event.client.id, []).append(event)
                self._news.notify_all()
            if isinstance(event, wssend.Message):
                self._answer(event.client, event.data)

    @staticmethod
    def _answer(client: wssend.WSClient, data: str | bytes) -> None:
        if data == "please close":
            client.close(4001, "as you wish: ✓")
        else:
            client.send(data)

    def wait(self, what: Callable[[], object], timeout: float = TIMEOUT) -> None:
        """Wait until something holds; it is tried again at each event."""
        end = time.monotonic() + timeout
        with self._news:
            while not what():
                assert time.monotonic() < end, self.seen
                self._news.wait(0.05)

    def greeted(self, client_id: str) -> wssend.WSClient:
        """Wait until a client has had an answer, and return it."""
        found: list[wssend.WSClient] = []

        def answered() -> bool:
            client = self.hub.get(client_id)
            found[:] = [] if client is None else [client]
            return client is not None and client.stats().written > 0

        self.wait(answered)
        return found[0]

    def goodbye(self, client_id: str) -> wssend.Disconnected:
        """Wait until a client has gone, and return its last event."""

        def last() -> wssend.Event | None:
            return self.seen.get(client_id, [None])[-1]

        self.wait(lambda: isinstance(last(), wssend.Disconnected))
        event = last()
        assert isinstance(event, wssend.Disconnected)
        return event

    def close(self) -> None:
        """Close the hub and join the thread."""
        self.hub.close(1001, "the test is over")
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    def __enter__(self) -> EchoServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
