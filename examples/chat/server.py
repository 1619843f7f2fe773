"""A chat. Rooms are topics, people have names, and who is too slow leaves alone.

::

    python server.py

Then open the address that it prints in two windows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import wssend
from wssend import aio

PAGE = Path(__file__).with_name("index.html")
NAME = re.compile(r"[\w-]{1,20}")  # of people and of rooms
LOBBY = "lobby"
HISTORY = 50  # messages of a room that a newcomer gets
ROOMS = 100  # that are remembered


Line: TypeAlias = dict[str, Any]  # what is sent as JSON


class Mistake(Exception):
    """What somebody wants cannot be done; the text is for them."""


class Chat:
    """All rooms, on a hub made with ``authorize=True``.

    Everything here runs in the event loop; nothing waits, but for messages.
    """

    def __init__(self, hub: wssend.WSHub) -> None:
        self.hub = hub
        self.said: dict[str, deque[Line]] = {LOBBY: deque(maxlen=HISTORY)}
        self.rooms: dict[wssend.WSClient, str] = {}  # where everybody is

    def authorize(self, handshake: wssend.Handshake) -> wssend.Accept | wssend.Reject:
        """Let in who brings a name that is free. The name is the client's id."""
        name = parse_qs(handshake.request.query).get("name", [""])[0]
        if not NAME.fullmatch(name):
            return wssend.Reject(
                body="A name has up to 20 letters and digits.", close_code=4403
            )
        if name in self.hub:
            return wssend.Reject(body=f"{name} is here already.", close_code=4409)
        return wssend.Accept(id=name)

    async def handle(self, client: aio.Client) -> None:
        """Do what one person wants, as long as they are here."""
        person = client.client
        try:
            self.enter(person, LOBBY)
            async for message in client:
                try:
                    self.obey(person, message)
                except Mistake as mistake:
                    self.tell(person, {"type": "error", "text": str(mistake)})
        finally:
            self.leave(person)

    def obey(self, client: wssend.WSClient, message: str | bytes) -> None:
        """Do what a message asks for. Raises Mistake."""
        try:
            wish = json.loads(message)
            kind, text = wish["type"], wish["text"].strip()
        except (ValueError, LookupError, TypeError, AttributeError):
            raise Mistake("not a message of this chat") from None
        if kind == "say" and text:
            self.say(client, text)
        elif kind == "join" and NAME.fullmatch(text):
            self.enter(client, text)
        else:
            raise Mistake(f"cannot {kind} {text!r}")

    def say(self, client: wssend.WSClient, text: str) -> None:
        """Tell the room, and those who come later."""
        room = self.rooms.get(client)
        if room is None:
            return  # it was too slow, and this came before it could know
        line = {"type": "said", "name": client.id, "text": text, "at": time.time()}
        self.said[room].append(line)
        self.publish(room, line)

    def enter(self, client: wssend.WSClient, room: str) -> None:
        """Take a client into a room and tell them what was said there."""
        if room not in self.said:
            self.make_room(room)
        self.leave(client)
        self.rooms[client] = room
        self.tell(client, {"type": "room", "room": room})
        for line in self.said[room]:
            self.tell(client, line)
        client.subscribe(room)
        self.tell_who_is_here(room)

    def make_room(self, room: str) -> None:
        """Remember a new room, and forget one where nobody is if there are many."""
        if len(self.said) >= ROOMS:
            empty = self.said.keys() - self.rooms.values() - {LOBBY}
            if not empty:
                raise Mistake("there are too many rooms")
            del self.said[min(empty)]
        self.said[room] = deque(maxlen=HISTORY)

    def leave(self, client: wssend.WSClient) -> None:
        """Take a client out of the room that they are in, if any."""
        room = self.rooms.pop(client, None)
        if room is not None:
            client.unsubscribe(room)
            self.tell_who_is_here(room)

    def tell_who_is_here(self, room: str) -> None:
        """Send the names of those in a room to all of them."""
        names = sorted(c.id for c, where in self.rooms.items() if where == room)
        self.publish(room, {"type": "people", "names": names})

    def publish(self, room: str, line: Line) -> None:
        """Send to a room. Whose channel is full is slow, and nobody waits for them."""
        for client in self.hub.publish(room, json.dumps(line)).full:
            self.too_slow(client)

    def tell(self, client: wssend.WSClient, line: Line) -> None:
        """Send to one person."""
        try:
            client.send(json.dumps(line))
        except wssend.ChannelFull:
            self.too_slow(client)

    def too_slow(self, client: wssend.WSClient) -> None:
        """Let go of a client; the page comes back and gets what was said."""
        client.close(1013, "You do not keep up; come back.")
        self.leave(client)


def make_hub() -> wssend.WSHub:
    """Make the hub; a member may be 200 messages behind."""
    hub = wssend.WSHub(
        authorize=True,
        origins="same-host",
        max_message_size=4096,
        send_queue=200,
    )
    hub.add_page("/", "text/html; charset=utf-8", PAGE.read_bytes())
    return hub


async def main(host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with make_hub() as hub:
        chat = Chat(hub)
        async with aio.serve(
            chat.handle, host, port, hub=hub, authorize=chat.authorize
        ) as server:
            print("open", server.url.replace("ws", "http", 1), flush=True)
            await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.host, arguments.port))
