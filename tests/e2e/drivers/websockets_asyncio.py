"""A driver for ``websockets``, with asyncio."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from e2e.drivers.payloads import (
    FRAGMENTS,
    SIZES,
    SUBPROTOCOLS,
    TIMEOUT,
    binary,
    report,
    text,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.typing import Subprotocol


async def echo(ws: ClientConnection) -> dict[str, Any]:
    bad = []
    for size in SIZES:
        for data in (text(size), binary(size)):
            await ws.send(data)
            if await ws.recv() != data:
                bad.append([type(data).__name__, size])
    return {"bad": bad}


async def fragments(ws: ClientConnection) -> dict[str, Any]:
    await ws.send(FRAGMENTS)
    answer = await ws.recv()
    await ws.send([part.encode() for part in FRAGMENTS])
    return {"text": answer, "binary": bytes(await ws.recv(decode=False)).decode()}


async def ping(ws: ClientConnection) -> dict[str, Any]:
    return {"pong": await (await ws.ping(b"are you there")) >= 0}


async def subprotocol(ws: ClientConnection) -> dict[str, Any]:
    return {"subprotocol": ws.subprotocol}


async def client_closes(ws: ClientConnection) -> dict[str, Any]:
    await ws.close(3001, "done")
    return {"code": ws.close_code}


async def server_closes(ws: ClientConnection) -> dict[str, Any]:
    await ws.send("please close")
    return await wait_for_close(ws)


async def wait_for_close(ws: ClientConnection) -> dict[str, Any]:
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as closed:
        frame = closed.rcvd or Close(1006, "")
        return {"code": frame.code, "reason": frame.reason}


SCENARIOS = {
    "echo": echo,
    "fragments": fragments,
    "ping": ping,
    "subprotocol": subprotocol,
    "client_closes": client_closes,
    "server_closes": server_closes,
    "idle": wait_for_close,
}


async def main(url: str, scenario: str) -> None:
    offer = [Subprotocol(name) for name in SUBPROTOCOLS]
    async with connect(url, subprotocols=offer, proxy=None) as ws:
        await ws.send("hello")
        await ws.recv()
        report(await asyncio.wait_for(SCENARIOS[scenario](ws), TIMEOUT))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
