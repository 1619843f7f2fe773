"""The server behind the demo page: one plain thread on the public API.

It takes what the pages ask for from :meth:`wssend.WSHub.events`, sends, and
never waits for a client: whoever is full is counted and passed over.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

import wssend

from . import wire
from .wire import BadCommandError, Command, envelope, field

__all__ = ["Demo"]

TICKS: Final = "ticks"  # every client is subscribed to it
TABLE: Final = ".clients"  # the live table, for the clients that asked for it
MAX_ROWS: Final = 100  # clients that the table shows

TICK_EVERY: Final = 1.0  # seconds
TABLE_EVERY: Final = 0.25
FLOOD_EVERY: Final = 0.05

FLOOD_SECONDS: Final = 5.0
FLOOD_BURST: Final = 80  # messages each time
FLOOD_TEXT: Final = "flood " * 340  # about 2 kB


@dataclass(slots=True)
class Flood:
    """Messages for one client, far more than a stalled one can take."""

    target: wssend.WSClient
    asked_by: wssend.WSClient
    until: float  # time.monotonic()
    queued: int = 0
    full: int = 0
    closed: int = 0

    def burst(self) -> None:
        """Send the next messages, and count what becomes of them."""
        for _ in range(FLOOD_BURST):
            try:
                self.target.send(envelope("flood", self.asked_by.id, FLOOD_TEXT))
            except wssend.ChannelFull:
                self.full += 1
            except wssend.ChannelClosed:
                self.closed += 1
                self.until = 0.0
                return
            else:
                self.queued += 1

    def report(self, now: float) -> Command:
        """Say how it goes."""
        return {
            "to": self.target.id,
            "running": now < self.until,
            "queued": self.queued,
            "full": [self.target.id] if self.full else [],
            "refused": self.full,
            "closed": self.closed,
        }


class Demo:
    """Answers the demo page's commands, ticks, and shows all clients to all.

    Args:
        hub: Whose clients to serve, not listening yet. The demo becomes its
            one consumer of events and ends when the hub is closed.
        send_queue: The hub's, for the page to know when a queue is full.
        send_queue_bytes: The hub's, likewise.

    Attributes:
        unseen: Messages of the demo's own that found a client full.

    >>> with wssend.WSHub(id_query="id") as hub:
    ...     Demo(hub).start()
    """

    def __init__(
        self,
        hub: wssend.WSHub,
        *,
        send_queue: int = 256,
        send_queue_bytes: int = 1 << 20,
    ) -> None:
        self.unseen = 0
        self._hub = hub
        hub.fileno()  # from here on, what clients send is kept for events()
        self._limits = {"messages": send_queue, "bytes": send_queue_bytes}
        self._floods: list[Flood] = []
        self._ticks = 0
        self._thread = threading.Thread(target=self.run, name="demo", daemon=True)
        self._commands = {
            "send": self._send,
            "publish": self._publish,
            "broadcast": self._broadcast,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "watch": self._watch,
            "flood": self._flood,
        }

    def start(self) -> None:
        """Serve in a thread of the demo's own; returns at once."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, ``timeout`` seconds at most."""
        self._thread.join(timeout)

    def say(self, text: str) -> wssend.SendReport:
        """Show a text to every client, as coming from the server itself."""
        return self._hub.broadcast(envelope("everyone", "server", text))

    def run(self) -> None:
        """Serve in the caller's thread until the hub is closed."""
        jobs: list[tuple[float, Callable[[], None]]] = [
            (TICK_EVERY, self._tick),
            (TABLE_EVERY, self._push_table),
            (FLOOD_EVERY, self._push_floods),
            (TABLE_EVERY, self._report_floods),
        ]
        due = [time.monotonic()] * len(jobs)
        with suppress(wssend.HubClosed):
            while not self._hub.closed:
                now = time.monotonic()
                for i, (every, job) in enumerate(jobs):
                    if due[i] <= now:
                        due[i] = now + every
                        job()
                self._take_events(until=min(due))

    def _take_events(self, until: float) -> None:
        with closing(self._hub.events(max(0.0, until - time.monotonic()))) as events:
            for event in events:
                match event:
                    case wssend.Connected(client):
                        self._welcome(client)
                    case wssend.Message(client, data):
                        self._obey(client, data)
                if time.monotonic() >= until:
                    break

    def _welcome(self, client: wssend.WSClient) -> None:
        self._subscribe(client, {"topic": TICKS})
        self._tell(client, type="hello", id=client.id, limits=self._limits)

    def _obey(self, client: wssend.WSClient, data: str | bytes) -> None:
        name = ""
        try:
            command = wire.parse(data)
            name = field(command, "do")
            if name not in self._commands:
                raise BadCommandError(f"do must be one of {', '.join(self._commands)}")
            result = self._commands[name](client, command)
        except (BadCommandError, wssend.ClientNotFound, ValueError) as error:
            result = {"error": str(error)}
        if result is not None:
            self._tell(client, type="answer", do=name, **result)

    def _tell(self, client: wssend.WSClient, **message: object) -> None:
        try:
            client.send(json.dumps(message))
        except wssend.ChannelFull:
            self.unseen += 1
        except wssend.ChannelClosed:
            pass  # its Disconnected follows

    # What a page can ask for. What is returned is the answer.

    def _send(self, client: wssend.WSClient, command: Command) -> Command:
        to, text = field(command, "to"), field(command, "text")
        try:
            self._hub.send(to, envelope("direct", client.id, text))
        except wssend.ChannelFull:
            return {"to": to, "queued": 0, "full": [to], "closed": 0}
        except wssend.ChannelClosed:
            return {"to": to, "queued": 0, "full": [], "closed": 1}
        return {"to": to, "queued": 1, "full": [], "closed": 0}

    def _publish(self, client: wssend.WSClient, command: Command) -> Command:
        topic, text = field(command, "topic"), field(command, "text")
        message = envelope("topic", client.id, text, topic)
        return wire.answer(self._hub.publish(topic, message), topic)

    def _broadcast(self, client: wssend.WSClient, command: Command) -> Command:
        text = field(command, "text")
        return wire.answer(self._hub.broadcast(envelope("everyone", client.id, text)))

    def _subscribe(self, client: wssend.WSClient, command: Command) -> None:
        with suppress(wssend.ChannelClosed):
            client.subscribe(field(command, "topic"))
        self._tell(client, type="topics", topics=wire.visible(client))

    def _unsubscribe(self, client: wssend.WSClient, command: Command) -> None:
        client.unsubscribe(field(command, "topic"))
        self._tell(client, type="topics", topics=wire.visible(client))

    def _watch(self, client: wssend.WSClient, command: Command) -> None:
        self._subscribe(client, {"topic": TABLE})

    def _flood(self, client: wssend.WSClient, command: Command) -> None:
        to = field(command, "to")
        target = self._hub.get(to)
        if target is None:
            raise BadCommandError(f"there is no client {to!r}")
        if any(flood.target is target for flood in self._floods):
            raise BadCommandError(f"{to!r} is being flooded already")
        until = time.monotonic() + FLOOD_SECONDS
        self._floods.append(Flood(target, client, until))

    # What the thread does by itself, now and then.

    def _tick(self) -> None:
        self._ticks += 1
        tick = envelope("topic", "server", f"tick {self._ticks}", TICKS)
        self.unseen += len(self._hub.publish(TICKS, tick).full)

    def _push_table(self) -> None:
        clients = self._hub.clients()
        table = {
            "type": "table",
            "clients": len(clients),
            "full": self._hub.stats().refused_full,
            "rows": [wire.row(client) for client in clients[:MAX_ROWS]],
        }
        self.unseen += len(self._hub.publish(TABLE, json.dumps(table)).full)

    def _push_floods(self) -> None:
        now = time.monotonic()
        for flood in self._floods:
            if now < flood.until:
                flood.burst()

    def _report_floods(self) -> None:
        now = time.monotonic()
        for flood in self._floods:
            self._tell(flood.asked_by, type="answer", do="flood", **flood.report(now))
        self._floods = [flood for flood in self._floods if now < flood.until]
