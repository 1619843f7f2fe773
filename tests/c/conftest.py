"""Collects every C test as a pytest item, each run in a process of its own.

A test over real connections (wire.h) comes a second time, as ``NAME[tls]``, with
TLS on all of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TURNED_AWAY = "before TLS nobody is told why: test_tls.c"

# Where TLS makes what is tested another thing, or takes it out of the test's hands.
WITHOUT_TLS = {
    "a_request_that_takes_too_long_is_408": "silence is cut, not answered: test_tls.c",
    "undecided_it_is_503_in_the_end": "its time may be up within that of TLS",
    "without_descriptors_the_waiting_come_in_later": "a handshake takes two",
    "an_idle_client_costs_the_same_with_compression_and_without": "has no TLS in it",
    "an_address_has_room_again_when_one_of_its_sockets_ends": TURNED_AWAY,
    "silent_sockets_are_counted_against_their_address": TURNED_AWAY,
    "who_is_refused_later_is_counted_until_the_end": TURNED_AWAY,
    "more_than_max_connections_are_turned_away": TURNED_AWAY,
}


def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    if file_path.suffix == ".c" and file_path.name.startswith("test_"):
        return CFile.from_parent(parent, path=file_path)
    return None


class CFile(pytest.File):
    def collect(self) -> Iterator[CTest]:
        folder = os.environ.get("WSSEND_C_TESTS", "build/dev/tests")
        program = self.config.rootpath / folder / self.path.stem
        if not program.exists():
            raise self.CollectError(f"{program} is not built: make build")
        names = subprocess.check_output([program, "--list"], text=True).split()
        wired = '#include "wire.h"' in self.path.read_text()
        for name in names:
            yield CTest.from_parent(self, name=name, program=program)
            if wired and self.path.stem != "test_tls" and name not in WITHOUT_TLS:
                yield CTest.from_parent(
                    self, name=f"{name}[tls]", program=program, wire="tls1.3"
                )


class CTest(pytest.Item):
    def __init__(self, *, program: Path, wire: str = "plain", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.test = self.name.partition("[")[0]
        self.wire = wire

    def runtest(self) -> None:
        # A little sooner than pytest's own limit, which would lose the output.
        limit = self.config.getoption("timeout") or self.config.getini("timeout")
        try:
            done = subprocess.run(
                [self.program, self.test],
                env={**os.environ, "WSSEND_WIRE": self.wire},
                capture_output=True,
                errors="backslashreplace",
                timeout=max(float(limit) - 5, 1),
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stderr or b"").decode(errors="backslashreplace")
            raise CTestFailed(f"{said}still running after {late.timeout} s") from None
        if done.returncode != 0:
            raise CTestFailed(done.stderr + ending(done.returncode))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str:
        if isinstance(excinfo.value, CTestFailed):
            command = f"WSSEND_WIRE={self.wire} {self.program} {self.test}"
            return f"{excinfo.value}\nagain: {command}"
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class CTestFailed(Exception):
    """A C test exited with an error; its text is the program's stderr."""


def ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
