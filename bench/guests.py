"""Clients that come and go in every way that clients have, in a process of their own.

Each of some threads is one client after the other: plain or with TLS, compressed or
not, with a life of random length, and with one of the ends of `ENDS`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from tls_storm import context
from wire import CLOSE, request

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
LIFE = 2.0  # seconds at most
TARGET = "/guest"  # what its request asks for; the server gives it more to do
STALLING = "/stalled"
HELLO = b"\x81\x85\0\0\0\0hello"
UNMASKED = b"\x81\x05hello"  # which no client may send


def read_on(sock: socket.socket, seconds: float) -> bool:
    """Read and forget for a while, or to the end, which is false."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(1 << 16):
                return False
        except TimeoutError:
            break
    sock.settimeout(10)
    return True


def leave(sock: socket.socket) -> None:
    """As the protocol has it."""
    sock.sendall(CLOSE)
    read_on(sock, 10)


def vanish(sock: socket.socket) -> None:
    """Without a word, in the middle of a frame."""
    sock.sendall(HELLO[:4])


def reset(sock: socket.socket) -> None:
    """What was queued for it is lost."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def err(sock: socket.socket) -> None:
    """And be closed."""
    sock.sendall(UNMASKED)
    read_on(sock, 10)


ENDS: list[Callable[[socket.socket], None]] = [leave, vanish, reset, err]


def visit(port: int, chance: random.Random, tls: ssl.SSLContext | None) -> None:
    """One client's life; that the server ends it is no error."""
    stalling = chance.random() < 0.1
    raw = socket.socket()
    if stalling:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with raw if tls is None else tls.wrap_socket(raw) as sock:
        life = chance.uniform(0, LIFE)
        if chance.random() < 0.05:
            return  # before a word
        target = STALLING if stalling else TARGET
        offer = OFFER if chance.random() < 0.3 else b""
        sock.sendall(request(target, offer))
        if stalling:
            time.sleep(life)
            reset(sock)
        elif read_on(sock, life / 2):
            sock.sendall(HELLO)
            if read_on(sock, life / 2):
                chance.choice(ENDS)(sock)


def guests(control: Connection, ports: tuple[int, int], count: int, core: int) -> None:
    """Run until there is a message; answer how many there were, and what failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, {core})
    over = threading.Event()
    tls = context()
    visits: list[int] = [0] * count
    failures: list[str] = []

    def go(number: int) -> None:
        chance = random.Random(number)
        while not over.is_set():
            secure = chance.random() < 0.25
            try:
                with suppress(ConnectionError, BrokenPipeError, ssl.SSLError):
                    visit(ports[secure], chance, tls if secure else None)
            except Exception as error:
                failures.append(repr(error))
                return
            visits[number] += 1

    threads = [threading.Thread(target=go, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    control.send("ready")
    control.recv()
    over.set()
    for thread in threads:
        thread.join()
    control.send((sum(visits), failures))
