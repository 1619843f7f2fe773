"""One pump against several, where the server may use every core.

    make bench-pumps [ARGS="--repetitions 9 --pumps 1 2 --write docs/performance.md"]

The same server and load client as in `make bench`, but on no core of their own: with
two cores, three threads (two pumps and the load client) want more than there is, so
what several pumps gain here is less than where the clients have machines of their
own. Broadcasts in a closed loop, one round in flight: no message travels with another,
so that each is a system call. Ratios are of the same repetition.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from peers import ALL
from suite.figures import Figure, figure, ratios
from suite.jobs import Metrics, Scale, Session, session
from suite.process import Cores
from tables import number, origin, place, record, table

WSSEND = next(peer for peer in ALL if peer.name == "wssend")
ANYWHERE = Cores(server=None, load=None)

# Clients, bytes of a message.
JOBS = ((10, 128), (100, 128), (1000, 128), (5000, 128), (1000, 4096), (100, 65536))


def rounds(it: Session, size: int, seconds: float) -> int:
    """How many take about so long."""
    tried = max(2000 // it.clients, 3)
    found = it.measure(f"closed {tried} 1 {size}")
    assert found is not None
    return max(int(found["rate"] / it.clients * seconds), tried)


def measure(pumps: int, clients: int, size: int, seconds: float) -> Metrics:
    """Messages a second, and the CPU of one."""
    peer = replace(WSSEND, command=(*WSSEND.command, "--pumps", str(pumps)))
    with session(peer, ANYWHERE, clients) as it:
        it.acks(True)
        found = it.measure(f"closed {rounds(it, size, seconds)} 1 {size}")
    assert found is not None
    return found


Results = dict[tuple[int, int], dict[int, list[Metrics]]]  # by job, by pumps


def spread(value: Figure | None, scale: float = 1.0) -> str:
    """The median, and between what."""
    if value is None:
        return ""
    low, high = number(value.low * scale), number(value.high * scale)
    return f"{number(value.median * scale)} ({low} to {high})"


def report(results: Results, pumps: list[int]) -> str:
    """All as one table."""
    head = ["clients", "bytes"]
    head += [f"{n}: k/s" for n in pumps] + [f"{n}: x rate of 1" for n in pumps[1:]]
    head += [f"{n}: CPU us" for n in pumps]
    rows = []
    for (clients, size), of in results.items():
        rates = {n: [found["rate"] for found in of[n]] for n in pumps}
        row = [f"{clients:,}", f"{size:,}"]
        row += [spread(figure(rates[n]), 1e-3) for n in pumps]
        row += [spread(figure(ratios(rates[n], rates[pumps[0]]))) for n in pumps[1:]]
        row += [spread(figure([it["cpu"] for it in of[n]]), 1e-3) for n in pumps]
        rows.append(row)
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each job")
    parser.add_argument("--pumps", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clients", type=int, help="jobs with no more than these")
    parser.add_argument("--write", type=Path, help="a page for the table")
    args = parser.parse_args()
    jobs = [job for job in JOBS if job[0] <= (args.clients or Scale.crowd)]
    results: Results = {job: {n: [] for n in args.pumps} for job in jobs}
    for repetition in range(args.repetitions):
        for job in jobs:
            turn = repetition % len(args.pumps)
            for n in (*args.pumps[turn:], *args.pumps[:turn]):
                results[job][n].append(measure(n, *job, args.seconds))
    named = {
        str(job): {str(n): of for n, of in all_.items()}
        for job, all_ in results.items()
    }
    record("pumps", named)
    text = report(results, args.pumps)
    print(text)
    if args.write:
        place(
            args.write, "pumps", f"{origin('bench-pumps', args.repetitions)}\n\n{text}"
        )


if __name__ == "__main__":
    main()
