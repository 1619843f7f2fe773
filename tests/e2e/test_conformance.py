"""The Autobahn test suite, but for what takes minutes: `make conformance` runs all."""

from __future__ import annotations

from pathlib import Path

import pytest
from e2e.conformance.judge import complaints, listed, table
from e2e.conformance.suite import QUICK, ROOT, WSTEST, examine
from e2e.conftest import unavailable

TIMEOUT = 240.0  # seconds


@pytest.mark.timeout(TIMEOUT + 20)
def test_the_autobahn_suite_finds_what_the_documentation_says(tmp_path: Path) -> None:
    if not WSTEST.exists():
        unavailable("the Autobahn test suite is not installed")
    results = examine(QUICK, tmp_path, TIMEOUT)
    rows = listed((ROOT / "docs" / "conformance.md").read_text())
    assert complaints(results, rows, complete=False) == [], table(results)
    groups = {result.case.partition(".")[0] for result in results}
    assert groups == {pattern.partition(".")[0] for pattern in QUICK}
