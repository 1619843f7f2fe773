"""Runs the Autobahn test suite against the echo server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from e2e.conformance.judge import Result

__all__ = ["ALL", "QUICK", "WSTEST", "examine"]

ROOT = Path(__file__).parents[3]
WSTEST = ROOT / ".deps" / "autobahn" / "wstest"  # by scripts/setup-autobahn
AGENT = "wssend"
ALL = ("*",)
# All about framing, text and closing; of the big and of the compressed messages
# one of each kind.
QUICK = (
    *("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *("9.1.3", "9.2.3", "9.3.3", "9.4.3", "9.5.1", "9.6.1", "9.7.1", "9.8.1"),
    *("12.1.1", "12.2.3", "12.5.2", "13.1.1", "13.3.1", "13.7.1"),
)


@contextmanager
def echo_server(log: IO[bytes]) -> Iterator[str]:
    """Serve echoes in a process of its own; its address."""
    command = [sys.executable, "-m", "e2e.conformance.echo_server"]
    with subprocess.Popen(
        command, cwd=ROOT / "tests", stdout=subprocess.PIPE, stderr=log
    ) as server:
        assert server.stdout is not None
        try:
            url = server.stdout.readline().decode().strip()
            if not url:
                raise RuntimeError(f"the echo server did not start: see {log.name}")
            yield url
            if server.poll() is not None:
                raise RuntimeError(f"the echo server has ended: see {log.name}")
        finally:
            server.terminate()


def specification(url: str, cases: Sequence[str], reports: Path) -> str:
    """Tell the suite what to do."""
    return json.dumps(
        {
            "outdir": str(reports),
            "servers": [{"agent": AGENT, "url": url}],
            "cases": list(cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
            "options": {"failByDrop": False},
        }
    )


def examine(cases: Sequence[str], folder: Path, timeout: float) -> list[Result]:
    """Run these cases, and return what the suite found.

    Args:
        cases: Their names, or patterns such as ``"1.*"``.
        folder: Where the suite's pages and the logs are left.
        timeout: Seconds for all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reports, spec = folder / "reports", folder / "spec.json"
    with (folder / "log.txt").open("wb") as log, echo_server(log) as url:
        spec.write_text(specification(url, cases, reports))
        subprocess.run(
            [WSTEST, "--mode", "fuzzingclient", "--spec", spec],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=timeout,
            check=True,
        )
    index = json.loads((reports / "index.json").read_text())
    return [
        Result(case, found["behavior"], found["behaviorClose"], found["duration"])
        for case, found in index[AGENT].items()
    ]
