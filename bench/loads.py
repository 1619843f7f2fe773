"""The load client of bench/load/ as a process that is spoken to."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROGRAM = Path(
    os.environ.get("WSSEND_LOAD", ROOT / "build" / "dev" / "bench" / "bench_load")
)


class Load:
    """So many clients in a process of their own, which read whatever comes.

    It is made when all are connected.
    """

    def __init__(
        self,
        port: int,
        clients: int,
        *more: str,
        cores: Sequence[int] = (),
    ) -> None:
        command = [str(PROGRAM), "--port", str(port), "--conns", str(clients), *more]
        if cores:
            command = ["taskset", "-c", ",".join(map(str, cores)), *command]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        answer = self._read()
        if answer != "ready":
            self.close()
            raise RuntimeError(f"the load client did not connect: {answer!r}")

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and return what it answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._read())
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer

    def wait(self, frames: int, seconds: float = 60) -> dict[str, Any]:
        """Wait until so many have come since the last reset; they must be sound."""
        report = self.ask(f"wait {frames} {round(seconds * 1000)}")
        if report["frames"] != frames:
            raise RuntimeError(f"{report['frames']} of {frames} messages came")
        if report["order_errors"] or report["length_errors"]:
            raise RuntimeError(f"messages came wrong: {report}")
        return report

    def close(self) -> None:
        """Leave, and wait for the end of the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=30)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextlib.contextmanager
def loads(
    port: int, clients: int, *, at_most: int = 15000, cores: Sequence[int] = ()
) -> Iterator[list[Load]]:
    """As many as it takes, none with more than `at_most` clients."""
    with contextlib.ExitStack() as stack:
        made = []
        while clients > 0:
            share = min(clients, at_most)
            made.append(stack.enter_context(Load(port, share, cores=cores)))
            clients -= share
        yield made
