"""What takes messages, in one of three libraries; for bench/inbound.py.

A handler counts what comes, and answers each message that begins with "A" with it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from protocol import BACKLOG, new_loop, raise_limit


async def serve_wssend() -> int:
    from wssend import aio

    async def handler(client: aio.Client) -> None:
        async for message in client:
            if message[:1] == b"A":
                client.send(message)

    server = aio.serve(handler, port=0, ping_interval=None, backlog=BACKLOG)
    await server.__aenter__()
    return server.listeners[0].port or 0


async def serve_websockets() -> int:
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(client: ServerConnection) -> None:
        async for message in client:
            if message[:1] == b"A":
                await client.send(message)

    server = await serve(
        handler,
        "127.0.0.1",
        0,
        compression=None,
        ping_interval=None,
        backlog=BACKLOG,
    )
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


async def serve_picows() -> int:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    class Listener(WSListener):  # type: ignore[misc, unused-ignore]
        """A callback for each frame: there is no task and no queue."""

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            message = frame.get_payload_as_bytes()
            if message[:1] == b"A":
                transport.send(WSMsgType.BINARY, message)

    server = await ws_create_server(
        lambda request: Listener(), "127.0.0.1", 0, backlog=BACKLOG
    )
    port: int = server.sockets[0].getsockname()[1]
    return port


LIBRARIES = {
    "wssend": serve_wssend,
    "websockets": serve_websockets,
    "picows": serve_picows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=list(LIBRARIES))
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    raise_limit()
    loop = new_loop(options.loop)
    asyncio.set_event_loop(loop)

    async def run() -> None:
        print("ready", await LIBRARIES[options.library](), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)

    loop.run_until_complete(run())


if __name__ == "__main__":
    main()
