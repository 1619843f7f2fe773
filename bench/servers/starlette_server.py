"""Starlette on uvicorn: a queue and a writing task for each client."""

from __future__ import annotations

import asyncio
import socket

import protocol
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket


class Server(protocol.QueueServer):
    """An endpoint a client; uvicorn takes the WebSocket protocol that it likes best."""

    async def listen(self, port: int) -> int:
        app = Starlette(routes=[WebSocketRoute("/", self.handle)])
        config = uvicorn.Config(
            app,
            log_level="warning",
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            backlog=protocol.BACKLOG,
        )
        listener = socket.create_server(("127.0.0.1", port), backlog=protocol.BACKLOG)
        server = uvicorn.Server(config)
        self.serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        number: int = listener.getsockname()[1]
        return number

    async def handle(self, websocket: WebSocket) -> None:
        await websocket.accept()
        client = self.enter(websocket.send_bytes)
        try:
            async for data in websocket.iter_bytes():
                self.acks.take(data)
        finally:
            self.leave(client)


if __name__ == "__main__":
    protocol.run(Server, __doc__)
