"""A server under attack, a bystander who must not notice, and the figures of both.

Times are only reported: the machine may be busy. What is asserted holds on any
machine: nothing is lost, descriptors return, memory is bounded, the log is clean.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit import make_pair, there, until
from wsclient import Client, split_url

PROGRAMS = Path(__file__).parent / "programs"
RECORD = Path(__file__).parents[2] / "build" / "hostile.json"

FULL = bool(os.environ.get("WSSEND_FULL"))
SANITIZED = "san.so" in os.environ.get("LD_PRELOAD", "")

BASELINE = 100 if FULL else 20  # messages of the bystander before the attack
LOG_LINES = 30  # that a server may write, whatever happens
PATIENCE = 40.0  # seconds, for what must happen in the end

kB = 1024
MB = 1024 * kB


def scaled(full: int, reduced: int) -> int:
    """How often to do something: at full size, in the tests of every day, and
    where a sanitizer slows everything down."""
    if FULL:
        return full
    return max(reduced // 10, 1) if SANITIZED else reduced


class Program:
    """A Python program that answers each line by a line."""

    def __init__(self, name: str, *args: str, command: tuple[str, ...] = ()) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (see kill)
        self._process = subprocess.Popen(
            [
                *command,
                *(sys.executable, "-X", "faulthandler", "-W", "error"),
                *(str(PROGRAMS / name), *args),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid

    def read(self) -> str:
        """The next line of its output; its end is an error."""
        line = there(self._process.stdout).readline()
        assert line, self.stderr().decode(errors="backslashreplace")
        return line.rstrip("\n")

    def write(self, line: str) -> None:
        """Send it a line."""
        stdin = there(self._process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def ask(self, line: str) -> Any:
        """Send a line, and read the answer."""
        self.write(line)
        return json.loads(self.read())

    def stderr(self) -> bytes:
        """What it has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its status."""
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End it, in whatever state it is."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


@dataclass
class Figures:
    """What the kernel knows about the server at one moment."""

    rss: int  # bytes
    size: int  # bytes of address space
    descriptors: int
    cpu: float  # seconds, since it started
    delayed: float  # seconds that its threads were ready to run and had no CPU


@dataclass
class Row:
    """An attack and what it cost."""

    name: str
    attackers: int = 0
    outcome: str = ""
    before: Figures | None = None
    during: Figures | None = None
    after: Figures | None = None
    peak: int = 0  # bytes of RSS
    calm: dict[str, float] = field(default_factory=dict)  # milliseconds
    harassed: dict[str, float] = field(default_factory=dict)
    calm_tls: dict[str, float] = field(default_factory=dict)  # of the one with TLS
    harassed_tls: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)


class Siege:
    """A server, its bystander, and the row that is being filled in."""

    def __init__(self, name: str, server: Program, urls: list[str]) -> None:
        self.row = Row(name)
        self.server = server
        self.url = urls[0]
        self.url_tls = urls[-1]  # the same without TLS
        self.address, self.address_tls = (split_url(u)[0] for u in (urls[0], urls[-1]))
        self.witnesses: list[Program] = []

    @property
    def honest(self) -> int:
        """How many clients there are that do no harm."""
        return len(self.witnesses)

    def call(self, url: str, client_id: str) -> Program:
        """Have an honest client come."""
        witness = Program("bystander.py", url, client_id)
        self.witnesses.append(witness)
        assert witness.read() == "ready"
        return witness

    def mark(self, least: int) -> list[dict[str, float]]:
        """What each honest client has waited for since the last mark."""
        return [witness.ask(f"mark {least}") for witness in self.witnesses]

    def dismiss(self) -> list[dict[str, Any]]:
        """Have each honest client leave; what it has got in all."""
        totals = [witness.ask("end") for witness in self.witnesses]
        for witness, total in zip(self.witnesses, totals, strict=True):
            assert total["received"] == total["sent"]
            witness.wait()
        return totals

    def do(self, command: str, **arguments: Any) -> Any:
        """Have the server do something, and wait for the answer."""
        return self.server.ask(json.dumps([command, arguments]))

    def begin(self, command: str, **arguments: Any) -> None:
        """Have the server begin something; :meth:`finish` waits for the answer."""
        self.server.write(json.dumps([command, arguments]))

    def finish(self) -> Any:
        """Wait for what was begun."""
        return json.loads(self.server.read())

    def figures(self) -> Figures:
        """Look at the server as it is now."""
        proc = Path(f"/proc/{self.server.pid}")
        status = self._status()
        times = (proc / "stat").read_text().rpartition(")")[2].split()
        ticks = int(times[11]) + int(times[12])
        threads = list(proc.glob("task/*/schedstat"))
        return Figures(
            rss=status["VmRSS"],
            size=status["VmSize"],
            descriptors=len(os.listdir(proc / "fd")),
            cpu=ticks / os.sysconf("SC_CLK_TCK"),
            delayed=sum(int(file.read_text().split()[1]) for file in threads) / 1e9,
        )

    def _status(self) -> dict[str, int]:
        lines = Path(f"/proc/{self.server.pid}/status").read_text().splitlines()
        return {
            name: int(value.split()[0]) * kB
            for name, _, value in (line.partition(":") for line in lines)
            if name in ("VmRSS", "VmSize", "VmHWM")
        }

    def peak(self) -> int:
        """The most RSS that it has had since the attack began."""
        return self._status()["VmHWM"]

    def forget_peak(self) -> None:
        """Begin to look for the peak."""
        Path(f"/proc/{self.server.pid}/clear_refs").write_text("5")

    def height(self) -> Figures:
        """Note how it stands at the height of the attack."""
        self.row.during = self.figures()
        return self.row.during

    def wait_for(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the hub's statistics are as they must become."""
        found: dict[str, Any] = {}

        def look() -> bool:
            found.update(self.do("stats"))
            return bool(condition(found))

        until(look, PATIENCE)
        return found

    def wait_count(self, name: str, least: int) -> None:
        """Wait until one of the hub's counts has come so far."""
        self.wait_for(lambda now: now[name] >= least)

    def wait_ended(self, client_id: str) -> tuple[int, str, bool]:
        """Wait until a client has ended: its code, its reason, and was it clean."""
        code, reason, clean = until(lambda: self.do("end_of", id=client_id), PATIENCE)
        return code, reason, clean

    def bound(self, figures: Figures, attackers: int, each: int, beside: int) -> None:
        """Memory is at most what was there, some for each attacker, and a rest."""
        before = there(self.row.before).rss
        grown = max(figures.rss, self.peak()) - before
        self.row.notes["bytes an attacker"] = max(grown, 0) // attackers
        if not SANITIZED:  # they keep what is freed, and more
            assert grown <= attackers * each + beside, (grown, attackers)


def check_law(stats: dict[str, Any]) -> None:
    """Every message is accounted for."""
    gone = stats["written"] + stats["dropped"] + stats["lost"]
    assert stats["accepted"] == gone + stats["queued"], stats


def check_log(log: bytes) -> None:
    """Nothing that an outsider sent is in it as it was, and it is short."""
    lines = log.splitlines()
    assert len(lines) <= LOG_LINES, log
    for line in lines:
        assert len(line) < 500, line
        assert all(32 <= byte < 127 for byte in line), line


@contextmanager
def more_descriptors() -> Iterator[None]:
    """As many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allowed(sockets: int) -> int:
    """So many, or what the limit on descriptors leaves."""
    return min(sockets, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)


@contextmanager
def siege(
    name: str, bystander: bool = True, tls: bool = False, **options: Any
) -> Iterator[Siege]:
    """Serve, and attack in the body; afterwards everything must be as before.

    Args:
        name: The row's, unique.
        bystander: Whether an honest client is there all the time; else one
            comes afterwards and must be served.
        tls: Whether there is a listener with TLS, and a bystander there, too.
        options: Of the hub.
    """
    with ExitStack() as stack:
        stack.enter_context(more_descriptors())
        if tls:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options["tls"] = str(make_pair(folder, "server").both)
        server = Program("server.py", json.dumps(options))
        stack.callback(server.kill)
        held = Siege(name, server, [server.read() for _ in range(2 if tls else 1)])
        if bystander:
            stack.callback(held.call(held.url, "bystander").kill)
        if bystander and tls:
            stack.callback(held.call(held.url_tls, "bystander-tls").kill)
        row = held.row
        row.calm, row.calm_tls = (*held.mark(BASELINE), {}, {})[:2]
        held.forget_peak()
        row.before = before = held.figures()
        began = time.monotonic()
        yield held
        row.seconds = time.monotonic() - began
        row.harassed, row.harassed_tls = (*held.mark(1), {}, {})[:2]
        until(lambda: held.figures().descriptors == before.descriptors, PATIENCE)
        row.after = held.figures()
        row.peak = held.peak()
        if bystander:
            row.notes["bystander"] = held.dismiss()[0]
        else:
            with Client(held.url, "/?id=later") as later:
                later.send("b:well?")
                assert later.recv() == "b:well?"
        held.wait_for(lambda now: now["clients"] + now["closing"] == 0)
        check_law(held.do("end"))
        assert server.wait() == 0, server.stderr()
        check_log(server.stderr())
        record(held.row)


def record(row: Row) -> None:
    """Put the row among the others, in place of an older one of its name."""
    RECORD.parent.mkdir(exist_ok=True)
    with RECORD.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # others may run beside this test
        file.seek(0)
        rows = json.loads(file.read() or "{}")
        rows[row.name] = asdict(row)
        file.truncate(0)
        file.write(json.dumps(rows, indent=1))
