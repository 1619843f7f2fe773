"""websockets: broadcast() to all, send() to one; its write buffers are the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import protocol
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

NO_LIMIT = 1 << 30  # bytes


class Server(protocol.Server[ServerConnection]):
    """A client that has no room is left out, for broadcast() bounds nothing."""

    async def listen(self, port: int) -> int:
        server = await serve(
            self.handle,
            "127.0.0.1",
            port,
            compression=None,
            ping_interval=None,
            write_limit=NO_LIMIT,  # for send() waits where it is reached
            backlog=protocol.BACKLOG,
        )
        number: int = next(iter(server.sockets)).getsockname()[1]
        return number

    async def handle(self, client: ServerConnection) -> None:
        self.clients[client] = None
        try:
            async for message in client:
                assert isinstance(message, bytes)
                self.acks.take(message)
        finally:
            del self.clients[client]

    def has_room(self, client: ServerConnection, size: int) -> bool:
        waiting = client.transport.get_write_buffer_size()
        return waiting == 0 or waiting + size <= self.limit

    def broadcast(self, data: bytes) -> int:
        size = len(data)
        clients = [client for client in self.clients if self.has_room(client, size)]
        broadcast(clients, data)
        return len(clients)

    async def send_each(
        self, clients: Iterable[ServerConnection], message: Callable[[], bytes]
    ) -> int:
        sent = 0
        for client in clients:
            data = message()
            if self.has_room(client, len(data)):
                try:
                    await client.send(data)
                except ConnectionClosed:
                    continue
                sent += 1
        return sent


if __name__ == "__main__":
    protocol.run(Server, __doc__)
