"""A hub in a process of its own, so that its figures are the server's alone.

    python server.py OPTIONS      (a JSON object for WSHub; "listen": host or path;
                                  "tls": a PEM file, for a second listener)

It prints its URLs, each on a line. What begins with "b:" is echoed, everything
else is counted. Commands are JSON lines on stdin, each answered by one line.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import wssend

PAGE = "<!doctype html><title>page</title>" + "x" * 200_000


class Server:
    """The hub, the thread that echoes, and what the commands do."""

    def __init__(self, options: dict[str, Any]) -> None:
        host = options.pop("listen", "127.0.0.1")
        tls = options.pop("tls", None)
        self.hub = wssend.WSHub(id_query="id", **options)
        self.hub.add_page("/page", "text/html", PAGE)
        self.hub.fileno()  # from here on, what clients send is kept
        if host.startswith("/"):
            self.urls = [self.hub.listen(unix=host).url]
        else:
            self.urls = [self.hub.listen(host, 0, backlog=4096).url]
        if tls is not None:
            secure = self.hub.listen(host, 0, backlog=4096, tls_cert=tls)
            self.urls.append(secure.url)
        self.ended: dict[str, tuple[int, str, bool]] = {}
        self.may_drain = threading.Event()
        self.may_drain.set()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        for event in self.hub.events():
            # The client may be full or gone, or there is no memory.
            with suppress(MemoryError, wssend.WSSendError):
                self._take(event)
            self.may_drain.wait()

    def _take(self, event: wssend.Event) -> None:
        if isinstance(event, wssend.Message):
            if isinstance(event.data, str) and event.data.startswith("b:"):
                event.client.send(event.data)
        elif isinstance(event, wssend.Disconnected) and len(self.ended) < 1000:
            self.ended[event.client.id] = (event.code, event.reason, event.clean)

    # The commands.

    def stats(self) -> dict[str, Any]:
        return asdict(self.hub.stats())

    def client(self, id: str) -> dict[str, Any] | None:
        client = self.hub.get(id)
        return None if client is None else asdict(client.stats())

    def end_of(self, id: str) -> tuple[int, str, bool] | None:
        return self.ended.get(id)

    def drain(self, on: bool) -> None:
        if on:
            self.may_drain.set()
        else:
            self.may_drain.clear()

    def close_client(self, id: str) -> None:
        client = self.hub.get(id)
        if client is not None:
            client.close(4000)

    def fill(self, id: str, size: int) -> int:
        """Send to a client that does not read until it is full and stays so, or
        has gone."""
        accepted = refused = 0
        while refused < 20:
            try:
                self.hub.send(id, bytes(size))
            except wssend.ChannelFull:
                refused += 1
                time.sleep(0.005)
            except (wssend.ChannelClosed, wssend.ClientNotFound):
                break
            else:
                accepted += 1
                refused = 0
        return accepted

    def broadcast(self, count: int, size: int) -> dict[str, int]:
        """Send to all, as fast as those take it whose id does not say "stalled"."""
        full: dict[str, int] = {}
        for n in range(count):
            report = self.hub.broadcast(f"m:{n}:".ljust(size))
            for client in report.full:
                full[client.id] = full.get(client.id, 0) + 1
            if n % 16 == 0:
                self._wait_for_readers()
        return full

    def _wait_for_readers(self) -> None:
        for client in self.hub.clients():
            while not client.id.startswith("stalled") and client.stats().queued > 60:
                if client.closed:
                    break
                time.sleep(0.001)

    def limit_descriptors(self, spare: int) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        # The listing itself takes one that is free again.
        used = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, hard))

    def limit_memory(self, spare: int) -> None:
        with open("/proc/self/statm") as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + spare, -1))

    def unlimit_memory(self) -> None:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

    def end(self) -> dict[str, Any]:
        self.may_drain.set()
        self.hub.close(timeout=5)
        self._thread.join()
        return self.stats()


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = Server(json.loads(sys.argv[1]))
    print(*server.urls, sep="\n", flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        command: Callable[..., Any] = getattr(server, name)
        print(json.dumps(command(**arguments)), flush=True)
        if name == "end":
            return


if __name__ == "__main__":
    main()
