"""wssend as a program that pushes would use it; the protocol is in bench/README.md.

The main thread sends, as asked for on stdin, and another takes the events. What it
measures is what any user has: WSHub with its default settings, but for the length of
the queue and for the keepalive, which no server here has.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

from protocol import ACK_TIMEOUT, BURST, STAMP, Answer, NoAckError, payload

import wssend


class Acks:
    """How many rounds have arrived, as the load client says in messages of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._complete = 0
        self._sent = 0

    def reset(self) -> None:
        """Begin with the first round."""
        with self._changed:
            self._complete = self._sent = 0

    def take(self, data: bytes) -> None:
        """All rounds up to this one have arrived; no round of an earlier job."""
        (complete,) = struct.unpack("<Q", data)
        with self._changed:
            if self._complete < complete <= self._sent:
                self._complete = complete
                self._changed.notify()

    def before(self, number: int, window: int) -> None:
        """Wait until this round may be sent."""
        with self._changed:
            self._sent = number
            if not self._changed.wait_for(
                lambda: self._complete >= number - window, ACK_TIMEOUT
            ):
                raise NoAckError


def paced(rounds: int, interval_us: int) -> Iterator[int]:
    """The numbers of the rounds, each at its time."""
    begin = time.monotonic()
    for number in range(1, rounds + 1):
        wait = begin + (number - 1) * interval_us / 1e6 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield number


class Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
    _fields_ = tuple(
        (name, ctypes.c_size_t) for name in (*names, "uordblks", "fordblks", "keepcost")
    )


def heap() -> Answer:
    """What C code has allocated and not given back; Python's own objects are not in
    it."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    found = mallinfo2()
    return {"bytes": found.uordblks + found.hblkhd}


class Server:
    """The hub, and what can be asked of it."""

    def __init__(self, hub: wssend.WSHub, queue: int) -> None:
        self.hub = hub
        self.queue = queue
        self.acks = Acks()
        self.commands: dict[str, Callable[..., Answer]] = {
            "count": lambda: {"clients": len(hub)},
            "broadcast": self.broadcast,
            "closed": self.closed,
            "unicast": self.unicast,
            "some": self.some,
            "sendcost": self.sendcost,
            "heap": heap,
        }

    def take_events(self) -> None:
        """Runs in a thread of its own, as long as the hub."""
        for event in self.hub.events():
            if isinstance(event, wssend.Message):
                assert isinstance(event.data, bytes)
                self.acks.take(event.data)

    def waiting_for_acks(self, rounds: int, window: int) -> Iterator[int]:
        """The numbers of the rounds, at most WINDOW of them in flight."""
        self.acks.reset()
        for number in range(1, rounds + 1):
            self.acks.before(number, window)
            yield number

    def to_all(self, numbers: Iterator[int], size: int) -> Answer:
        """One broadcast a round."""
        rounds = sent = refused = 0
        filler = b"x" * (size - STAMP)
        begin = time.monotonic_ns()
        for number in numbers:
            report = self.hub.broadcast(payload(number, filler))
            rounds += 1
            sent += report.queued
            refused += len(report.full)
        wall = time.monotonic_ns() - begin
        return {"rounds": rounds, "sent": sent, "refused": refused, "wall_ns": wall}

    def to_each(self, numbers: Iterator[int], size: int, count: int | None) -> Answer:
        """One send for each of the first clients a round."""
        rounds = sent = refused = 0
        filler = b"x" * (size - STAMP)
        clients = self.hub.clients()[:count]
        begin = time.monotonic_ns()
        for number in numbers:
            rounds += 1
            for client in clients:
                try:
                    client.send(payload(number, filler))
                except wssend.ChannelFull:
                    refused += 1
                else:
                    sent += 1
        wall = time.monotonic_ns() - begin
        return {"rounds": rounds, "sent": sent, "refused": refused, "wall_ns": wall}

    def broadcast(self, rounds: int, interval_us: int, size: int) -> Answer:
        return self.to_all(paced(rounds, interval_us), size)

    def closed(self, rounds: int, window: int, size: int) -> Answer:
        return self.to_all(self.waiting_for_acks(rounds, window), size)

    def unicast(self, rounds: int, window: int, size: int) -> Answer:
        return self.to_each(self.waiting_for_acks(rounds, window), size, None)

    def some(self, count: int, rounds: int, interval_us: int, size: int) -> Answer:
        return self.to_each(paced(rounds, interval_us), size, count)

    def sendcost(self, calls: int, size: int) -> Answer:
        """Bursts that fit into a channel, flushed outside the clock."""
        data = payload(0, b"x" * (size - STAMP))
        burst = min(BURST, self.queue)
        clients = self.hub.clients()
        total = done = 0
        while done < calls:
            send = clients[done // burst % len(clients)].send
            begin = time.perf_counter_ns()
            for _ in range(burst):
                send(data)
            total += time.perf_counter_ns() - begin
            done += burst
            self.hub.flush(ACK_TIMEOUT)
        return {"ns": total / done}

    def obey(self, line: str) -> Answer:
        """Do what a line says."""
        name, *words = line.split() or [""]
        command = self.commands.get(name)
        if command is None:
            return {"error": f"unknown command {name!r}"}
        try:
            return command(*map(int, words))
        except NoAckError:
            return {"error": "no ack"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--release-gil", type=int, choices=(0, 1))
    parser.add_argument("--pumps", type=int)
    options = parser.parse_args()
    more: dict[str, int] = {}
    if options.release_gil is not None:
        more["release_gil"] = bool(options.release_gil)
    if options.pumps is not None:
        more["pumps"] = options.pumps

    hub = wssend.WSHub(
        send_queue=options.queue,
        ping_interval=None,
        **more,  # type: ignore[arg-type]
    )
    with hub:
        server = Server(hub, options.queue)
        threading.Thread(target=server.take_events, daemon=True).start()
        print("ready", hub.listen("127.0.0.1", options.port).port, flush=True)
        for line in sys.stdin:
            if line.strip() == "quit":
                break
            print(json.dumps(server.obey(line)), flush=True)
        hub.close(timeout=0)


if __name__ == "__main__":
    main()
