"""Servers and load clients as processes that are spoken to by lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

START_LIMIT = 60.0  # seconds until it says that it is ready
ANSWER_LIMIT = 45.0  # seconds for any answer; for an ack servers wait 30

Answer = dict[str, Any]


class Fault(Exception):
    """A process did not do what it was asked for."""


@dataclass(frozen=True)
class Cores:
    """Where the processes run; None: wherever the system puts them."""

    server: int | None
    load: int | None

    @property
    def shared(self) -> bool:
        """Whether the two fight for one core, so that latencies say little."""
        return self.server is not None and self.server == self.load


def find_cores() -> Cores:
    """The first two of those that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[min(1, len(usable) - 1)])


class Program:
    """A process, on one core or on all (None), that answers each line with a line."""

    def __init__(
        self,
        command: Sequence[str],
        core: int | None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = os.path.basename(command[0])
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._unread = b""
        # It is born on its core, so all its threads are.
        usable = os.sched_getaffinity(0)
        os.sched_setaffinity(0, usable if core is None else {core})
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env={**os.environ, **(environment or {})},
            )
        except OSError as error:
            self._stderr.close()
            raise Fault(f"it does not start: {error}") from error
        finally:
            os.sched_setaffinity(0, usable)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def read(self, limit: float) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        end = time.monotonic() + limit
        while b"\n" not in self._unread:
            left = end - time.monotonic()
            if left < 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Fault(f"{self.name}: no answer within {limit:g} s{self._said()}")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise Fault(f"{self.name} has ended{self._said()}")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode().strip()

    def ask(self, line: str, limit: float = ANSWER_LIMIT) -> Answer:
        """Send a line and return the answer, which is JSON."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise Fault(f"{self.name} has ended{self._said()}") from None
        text = self.read(limit)
        try:
            answer: Answer = json.loads(text)
        except ValueError:
            raise Fault(f"{self.name} answers {line!r} with {text!r}") from None
        return answer

    def _said(self) -> str:
        """The last line on its standard error."""
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f": {last.strip()}" if last else ""

    def close(self) -> int:
        """End it, and return its exit status."""
        if not self._stderr.closed:
            try:
                self._process.communicate(b"quit\n", timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
            self._stderr.close()
        return self._process.returncode

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def cpu_ns(pid: int) -> int:
    """What all threads of a process have used, by the kernel's own accounting."""
    return time.clock_gettime_ns((~pid << 3) | 2)


@dataclass(frozen=True)
class Memory:
    """A process's, in bytes, without what the kernel holds for its sockets."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """Read it from /proc."""
    found = {}
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            words = line.split()
            if words[-1] == "kB":
                found[words[0]] = int(words[1]) * 1024
    return Memory(found["Rss:"], found["Pss:"])


def forget_peak(pid: int) -> None:
    """Begin anew with what `peak` tells."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def peak(pid: int) -> int:
    """The largest RSS of a process, in bytes."""
    with open(f"/proc/{pid}/status") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise Fault("the kernel tells no peak of memory")


def settle(pid: int, limit: float = 3.0) -> None:
    """Wait until a process has nothing left to do."""
    end = time.monotonic() + limit
    before = cpu_ns(pid)
    while time.monotonic() < end:
        time.sleep(0.05)
        now = cpu_ns(pid)
        if now - before < 500_000:  # 1 % of a core
            return
        before = now
