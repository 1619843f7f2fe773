"""Makes TLS handshakes as fast as it can, each with a connection of its own.

    python shaker.py URL COUNT AT_ONCE

It prints "ready", waits for a line, and prints how many handshakes were made and
how many failed.
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from wsclient import split_url, trusting


class Shaker:
    """Handshakes, a number of them at any time."""

    def __init__(self, url: str, count: int, at_once: int) -> None:
        self._address = split_url(url)[0]
        self._left = count
        self._at_once = at_once
        self._context = trusting()
        self._selector = selectors.DefaultSelector()
        self.made = self.failed = 0

    def run(self) -> None:
        """Make all of them."""
        while self._left > 0 or self._selector.get_map():
            while self._left > 0 and len(self._selector.get_map()) < self._at_once:
                self._begin()
            for key, _ in self._selector.select():
                assert isinstance(key.fileobj, ssl.SSLSocket)
                self._go_on(key.fileobj)

    def _begin(self) -> None:
        self._left -= 1
        raw = socket.socket()
        raw.connect(self._address)
        raw.setblocking(False)
        sock = self._context.wrap_socket(raw, do_handshake_on_connect=False)
        self._selector.register(sock, selectors.EVENT_READ)
        self._go_on(sock)

    def _go_on(self, sock: ssl.SSLSocket) -> None:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError:
            self.failed += 1
        else:
            self.made += 1
        self._selector.unregister(sock)
        sock.close()


def main() -> None:
    url, count, at_once = sys.argv[1:]
    print("ready", flush=True)
    sys.stdin.readline()
    shaker = Shaker(url, int(count), int(at_once))
    shaker.run()
    print(json.dumps({"made": shaker.made, "failed": shaker.failed}), flush=True)


if __name__ == "__main__":
    main()
