"""What is measured: sessions of one server with one load client, and their jobs.

A session finds metrics, by name: nanoseconds of the server's CPU for a message
(_cpu), latencies in nanoseconds, bytes, counts. What a server cannot do is absent.
A message that came wrong, twice, late in order or not at all is a Fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from peers import Peer

from .prepare import command, programs
from .process import (
    START_LIMIT,
    Answer,
    Cores,
    Fault,
    Program,
    cpu_ns,
    forget_peak,
    memory,
    peak,
    settle,
)

Metrics = dict[str, float]

QUEUE = 256  # messages that a client's queue holds
QUEUE_OF_SLOW = 64  # the same, where it is meant to overflow


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything; sizes in bytes, intervals in microseconds."""

    repetitions: int = 3
    clients: int = 1000
    size: int = 128
    paced_rounds: int = 40
    paced_interval: int = 50_000
    ack_seconds: float = 1.5  # of CPU, roughly, for a job that is paced by acks
    ack_rounds: tuple[int, int] = (30, 300)  # at least and at most
    window: int = 4
    calls: int = 40_000
    crowd: int = 5000
    few: int = 10
    few_rounds: int = 1000
    few_interval: int = 1000
    all_rounds: int = 4
    all_interval: int = 400_000
    stalled: int = 10
    slow_size: int = 4096
    slow_rounds: int = 200
    slow_interval: int = 20_000


FULL = Scale()
QUICK = Scale(
    repetitions=1,
    paced_rounds=10,
    ack_seconds=0.3,
    ack_rounds=(10, 100),
    calls=10_000,
    crowd=1000,
    few_rounds=200,
    all_rounds=2,
    all_interval=100_000,
    slow_rounds=50,
)


class Session:
    """A server, a load client that is connected to it, and what they say."""

    def __init__(
        self, server: Program, load: Program, clients: int, stalled: int
    ) -> None:
        self.server = server
        self.load = load
        self.clients = clients
        self.stalled = stalled

    def measure(self, line: str, receivers: int | None = None) -> Metrics | None:
        """Have a job done. What it cost, how late its messages came and how many
        rounds a second there were; None when the server does not know it."""
        self.load.ask("reset")
        before = cpu_ns(self.server.pid)
        answer = self.server.ask(line)
        if answer.get("error", "").startswith("unknown command"):
            return None
        if not {"rounds", "sent", "refused", "wall_ns"} <= answer.keys():
            raise Fault(f"{line}: {answer.get('error', answer)}")
        reading = (receivers or self.clients) - self.stalled
        report = self.receive(answer, reading)
        cpu = cpu_ns(self.server.pid) - before
        self.check(line, answer, report, reading)
        settle(self.server.pid)
        metrics = {name: float(ns) for name, ns in report["latency_ns"].items()}
        metrics["cpu"] = cpu / max(answer["sent"], 1)
        metrics["rate"] = answer["sent"] / max(answer["wall_ns"], 1) * 1e9
        if answer["refused"] is not None:
            metrics["refused"] = answer["refused"]
        return metrics

    def receive(self, answer: Answer, reading: int) -> Answer:
        """Wait until all has arrived that is to come."""
        if self.stalled == 0:
            return self.load.ask(f"wait {answer['sent']} 30000")
        # Who was refused what is not told: what may still come, comes soon.
        limit = 30000 if answer["refused"] == 0 else 1500
        return self.load.ask(f"wait {answer['rounds'] * reading} {limit}")

    def check(self, line: str, answer: Answer, report: Answer, reading: int) -> None:
        """Every message has come once, whole, in order, or was refused."""
        for what in ("order_errors", "length_errors", "closed"):
            if report[what]:
                raise Fault(f"{line}: {report[what]} {what.replace('_', ' ')}")
        asked = answer["rounds"] * reading
        lost = asked - report["frames"]
        sent, refused = answer["sent"], answer["refused"]
        if refused is None:  # the library does not tell
            sent, refused = sent - lost, lost
        if self.stalled == 0:
            if sent + refused != asked or lost != refused or lost < 0:
                raise Fault(
                    f"{line}: of {asked} messages {sent} were sent and "
                    f"{refused} refused, and {report['frames']} came"
                )
        elif not 0 <= lost <= refused:
            raise Fault(f"{line}: {lost} messages are missing")

    def acks(self, on: bool) -> None:
        """Have the load client say what has arrived, or not."""
        self.load.ask(f"acks {int(on)}")

    def optional(self, line: str, name: str) -> float | None:
        """A figure that a server may be able to tell."""
        value = self.server.ask(line).get(name)
        return None if value is None else float(value)


def start_server(peer: Peer, cores: Cores | None, queue: int) -> tuple[Program, int]:
    """A server that listens, and where; without cores the system places it."""
    core = cores.server if cores else None
    server = Program(command(peer, queue), core, peer.environment)
    try:
        word, port = server.read(START_LIMIT).split()
        if word != "ready":
            raise ValueError(word)
        return server, int(port)
    except ValueError:
        server.close()
        raise Fault(f"{peer.name} does not begin with `ready PORT`") from None
    except Fault:
        server.close()
        raise


def connect(
    server: Program, port: int, cores: Cores | None, clients: int, stalled: int
) -> Program:
    """A load client whose connections are open on both sides."""
    words = ["--port", str(port), "--conns", str(clients), "--stall", str(stalled)]
    program = str(programs() / "bench_load")
    load = Program([program, *words], cores.load if cores else None)
    try:
        if load.read(START_LIMIT) != "ready":
            raise Fault("the load client does not begin with `ready`")
        settle(server.pid)
        open_now = server.ask("count").get("clients")
        if open_now != clients:
            raise Fault(f"{open_now} clients of {clients} are open")
    except Fault:
        load.close()
        raise
    return load


@contextmanager
def session(
    peer: Peer,
    cores: Cores | None,
    clients: int,
    stalled: int = 0,
    queue: int = QUEUE,
) -> Iterator[Session]:
    """Both processes; they are gone in the end."""
    server, port = start_server(peer, cores, queue)
    with server, connect(server, port, cores, clients, stalled) as load:
        yield Session(server, load, clients, stalled)


def add(metrics: Metrics, job: str, found: Metrics | None) -> None:
    """Name a job's metrics after it."""
    metrics.update({f"{job}_{name}": value for name, value in (found or {}).items()})


def messages(peer: Peer, cores: Cores, scale: Scale, found: Metrics) -> None:
    """Broadcasts at a pace and as fast as they arrive, and sends one by one."""
    with session(peer, cores, scale.clients) as it:
        pace = f"broadcast {scale.paced_rounds} {scale.paced_interval} {scale.size}"
        paced = it.measure(pace)
        add(found, "paced", paced)
        round_ns = (paced or {"cpu": 1e4})["cpu"] * scale.clients
        least, most = scale.ack_rounds
        rounds = min(max(int(scale.ack_seconds * 1e9 / round_ns), least), most)
        it.acks(True)
        closed = it.measure(f"closed {rounds} {scale.window} {scale.size}")
        add(found, "closed", closed)
        add(found, "unicast", it.measure(f"unicast {rounds} 1 {scale.size}"))
        it.acks(False)
        cost = it.optional(f"sendcost {scale.calls} {scale.size}", "ns")
        if cost is not None:
            found["send_ns"] = cost


def crowd(peer: Peer, cores: Cores, scale: Scale, found: Metrics) -> None:
    """Many connections: what an idle one holds, and what it costs the others."""
    server, port = start_server(peer, cores, QUEUE)
    with server:
        settle(server.pid)
        before, heap = memory(server.pid), server.ask("heap").get("bytes")
        with connect(server, port, cores, scale.crowd, 0) as load:
            after = memory(server.pid)
            found["idle_rss"] = (after.rss - before.rss) / scale.crowd
            found["idle_pss"] = (after.pss - before.pss) / scale.crowd
            if heap is not None:
                grown = server.ask("heap")["bytes"] - heap
                found["idle_heap"] = grown / scale.crowd
            it = Session(server, load, scale.crowd, 0)
            few = f"{scale.few_rounds} {scale.few_interval} {scale.size}"
            add(found, "few", it.measure(f"some {scale.few} {few}", scale.few))
            every = f"{scale.all_rounds} {scale.all_interval} {scale.size}"
            add(found, "all", it.measure(f"some {scale.crowd} {every}"))


def alone(peer: Peer, cores: Cores, scale: Scale, found: Metrics) -> None:
    """The same few, with nobody else there."""
    with session(peer, cores, scale.few) as it:
        few = f"{scale.few_rounds} {scale.few_interval} {scale.size}"
        add(found, "alone", it.measure(f"some {scale.few} {few}"))


def slow(peer: Peer, cores: Cores, scale: Scale, found: Metrics) -> None:
    """Some do not read: what the others feel, and what it takes to bear it."""
    with session(peer, cores, scale.clients, scale.stalled, QUEUE_OF_SLOW) as it:
        before = memory(it.server.pid).rss
        forget_peak(it.server.pid)
        pace = f"{scale.slow_rounds} {scale.slow_interval} {scale.slow_size}"
        add(found, "slow", it.measure(f"broadcast {pace}"))
        found["slow_grown"] = float(peak(it.server.pid) - before)


SESSIONS: dict[str, Callable[[Peer, Cores, Scale, Metrics], None]] = {
    "messages": messages,
    "crowd": crowd,
    "alone": alone,
    "slow": slow,
}
