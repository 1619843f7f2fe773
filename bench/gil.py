"""Who waits for whom: send() and the GIL, in both modes of release_gil.

    make bench-gil [ARGS="--rounds 5 --seconds 2 --write docs/performance.md"]

Times every single call of client.send(128 bytes): alone, beside other Python threads
that compute or send, and while broadcasts to many clients are under way; back to back
and paced (a millisecond's sleep before each call). The others are timed, too: a
thread that computes is a loop which looks at the clock, so every time that it was kept
from running is seen. "id()" in the column `release_gil` is a call that does nothing,
timed in the same way: what it waits for has to do with Python, not with send().

Each round measures every row once; a row's samples are those of all rounds. What the
clock itself takes is measured and has been subtracted.

The last table shows what a thread that keeps the GIL for seconds does to the clients.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import stuck
from loads import connected
from tables import Spread, number, origin, place, quantile, record, spread, table

import wssend

PAYLOAD = bytes(128)
PACE = 0.001  # seconds of sleep before a paced call
BURST = 200  # calls in a row to one client
QUEUE = 1024  # that is more than four threads' bursts
LONG = 20_000  # ns; a thread that computes was kept from running, if for longer
RALLY = 64  # broadcasts in a row; a channel holds more

clock = time.perf_counter_ns
Send = Callable[[bytes], object]


@dataclass(frozen=True)
class Scene:
    """What else goes on in the process."""

    title: str
    computing: int = 0  # threads
    sending: int = 0  # threads
    together: bool = False  # the senders' clients are the same
    interval: float = 0.005  # sys.setswitchinterval


SCENES = [
    Scene("nothing"),
    Scene("1 computes", computing=1),
    Scene("8 compute", computing=8),
    Scene("1 computes", computing=1, interval=0.0005),
    Scene("8 compute", computing=8, interval=0.0005),
    Scene("3 send", sending=3),
    Scene("3 send to the same client", sending=3, together=True),
]


@dataclass
class Row:
    """Everything measured under one heading, over all rounds."""

    samples: array[int] = field(default_factory=lambda: array("q"))
    waits: array[int] = field(default_factory=lambda: array("q"))  # the others'
    shares: list[float] = field(default_factory=list)  # of their speed without us


class Computing(threading.Thread):
    """A thread that never waits, and notes how long it was kept from running."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = False
        self.turns = 0
        self.waits: array[int] = array("q")
        self.start()

    def run(self) -> None:
        waits, turns = self.waits, 0
        last = clock()
        while not self.over:
            now = clock()
            if now - last > LONG:
                waits.append(now - last)
            last = now
            turns += 1
        self.turns = turns


class Sending(threading.Thread):
    """Another thread that sends, back to back or paced as the measured one."""

    def __init__(self, job: Callable[[array[int]], None]) -> None:
        super().__init__(daemon=True)
        self._job = job
        self.samples: array[int] = array("q")
        self.start()

    def run(self) -> None:
        self._job(self.samples)


def back_to_back(
    sends: Sequence[Send], samples: array[int], until: int, flush: Callable[[], object]
) -> None:
    """Bursts that fit into the channels, flushed outside the clock."""
    while True:
        for send in sends:
            for _ in range(BURST):
                start = clock()
                send(PAYLOAD)
                samples.append(clock() - start)
                if start > until:
                    flush()
                    return
        flush()


def paced(
    sends: Sequence[Send], samples: array[int], until: int, flush: Callable[[], object]
) -> None:
    """Single calls, mostly to a pump that has gone to sleep."""
    while True:
        for send in sends:
            time.sleep(PACE)
            start = clock()
            send(PAYLOAD)
            samples.append(clock() - start)
            if start > until:
                flush()
                return


PACES = {"back to back": back_to_back, "paced": paced}


def sends_of(hub: wssend.WSHub, mode: str, clients: int | None = None) -> list[Send]:
    chosen = hub.clients()[:clients]
    return [id] * len(chosen) if mode == "id()" else [each.send for each in chosen]


def pick(sends: list[Send], scene: Scene, part: int) -> list[Send]:
    """The share of one of the threads that send."""
    if scene.together:
        return sends[:1]
    parts = 1 + scene.sending
    return sends[part::parts]


@contextmanager
def computing(count: int) -> Iterator[list[Computing]]:
    threads = [Computing() for _ in range(count)]
    try:
        yield threads
    finally:
        for thread in threads:
            thread.over = True
        for thread in threads:
            thread.join()


def undisturbed(scene: Scene, seconds: float) -> tuple[float, array[int]]:
    """Turns a second of all threads that compute, and their waits, without us."""
    waits: array[int] = array("q")
    with computing(scene.computing) as threads:
        start = clock()
        time.sleep(seconds)
        taken = clock() - start
    for thread in threads:
        waits.extend(thread.waits)
    return sum(thread.turns for thread in threads) / taken, waits


def measure(
    hub: wssend.WSHub, scene: Scene, pace: str, mode: str, seconds: float, row: Row
) -> float:
    """Add a measurement to a row; the speed of those that compute, in turns a ns."""
    sends = sends_of(hub, mode)
    job = PACES[pace]
    with computing(scene.computing) as others:
        start = clock()
        until = start + int(seconds * 1e9)

        def go(part: int) -> Callable[[array[int]], None]:
            mine = pick(sends, scene, part)
            return lambda samples: job(mine, samples, until, lambda: hub.flush(60))

        senders = [Sending(go(1 + part)) for part in range(scene.sending)]
        go(0)(row.samples)
        taken = clock() - start
    for sender in senders:
        sender.join()
        row.waits.extend(sender.samples)
    for other in others:
        row.waits.extend(other.waits)
    return sum(other.turns for other in others) / taken


Rows = dict[tuple[str, ...], Row]


def key_of(scene: Scene, pace: str, mode: str) -> tuple[str, ...]:
    return (scene.title, f"{1000 * scene.interval:g}", pace, mode)


def scenes(rows: Rows, few: int, seconds: float) -> None:
    """One round of everything but the broadcasts."""
    hubs = {
        str(release): wssend.WSHub(release_gil=release, send_queue=QUEUE)
        for release in MODES
    }
    with (
        hubs["True"],
        hubs["False"],
        connected(hubs["True"], few),
        connected(hubs["False"], few),
    ):
        for scene in SCENES:
            sys.setswitchinterval(scene.interval)
            alone = 0.0
            if scene.computing:
                row = rows.setdefault(key_of(scene, "", "nobody sends"), Row())
                alone, waits = undisturbed(scene, seconds)
                row.waits.extend(waits)
                row.shares.append(1.0)
            for pace in PACES:
                for mode in ("id()", "True", "False"):
                    row = rows.setdefault(key_of(scene, pace, mode), Row())
                    hub = hubs.get(mode, hubs["True"])
                    speed = measure(hub, scene, pace, mode, seconds, row)
                    if alone:
                        row.shares.append(speed / alone)
    sys.setswitchinterval(0.005)


MODES = (True, False)


class Rally(threading.Thread):
    """A thread that makes broadcasts, one after the other, and times the calls."""

    def __init__(self, hub: wssend.WSHub) -> None:
        super().__init__(daemon=True)
        self._hub = hub
        self.over = False
        self.samples: array[int] = array("q")
        self.start()

    def run(self) -> None:
        for _ in range(RALLY):
            start = clock()
            report = self._hub.broadcast(PAYLOAD)
            self.samples.append(clock() - start)
            assert report, "a channel was too small"
        self.over = True


def during(
    pace: str, sends: Sequence[Send], samples: array[int], go_on: Callable[[], bool]
) -> None:
    """Send to one after the other, at most once to each channel's last half."""
    for _ in range(100):
        for send in sends:
            if pace == "paced":
                time.sleep(PACE)
            start = clock()
            send(PAYLOAD)
            samples.append(clock() - start)
            if not go_on():
                return


def broadcasts(rows: Rows, clients: int, release: bool, seconds: float) -> None:
    """One round, in one mode, of what happens during broadcasts to many."""
    title = f"broadcasts to {clients:,}"
    mode = str(release)
    calling, writing = f"{title}: the calls", f"{title}: the writing"
    hub = wssend.WSHub(release_gil=release, open_timeout=60, ping_interval=None)
    with hub, connected(hub, clients):
        sends = sends_of(hub, mode)
        row = rows.setdefault((calling, "5", "", "nobody sends"), Row())
        rally = Rally(hub)
        rally.join()
        hub.flush(60)
        row.waits.extend(rally.samples)
        for pace in PACES:
            until = clock() + int(seconds * 1e9)
            first = True
            while first or clock() < until:
                first = False
                row = rows.setdefault((calling, "5", pace, mode), Row())
                rally = Rally(hub)
                during(pace, sends, row.samples, lambda rally=rally: not rally.over)
                rally.join()
                row.waits.extend(rally.samples)
                row = rows.setdefault((writing, "5", pace, mode), Row())
                during(pace, sends, row.samples, lambda: hub.stats().queued > 0)
                hub.flush(60)


def overhead() -> int:
    """Nanoseconds that two looks at the clock take, one after the other."""
    samples = array("q")
    for _ in range(20_000):
        start = clock()
        samples.append(clock() - start)
    return int(statistics.median(samples))


HEAD = [
    "what else goes on",
    "switch interval, ms",
    "calls",
    "release_gil",
    "mean, us",
    "p50",
    "p99",
    "p99.9",
    "worst",
    "samples",
    "the others' speed",
    "their waits: p50, us",
    "p99",
    "worst",
]


def cells(key: tuple[str, ...], row: Row, less: int) -> list[str]:
    got: Spread = spread(row.samples, less)
    waits = sorted(row.waits)
    theirs = [quantile(waits, q) / 1000 for q in (0.5, 0.99, 1.0)] if waits else []
    return [
        *key,
        *(
            number(value / 1000)
            for value in (got.mean, got.p50, got.p99, got.p999, got.worst)
        ),
        f"{got.count:,}" if got.count else "",
        f"{statistics.median(row.shares):.0%}" if row.shares else "",
        *(number(value) for value in theirs or [None] * 3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each row")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--many", type=int, default=10_000, help="for broadcasts")
    parser.add_argument("--stuck", type=float, default=3.0, help="seconds")
    parser.add_argument("--write", type=Path, help="put the tables into this page")
    args = parser.parse_args()
    rows: Rows = {}
    less = overhead()

    for _ in range(args.rounds):
        scenes(rows, args.clients, args.seconds)
        for release in MODES:
            broadcasts(rows, args.many, release, args.seconds)
    text = origin("make bench-gil", args.rounds) + (
        f" Of each time the clock's own {less} ns are subtracted.\n\n"
    )
    text += table(HEAD, [cells(key, row, less) for key, row in rows.items()])
    if args.stuck:
        shown, held = stuck.both(args.stuck)
        text += "\n" + shown
    else:
        held = None
    print(text, end="")
    record(
        "gil",
        {
            "clock_ns": less,
            "rows": [
                {
                    "key": key,
                    "send_ns": asdict(spread(row.samples, less)),
                    "others_ns": asdict(spread(row.waits)),
                    "others_share": row.shares,
                }
                for key, row in rows.items()
            ],
            "stuck": held,
        },
    )
    if args.write is not None:
        place(args.write, "bench/gil.py", text)


if __name__ == "__main__":
    main()
