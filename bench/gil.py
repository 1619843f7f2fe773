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
from tables import number, origin, place, record, spread, table

import wssend

PAYLOAD = bytes(128)
PACE = 0.001  # seconds of sleep before a paced call
BURST = 200  # calls in a row to one client
QUEUE = 1024  # that is more than four threads' bursts
LONG = 20_000  # ns; a thread that computes was kept from running, if for longer
RALLY = 64  # broadcasts in a row; a channel holds more

SWITCH = 0.005  # seconds, Python's own
MODES = (True, False)

clock = time.perf_counter_ns
Send = Callable[[bytes], object]


@dataclass(frozen=True)
class Scene:
    """What else goes on in the process."""

    title: str
    computing: int = 0  # threads
    sending: int = 0  # threads
    together: bool = False  # the senders' clients are the same
    interval: float = SWITCH  # sys.setswitchinterval


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


class Other(threading.Thread):
    """A thread beside the measured one; what fails in it fails in finish()."""

    def __init__(self, job: Callable[[Other], None]) -> None:
        super().__init__(daemon=True)
        self._job = job
        self._error: Exception | None = None
        self.over = False  # told to it, or by it
        self.turns = 0
        self.times: array[int] = array("q")
        self.start()

    def run(self) -> None:
        try:
            self._job(self)
        except Exception as error:
            self._error = error
        finally:
            self.over = True

    def finish(self) -> None:
        """Wait for its end."""
        self.join()
        if self._error is not None:
            raise self._error


def compute(thread: Other) -> None:
    """Never wait, and note each time of being kept from running."""
    times, turns = thread.times, 0
    last = clock()
    while not thread.over:
        now = clock()
        if now - last > LONG:
            times.append(now - last)
        last = now
        turns += 1
    thread.turns = turns


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
def computing(count: int) -> Iterator[list[Other]]:
    """So many threads that compute; they have ended after the block."""
    threads = [Other(compute) for _ in range(count)]
    try:
        yield threads
    finally:
        for thread in threads:
            thread.over = True
        for thread in threads:
            thread.finish()


def undisturbed(scene: Scene, seconds: float, row: Row) -> float:
    """The speed of those that compute, in turns a nanosecond, without us."""
    with computing(scene.computing) as others:
        start = clock()
        time.sleep(seconds)
        taken = clock() - start
    for other in others:
        row.waits.extend(other.times)
    return sum(other.turns for other in others) / taken


def measure(
    hub: wssend.WSHub, scene: Scene, pace: str, mode: str, seconds: float, row: Row
) -> float:
    """Add a measurement to a row; the speed of those that compute meanwhile."""
    sends = sends_of(hub, mode)

    def job(part: int, samples: array[int]) -> None:
        mine = pick(sends, scene, part)
        PACES[pace](mine, samples, until, lambda: hub.flush(60))

    with computing(scene.computing) as others:
        start = clock()
        until = start + int(seconds * 1e9)
        senders = [
            Other(lambda thread, part=part: job(part, thread.times))  # type: ignore[misc]
            for part in range(1, 1 + scene.sending)
        ]
        job(0, row.samples)
        taken = clock() - start
    for sender in senders:
        sender.finish()
    for other in [*others, *senders]:
        row.waits.extend(other.times)
    return sum(other.turns for other in others) / taken


Rows = dict[tuple[str, ...], Row]


def key_of(scene: Scene, pace: str, mode: str) -> tuple[str, ...]:
    switch = "" if scene.interval == SWITCH else f", {1000 * scene.interval:g} ms"
    return (scene.title + switch, pace, mode)


def scenes(
    rows: Rows, few: int, seconds: float, chosen: Sequence[Scene] = SCENES
) -> None:
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
        for scene in chosen:
            sys.setswitchinterval(scene.interval)
            alone = 0.0
            if scene.computing:
                row = rows.setdefault(key_of(scene, "", "nobody sends"), Row())
                alone = undisturbed(scene, seconds, row)
                row.shares.append(1.0)
            for pace in PACES:
                for mode in ("id()", "True", "False"):
                    row = rows.setdefault(key_of(scene, pace, mode), Row())
                    hub = hubs.get(mode, hubs["True"])
                    speed = measure(hub, scene, pace, mode, seconds, row)
                    if alone:
                        row.shares.append(speed / alone)
    sys.setswitchinterval(SWITCH)


def during(pace: str, sends: Sequence[Send], samples: array[int], other: Other) -> None:
    """Send to one after the other until another thread is done."""
    for _ in range(QUEUE // 4):
        for send in sends:
            if pace == "paced":
                time.sleep(PACE)
            start = clock()
            send(PAYLOAD)
            samples.append(clock() - start)
            if other.over:
                return


def broadcasts(rows: Rows, clients: int, release: bool, seconds: float) -> None:
    """One round, in one mode, of what happens during broadcasts to many."""
    hub = wssend.WSHub(release_gil=release, send_queue=QUEUE, ping_interval=None)
    title = f"broadcasts to {clients:,}"

    def call(thread: Other) -> None:
        for _ in range(RALLY):
            start = clock()
            report = hub.broadcast(PAYLOAD)
            thread.times.append(clock() - start)
            if not report:
                raise RuntimeError(f"a channel was too small: {report}")

    def write(thread: Other) -> None:
        hub.flush(60)

    with hub, connected(hub, clients):
        sends = sends_of(hub, str(release))
        row = rows.setdefault((f"{title}: the calls", "", "nobody sends"), Row())
        caller = Other(call)
        caller.finish()
        row.waits.extend(caller.times)
        for pace in PACES:
            until = clock() + int(seconds * 1e9)
            while True:
                hub.flush(60)
                if clock() > until:
                    break
                for what, job in (("calls", call), ("writing", write)):
                    key = (f"{title}: the {what}", pace, str(release))
                    row = rows.setdefault(key, Row())
                    other = Other(job)
                    during(pace, sends, row.samples, other)
                    other.finish()
                    row.waits.extend(other.times)


def overhead() -> int:
    """Nanoseconds that two looks at the clock take, one after the other."""
    samples = array("q")
    for _ in range(20_000):
        start = clock()
        samples.append(clock() - start)
    return int(statistics.median(samples))


HEAD = [
    "what else goes on",
    "calls",
    "release_gil",
    "mean, us",
    "p50",
    "p99",
    "p99.9",
    "worst, ms",
    "samples",
    "the others' speed",
    "their times: p50, ms",
    "p99",
    "worst",
]
UNITS = (1e3, 1e3, 1e3, 1e3, 1e6)


def cells(key: tuple[str, ...], row: Row, less: int) -> list[str]:
    """A line of the table."""
    got = spread(row.samples, less)
    ours = (got.mean, got.p50, got.p99, got.p999, got.worst)
    theirs = spread(row.waits)
    return [
        *key,
        *(number(value / unit) for value, unit in zip(ours, UNITS, strict=True)),
        f"{got.count:,}" if got.count else "",
        f"{statistics.median(row.shares):.0%}" if row.shares else "",
        *(number(value / 1e6) for value in (theirs.p50, theirs.p99, theirs.worst)),
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
    text = origin("bench-gil", args.rounds) + (
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
        place(args.write, "gil", text)


if __name__ == "__main__":
    main()
