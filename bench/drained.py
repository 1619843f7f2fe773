"""Clients that read and forget, for measurements inside the server's process."""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from wire import request

import wssend


@contextmanager
def drained_clients(
    hub: wssend.WSHub, count: int, headers: bytes = b""
) -> Iterator[list[wssend.WSClient]]:
    """Connects `count` clients from a child process that reads and forgets."""
    port = hub.listen("127.0.0.1", 0).port
    child = os.fork()
    if child == 0:
        drain(port or 0, count, headers)
    try:
        deadline = time.monotonic() + 30
        while len(hub) < count:
            if time.monotonic() > deadline:
                sys.exit("the clients did not connect within 30 s")
            time.sleep(0.01)
        yield hub.clients()
    finally:
        hub.close(timeout=5)
        os.waitpid(child, 0)


def drain(port: int, count: int, headers: bytes) -> None:
    """Never returns: reads until every connection has ended."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(request(headers=headers))
        selector.register(sock, selectors.EVENT_READ)
    while count:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(1 << 20):
                selector.unregister(key.fileobj)
                key.fileobj.close()
                count -= 1
    os._exit(0)
