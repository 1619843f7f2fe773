"""What compression costs a sender, and what a broadcast saves by it.

    .venv/bin/python bench/deflate.py [--rounds 5 --clients 1000]

Each round times every row once, plain and compressed in turn; a row's figure is its
median over the rounds, with the smallest and the largest. The payload is JSON, the
same text in each call but a message of its own, so that nothing but a PreparedMessage
is compressed once for many calls. The clients read and forget.

Beside the time of a call stands the processor's time that the whole process, the pump
included, took for each message until the kernel had it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

from drained import drained_clients

import wssend

OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def payload(size: int) -> str:
    """JSON of about that many bytes, as a price feed might send it."""
    rows: list[dict[str, object]] = []
    state = 12345
    while len(json.dumps(rows)) < size:
        state = (state * 1103515245 + 12345) % (1 << 31)
        symbol = "".join(chr(65 + (state >> i) % 26) for i in (5, 10, 15))
        price = (state >> 7) % 100_000 / 100
        rows.append({"id": state, "symbol": symbol, "price": price, "open": True})
    return json.dumps(rows)[:size]


Row = tuple[float, float]  # wall nanoseconds a call, CPU nanoseconds a message


def timed(
    hub: wssend.WSHub, call: Callable[[], object], calls: int, receivers: int
) -> Row:
    """Bursts that fit into a channel; flushed outside the call's clock."""
    total = done = 0
    cpu = time.process_time_ns()
    while done < calls:
        burst = min(50, calls - done)
        start = time.perf_counter_ns()
        for _ in range(burst):
            call()
        total += time.perf_counter_ns() - start
        done += burst
        hub.flush(60)
    cpu = time.process_time_ns() - cpu
    return total / done, cpu / done / receivers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--broadcasts", type=int, default=50)
    parser.add_argument("--clients", type=int, default=1000)
    args = parser.parse_args()
    rows: dict[str, list[Row]] = {}

    for _ in range(args.rounds):
        for mode, headers in (("plain", b""), ("deflate", OFFER)):
            hub = wssend.WSHub(compression="deflate", send_queue_bytes=1 << 26)
            with drained_clients(hub, args.clients, headers) as clients:
                send = clients[0].send
                for size in (1024, 16384):
                    text = payload(size)
                    prepared = wssend.PreparedMessage(text)
                    to_all = partial(hub.broadcast, text)
                    many = f"broadcast to {args.clients}"
                    for name, call, calls, receivers in (
                        ("send", partial(send, text), args.calls, 1),
                        ("send prepared", partial(send, prepared), args.calls, 1),
                        (many, to_all, args.broadcasts, args.clients),
                    ):
                        row = timed(hub, call, calls, receivers)
                        title = f"{name}, {size >> 10} kB, {mode}"
                        rows.setdefault(title, []).append(row)
                stats = hub.stats()
        saved = 1 - stats.wire_bytes / stats.written_bytes

    print(f"{'':36} {'median':>9} {'min':>9} {'max':>9}  CPU a message   ns")
    for title, values in rows.items():
        walls = [wall for wall, _ in values]
        print(
            f"{title:36} {statistics.median(walls):9.0f} {min(walls):9.0f} "
            f"{max(walls):9.0f} {statistics.median(cpu for _, cpu in values):14.0f}"
        )
    print(f"of the deflated bytes, {saved:.0%} were not sent")


if __name__ == "__main__":
    main()
