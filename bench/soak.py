"""A steady load for a long time, with clients that come and go: is memory flat?

    make bench-soak [ARGS="--minutes 30 --write docs/performance.md"]

A server in a process of its own broadcasts to clients that stay, of which some never
read, and whose every message is counted and checked; meanwhile others come and go in
every way there is (bench/guests.py), are subscribed, published to and answered. Every
few seconds the server's memory, descriptors and threads are noted, and that every
message it was given is accounted for: accepted = written + queued + dropped + lost.

Memory is flat when a straight line through the last two thirds climbs by less than
1 % or 256 kB in that time, but for twice its standard error: RSS, and what C code has
allocated. PSS is shown and not judged, since it rises when some other process ends
that shared Python's libraries. The exit status tells whether all was well.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import struct
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from guests import STALLING, guests
from loads import load
from suite.process import Program, cpu_ns, find_cores, memory
from tables import Line, fit, number, origin, place, record, table
from tls_storm import make_pair

import wssend

TOPICS = 50
CROWD = 32 * bytes(4096)  # more than a channel and a socket hold of a stalled guest's
SHORT = 600  # seconds; less does not tell whether memory is flat

Sample = dict[str, float]


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in [
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        ]
    ]


def heap() -> int:
    """Bytes that C code has allocated and not given back."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


def take(hub: wssend.WSHub) -> None:
    """The application: runs in a thread of its own, as long as the hub."""
    for event in hub.events():
        with suppress(wssend.ChannelFull, wssend.ChannelClosed):
            match event:
                case wssend.Connected(client) if client.request.path == STALLING:
                    for _ in range(32):
                        client.send(CROWD)
                case wssend.Connected(client) if client.request.path != "/":
                    client.state["topic"] = f"topic {hash(client.id) % TOPICS}"
                    client.subscribe(client.state["topic"])
                case wssend.Message(client, data):
                    client.send(data)


def totals(hub: wssend.WSHub) -> Sample:
    return {**asdict(hub.stats()), "heap": heap()}


def serve(control: Connection, rate: float, size: int, pair: Path, core: int) -> None:
    """The server; "stats" is answered, "quiet" ends the broadcasts, "stop" all."""
    os.sched_setaffinity(0, {core})
    with wssend.WSHub(compression="deflate", ping_interval=1.0) as hub:
        application = threading.Thread(target=take, args=(hub,))
        application.start()
        ports = [
            hub.listen("127.0.0.1", 0, tls_cert=cert).port for cert in (None, pair)
        ]
        control.send(ports)
        filler = bytes(size - 16)
        rounds, due, quiet = 0, time.monotonic(), True
        while True:
            wait = 1.0 if quiet else max(due - time.monotonic(), 0)
            while control.poll(wait):
                match control.recv():
                    case "go":
                        quiet, due = False, time.monotonic()
                    case "quiet":
                        quiet = True
                        control.send(rounds)
                    case "stats":
                        control.send(totals(hub))
                    case "stop":
                        hub.close(timeout=2)
                        application.join()
                        control.send(totals(hub))
                        return
                wait = 0.0
            if not quiet and time.monotonic() >= due:
                due += 1 / rate
                rounds += 1
                hub.broadcast(struct.pack("<QQ", rounds, time.monotonic_ns()) + filler)
                hub.publish(f"topic {rounds % TOPICS}", "some news " * 50)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def law_holds(sample: Sample) -> bool:
    """Whether every message is accounted for."""
    ended = sum(sample[name] for name in ("written", "queued", "dropped", "lost"))
    return sample["accepted"] == ended


class Server:
    """The server's process, and what is noted of it."""

    def __init__(self, args: argparse.Namespace, pair: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._control, theirs = spawn.Pipe()
        share = (theirs, args.rate, args.size, pair, find_cores().server)
        self._process = spawn.Process(target=serve, args=share, daemon=True)
        self._process.start()
        theirs.close()
        self.ports: tuple[int, int] = tuple(self._control.recv())
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._begun = time.monotonic()

    def ask(self, what: str) -> Sample:
        self._control.send(what)
        answer: Sample = self._control.recv()
        return answer

    def go(self) -> None:
        self._control.send("go")

    def quiet(self) -> int:
        """Ends the broadcasts, and tells how many there were."""
        self._control.send("quiet")
        return int(self._control.recv())

    def sample(self) -> Sample:
        """Everything, now."""
        found = self.ask("stats")
        used = memory(self.pid)
        return {
            **found,
            "seconds": time.monotonic() - self._begun,
            "rss": used.rss,
            "pss": used.pss,
            "descriptors": descriptors(self.pid),
            "threads": threads(self.pid),
            "cpu": cpu_ns(self.pid) / 1e9,
        }

    def empty(self, limit: float = 30.0) -> Sample:
        """Wait until all clients have gone."""
        end = time.monotonic() + limit
        while True:
            found = self.sample()
            if not found["clients"] + found["closing"] or time.monotonic() > end:
                return found
            time.sleep(0.05)

    def stop(self) -> Sample:
        found = self.ask("stop")
        self._process.join()
        return found


def shown(sample: Sample) -> list[str]:
    """A line of the table."""
    return [
        number(sample["seconds"] / 60),
        *(number(sample[name] / 1e6) for name in ("rss", "pss", "heap")),
        *(
            f"{sample[name]:,.0f}"
            for name in (
                "descriptors",
                "threads",
                "clients",
                "joined",
                "accepted",
                "refused_full",
                "lost",
            )
        ),
        "yes" if law_holds(sample) else "NO",
    ]


HEAD = [
    "minutes",
    "RSS, MB",
    "PSS",
    "C heap",
    "descriptors",
    "threads",
    "clients",
    "joined",
    "accepted",
    "refused",
    "lost",
    "accounted for",
]


def line_of(samples: list[Sample], name: str) -> Line | None:
    """Through the last two thirds, by seconds; None of too little."""
    last = samples[len(samples) // 3 :]
    if len(last) < 3:
        return None
    return fit([each["seconds"] for each in last], [each[name] for each in last])


def is_flat(samples: list[Sample], name: str) -> bool:
    line = line_of(samples, name)
    if line is None:
        return False
    last = samples[len(samples) // 3 :]
    seconds = last[-1]["seconds"] - last[0]["seconds"]
    allowed = max(0.01 * last[0][name], 256 << 10)
    return (line.slope - 2 * line.error) * seconds < allowed


def climbs(samples: list[Sample], name: str) -> str:
    """A sentence on whether it does."""
    line = line_of(samples, name)
    if line is None:
        return f"{name}: too few samples"
    hour = f"{line.slope * 3600 / 1e3:+,.0f} kB an hour"
    error = f"(standard error {line.error * 3600 / 1e3:,.0f})"
    verdict = "flat" if is_flat(samples, name) else "NOT FLAT"
    if samples[-1]["seconds"] < SHORT:
        verdict = "too short to tell"
    return f"{name.upper()}: {hour} {error}: {verdict}"


def soak(args: argparse.Namespace) -> tuple[list[Sample], int, list[str]]:
    """All samples, how many guests there were, and what was wrong in the end."""
    spawn = multiprocessing.get_context("spawn")
    core = find_cores().load
    with tempfile.TemporaryDirectory() as folder:
        server = Server(args, make_pair(folder))
        before = server.sample()
        ours, theirs = spawn.Pipe()
        share = (theirs, server.ports, args.guests, core)
        crowd = spawn.Process(target=guests, args=share, daemon=True)
        crowd.start()
        theirs.close()
        ours.recv()
        with load(server.ports[0], args.clients, args.stalled) as staying:
            server.go()
            samples = watch(server, args)
            ours.send("over")
            visits, wrong = ours.recv()
            crowd.join()
            wrong += arrived(staying, server.quiet() * (args.clients - args.stalled))
        after = server.empty()
        samples.append(after)
        wrong += compared(before, after, samples)
        last = server.stop()
        if not law_holds(last):
            wrong.append(f"not all is accounted for in the end: {last}")
    return samples, visits, wrong


def watch(server: Server, args: argparse.Namespace) -> list[Sample]:
    """Sample for all the time."""
    samples: list[Sample] = []
    end = time.monotonic() + 60 * args.minutes
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(args.every, left))
        samples.append(server.sample())
        print(" | ".join(shown(samples[-1])), file=sys.stderr, flush=True)
    return samples


def arrived(staying: Program, frames: int) -> list[str]:
    """What is wrong with the messages of those that stay and read."""
    report = staying.ask(f"wait {frames} 30000")
    report.pop("latency_ns")
    found = [
        f"{report[what]} {what}" for what in ("order_errors", "length_errors", "closed")
    ]
    if report["frames"] != frames:
        found.append(f"{report['frames']} frames of {frames}")
    return [what for what in found if not what.startswith("0 ")]


def compared(before: Sample, after: Sample, samples: list[Sample]) -> list[str]:
    """What is wrong once all have gone."""
    wrong = [
        f"after {each['seconds']:.0f} s not all is accounted for: {each}"
        for each in samples
        if not law_holds(each)
    ]
    for what in ("clients", "closing", "queued", "queued_bytes", "topics"):
        if after[what]:
            wrong.append(f"{after[what]} {what} are left")
    for what in ("descriptors", "threads"):
        if after[what] != before[what]:
            wrong.append(f"{before[what]} {what} became {after[what]}")
    return wrong


def thinned(samples: list[Sample], lines: int = 16) -> list[Sample]:
    """As many as a table can bear, the last among them."""
    step = -(-len(samples) // lines)
    return samples[:-1][::step] + samples[-1:]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--minutes", type=float, default=30)
    made.add_argument("--every", type=float, default=10, help="seconds, a sample")
    made.add_argument("--clients", type=int, default=200, help="that stay")
    made.add_argument("--stalled", type=int, default=5, help="of these never read")
    made.add_argument("--guests", type=int, default=24, help="at any time")
    made.add_argument("--rate", type=float, default=20, help="broadcasts a second")
    made.add_argument("--size", type=int, default=1024, help="bytes of each")
    made.add_argument("--write", type=Path, help="put the table into this page")
    return made


def main() -> None:
    args = parser().parse_args()
    samples, visits, wrong = soak(args)
    loaded = samples[:-1]  # the last is of the empty server
    verdicts = [climbs(loaded, name) for name in ("rss", "heap")]
    told = [f"{visits:,} guests came and went", *verdicts]
    told += wrong or ["all else as it must be"]
    text = origin("bench-soak")
    text += f"\n\n{table(HEAD, [shown(each) for each in thinned(samples)])}\n"
    text += "".join(f"- {each}\n" for each in told)
    print(text, end="")
    record("soak", {"samples": samples, "verdicts": verdicts, "wrong": wrong})
    if args.write is not None:
        place(args.write, "soak", text)
    sys.exit(bool(wrong) or any("NOT" in each for each in verdicts))


if __name__ == "__main__":
    main()
