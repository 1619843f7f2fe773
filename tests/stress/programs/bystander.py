"""An honest client: it sends the time every 10 ms and notes when it is back.

    python bystander.py URL ID

On the line "mark" it prints the figures since the last one; on "end" it stops,
waits for everything that is still under way, leaves, and prints the totals.
"""

from __future__ import annotations

import json
import select
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from wsclient import PING, PONG, Client

PAUSE = 0.01  # seconds between two messages


class Bystander:
    """A client, a thread that sends, and one that receives."""

    def __init__(self, url: str, client_id: str) -> None:
        self._client = Client(url, f"/?id={client_id}")
        self._socket = threading.Lock()  # TLS takes one thread at a time
        self._lock = threading.Condition()
        self._latencies: list[float] = []
        self._sent = self._received = self._broadcasts = 0
        self._ending = False
        self._broken = ""
        for job in (self._send, self._receive):
            threading.Thread(target=self._run, args=(job,), daemon=True).start()

    def _run(self, job: Any) -> None:
        try:
            job()
        except Exception as error:
            with self._lock:
                self._broken = self._broken or repr(error)
                self._lock.notify_all()

    def _send(self) -> None:
        while True:
            with self._lock:
                if self._ending:
                    return
                number = self._sent
                self._sent += 1
            with self._socket:
                self._client.send(f"b:{number}:{time.monotonic_ns()}")
            time.sleep(PAUSE)

    def _receive(self) -> None:
        self._client.socket.settimeout(60)
        poll = select.poll()
        poll.register(self._client.socket, select.POLLIN)
        while True:
            if self._client.unread == 0:
                poll.poll()
            with self._socket:
                frame = self._client.recv_frame()
                if frame.opcode == PING:
                    self._client.send_frame(PONG, frame.payload)
                    continue
            data = frame.payload.decode()
            kind, number, rest = data.split(":", 2)
            with self._lock:
                if kind == "b":
                    assert int(number) == self._received, data
                    self._received += 1
                    self._latencies.append((time.monotonic_ns() - int(rest)) / 1e6)
                else:
                    assert int(number) == self._broadcasts, data[:20]
                    self._broadcasts += 1
                self._lock.notify_all()

    def mark(self, least: int) -> dict[str, Any]:
        """The latencies in milliseconds since the last mark, once there are some."""
        with self._lock:
            self._wait(lambda: len(self._latencies) >= least)
            got, self._latencies = sorted(self._latencies), []
        return {
            "count": len(got),
            "p50": got[len(got) // 2],
            "p99": got[int(len(got) * 0.99)],
            "max": got[-1],
        }

    def end(self) -> dict[str, Any]:
        with self._lock:
            self._ending = True
            self._wait(lambda: self._received == self._sent)
            return {
                "sent": self._sent,
                "received": self._received,
                "broadcasts": self._broadcasts,
                "broken": self._broken,
            }

    def _wait(self, condition: Any) -> None:
        assert self._lock.wait_for(lambda: self._broken or condition(), 50)
        assert not self._broken, self._broken


def main() -> None:
    bystander = Bystander(*sys.argv[1:])
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        answer = getattr(bystander, name)(*map(int, arguments))
        print(json.dumps(answer), flush=True)
        if name == "end":
            return


if __name__ == "__main__":
    main()
