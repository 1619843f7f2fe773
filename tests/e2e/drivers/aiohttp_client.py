"""A driver for ``aiohttp``, which has no way to send fragments."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from e2e.drivers.payloads import SIZES, SUBPROTOCOLS, TIMEOUT, binary, report, text

Socket: TypeAlias = "ClientWebSocketResponse[bool]"  # generic in new versions only


async def echo(ws: Socket) -> dict[str, Any]:
    bad = []
    for size in SIZES:
        await ws.send_str(text(size))
        if await ws.receive_str() != text(size):
            bad.append(["str", size])
        await ws.send_bytes(binary(size))
        if await ws.receive_bytes() != binary(size):
            bad.append(["bytes", size])
    return {"bad": bad}


async def ping(ws: Socket) -> dict[str, Any]:
    await ws.ping(b"are you there")
    message = await ws.receive()
    pong = message.type is WSMsgType.PONG and bytes(message.data) == b"are you there"
    return {"pong": pong}


async def subprotocol(ws: Socket) -> dict[str, Any]:
    return {"subprotocol": ws.protocol}


async def client_closes(ws: Socket) -> dict[str, Any]:
    await ws.close(code=3001, message=b"done")
    return {"code": ws.close_code}


async def server_closes(ws: Socket) -> dict[str, Any]:
    await ws.send_str("please close")
    return await wait_for_close(ws)


async def wait_for_close(ws: Socket) -> dict[str, Any]:
    while True:
        message = await ws.receive()
        if message.type is WSMsgType.CLOSE:
            return {"code": message.data, "reason": message.extra}
        if message.type is WSMsgType.PING:
            await ws.pong(message.data)


Scenario: TypeAlias = Callable[[Socket], Awaitable[dict[str, Any]]]
SCENARIOS: dict[str, Scenario] = {
    "echo": echo,
    "ping": ping,
    "subprotocol": subprotocol,
    "client_closes": client_closes,
    "server_closes": server_closes,
    "idle": wait_for_close,
}


async def main(url: str, scenario: str) -> None:
    # It hides pongs unless pings are left to the caller, too.
    async with (
        ClientSession() as session,
        session.ws_connect(url, protocols=SUBPROTOCOLS, autoping=False) as ws,
    ):
        await ws.send_str("hello")
        while (await ws.receive()).type is not WSMsgType.TEXT:
            pass  # a ping, which may come first
        report(await asyncio.wait_for(SCENARIOS[scenario](ws), TIMEOUT))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
