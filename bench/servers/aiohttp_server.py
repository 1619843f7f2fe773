"""aiohttp: a queue and a writing task for each client."""

from __future__ import annotations

import protocol
from aiohttp import WSMsgType, web


class Server(protocol.QueueServer):
    """A handler a client."""

    async def listen(self, port: int) -> int:
        app = web.Application()
        app.router.add_get("/", self.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=protocol.BACKLOG)
        await site.start()
        number: int = runner.addresses[0][1]
        return number

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(compress=False)
        await websocket.prepare(request)
        client = self.enter(websocket.send_bytes)
        try:
            async for message in websocket:
                if message.type is WSMsgType.BINARY:
                    self.acks.take(message.data)
        finally:
            self.leave(client)
        return websocket


if __name__ == "__main__":
    protocol.run(Server, __doc__)
