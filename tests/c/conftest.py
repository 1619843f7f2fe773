"""Collects every C test as a pytest item, each run in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


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
        for name in names:
            yield CTest.from_parent(self, name=name, program=program)


class CTest(pytest.Item):
    def __init__(self, *, program: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.program = program

    def runtest(self) -> None:
        # A little sooner than pytest's own limit, which would lose the output.
        limit = self.config.getoption("timeout") or self.config.getini("timeout")
        try:
            done = subprocess.run(
                [self.program, self.name],
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
            return f"{excinfo.value}\nagain: {self.program} {self.name}"
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class CTestFailed(Exception):
    """A C test exited with an error; its text is the program's stderr."""


def ending(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
