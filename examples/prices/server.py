"""A live price board: a feed publishes, pages subscribe to the symbols they show.

::

    python server.py

Then open the address that it prints.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
from pathlib import Path

import wssend
from wssend import aio

PAGE = Path(__file__).with_name("index.html")
START = {
    "ACME": 182.40,
    "BOLT": 24.15,
    "CRUX": 1204.00,
    "DUNE": 67.30,
    "ECHO": 11.85,
    "FLUX": 348.20,
    "GLOW": 92.75,
    "HALO": 530.10,
}


class Board:
    """The latest price of each symbol, and who wants to know.

    Everything here runs in the event loop, and only :meth:`catch_up` waits for a
    client, in a task of its own.
    """

    def __init__(self, hub: wssend.WSHub, seed: int | None = None) -> None:
        self.hub = hub
        self.prices = dict(START)
        self.latest = {symbol: self.frame(symbol) for symbol in START}
        self.viewers: dict[wssend.WSClient, aio.Client] = {}
        self.missed: dict[wssend.WSClient, set[str]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.random = random.Random(seed)

    def frame(self, symbol: str) -> wssend.PreparedMessage:
        """Frame the price once: for all subscribers, and for those still to come."""
        price = self.prices[symbol]
        change = round((price / START[symbol] - 1) * 100, 2)
        tick = {"symbol": symbol, "price": round(price, 2), "change": change}
        return wssend.PreparedMessage(json.dumps(tick))

    async def feed(self, rate: float) -> None:
        """Move prices, so many a second, for ever."""
        while True:
            self.tick(self.random.choice(list(START)))
            await asyncio.sleep(1 / rate)

    def tick(self, symbol: str) -> None:
        """Move a price and tell the subscribers."""
        self.prices[symbol] *= 1 + self.random.gauss(0, 0.002)
        self.latest[symbol] = self.frame(symbol)
        for client in self.hub.publish(symbol, self.latest[symbol]).full:
            self.miss(client, symbol)

    async def handle(self, viewer: aio.Client) -> None:
        """Subscribe a client to what they ask for."""
        self.viewers[viewer.client] = viewer
        try:
            async for message in viewer:
                if not self.obey(viewer.client, message):
                    viewer.close(1007, 'I take {"subscribe": ["ACME"]}.')
        finally:
            del self.viewers[viewer.client]
            self.missed.pop(viewer.client, None)

    def obey(self, client: wssend.WSClient, message: str | bytes) -> bool:
        """Subscribe and unsubscribe; false: that is nothing of the kind."""
        try:
            wish = json.loads(message)
            more, fewer = set(wish.get("subscribe", ())), set(wish.get("drop", ()))
        except (ValueError, TypeError, AttributeError):
            return False
        for symbol in START.keys() & more:
            client.subscribe(symbol)
            try:
                client.send(self.latest[symbol])  # and from now on all changes
            except wssend.ChannelFull:
                self.miss(client, symbol)
        for symbol in START.keys() & fewer:
            client.unsubscribe(symbol)
        return True

    def miss(self, client: wssend.WSClient, symbol: str) -> None:
        """Note that a client's channel was full: an old price is of no use to it."""
        if client in self.missed:
            self.missed[client].add(symbol)
        elif client in self.viewers:
            self.missed[client] = {symbol}
            task = asyncio.create_task(self.catch_up(self.viewers[client]))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def catch_up(self, viewer: aio.Client) -> None:
        """Wait until there is room, and send the latest of what was missed."""
        with contextlib.suppress(wssend.ChannelClosed):
            await viewer.drain()
            for symbol in self.missed.pop(viewer.client, set()) & viewer.topics:
                viewer.send(self.latest[symbol])


def make_hub() -> wssend.WSHub:
    """Make the hub; half of a channel has room for all symbols."""
    hub = wssend.WSHub(origins="same-host", max_message_size=4096, send_queue=64)
    hub.add_page("/", "text/html; charset=utf-8", PAGE.read_bytes())
    return hub


async def main(host: str, port: int, rate: float) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with make_hub() as hub:
        board = Board(hub)
        async with aio.serve(board.handle, host, port, hub=hub) as server:
            print("open", server.url.replace("ws", "http", 1), flush=True)
            feed = asyncio.create_task(board.feed(rate))
            await stop.wait()
            feed.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A live price board.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--rate", type=float, default=20.0, help="prices a second")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.host, arguments.port, arguments.rate))
