"""A driver for ``websockets``, in threads."""

from __future__ import annotations

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
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol


def echo(ws: ClientConnection) -> dict[str, Any]:
    bad = []
    for size in SIZES:
        for data in (text(size), binary(size)):
            ws.send(data)
            if ws.recv(TIMEOUT) != data:
                bad.append([type(data).__name__, size])
    return {"bad": bad}


def fragments(ws: ClientConnection) -> dict[str, Any]:
    ws.send(FRAGMENTS)
    answer = ws.recv(TIMEOUT)
    ws.send(part.encode() for part in FRAGMENTS)
    return {"text": answer, "binary": bytes(ws.recv(TIMEOUT, decode=False)).decode()}


def ping(ws: ClientConnection) -> dict[str, Any]:
    return {"pong": ws.ping(b"are you there").wait(TIMEOUT)}


def subprotocol(ws: ClientConnection) -> dict[str, Any]:
    return {"subprotocol": ws.subprotocol}


def client_closes(ws: ClientConnection) -> dict[str, Any]:
    ws.close(3001, "done")
    return {"code": ws.close_code}


def server_closes(ws: ClientConnection) -> dict[str, Any]:
    ws.send("please close")
    return wait_for_close(ws)


def wait_for_close(ws: ClientConnection) -> dict[str, Any]:
    try:
        while True:
            ws.recv(TIMEOUT)
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

if __name__ == "__main__":
    offer = [Subprotocol(name) for name in SUBPROTOCOLS]
    with connect(sys.argv[1], subprotocols=offer, proxy=None) as connection:
        connection.send("hello")
        connection.recv(TIMEOUT)
        report(SCENARIOS[sys.argv[2]](connection))
