"""Examines wssend with the Autobahn test suite: python -m e2e.conformance [CASE...]

Without arguments: all cases. The suite's own pages are left in
build/conformance/reports/index.html.
"""

from __future__ import annotations

import sys

from e2e.conformance.judge import complaints, listed, table
from e2e.conformance.suite import ALL, ROOT, examine

TIMEOUT = 3600.0  # seconds


def main(cases: list[str]) -> int:
    """Run the cases and print what came out."""
    folder = ROOT / "build" / "conformance"
    rows = listed((ROOT / "docs" / "conformance.md").read_text())
    results = examine(cases or ALL, folder, TIMEOUT)
    print(table(results))
    found = complaints(results, rows, complete=not cases)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(results)} cases, {len(found)} complaints; see {folder}/reports")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
