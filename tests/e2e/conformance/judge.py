"""Judges what the Autobahn test suite found.

All must be OK, but for what docs/conformance.md lists and explains. A case that
is listed there and turns out otherwise, if only better, is as wrong as one that is
not listed, so that the list stays true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

__all__ = ["Result", "complaints", "listed", "table"]

# | case or pattern | what it may be | why |
ROW = re.compile(r"^\| ([\d.*]+) +\| ([A-Zor -]+?) +\| (\S.*\S) +\|$", re.MULTILINE)
TOLERABLE = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}
GOOD_CLOSES = {"OK", "INFORMATIONAL"}

Rows: TypeAlias = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What the suite found in one case.

    Attributes:
        case: Its name, such as ``"1.1.1"``.
        behavior: OK, NON-STRICT, INFORMATIONAL, UNIMPLEMENTED, FAILED, ...
        close: The same about how the connection ended.
        duration: Milliseconds.
    """

    case: str
    behavior: str
    close: str
    duration: float


def listed(page: str) -> dict[str, frozenset[str]]:
    """Read the rows of docs/conformance.md: which cases, and what they may be."""
    rows = {
        case: frozenset(behaviors.split(" or "))
        for case, behaviors, _why in ROW.findall(page)
    }
    for case, behaviors in rows.items():
        if not behaviors <= TOLERABLE:
            raise ValueError(f"{case} is listed as {' or '.join(sorted(behaviors))}")
    return rows


def allowed(case: str, rows: Rows) -> frozenset[str]:
    """What a case may be."""
    fit = (what for row, what in rows.items() if fnmatchcase(case, row))
    return next(fit, frozenset({"OK"}))


def complaints(results: Iterable[Result], rows: Rows, complete: bool) -> list[str]:
    """All that is not as it must be, a line each.

    Args:
        results: What was found.
        rows: What is listed.
        complete: Whether all cases were run.
    """
    results = list(results)
    found = []
    for result in results:
        may_be = allowed(result.case, rows)
        if result.behavior not in may_be:
            must = " or ".join(sorted(may_be))
            found.append(f"{result.case}: {result.behavior}, and must be {must}")
        if result.close not in GOOD_CLOSES:
            found.append(f"{result.case}: its close is {result.close}")
    for row in rows if complete else ():
        if not any(fnmatchcase(result.case, row) for result in results):
            found.append(f"{row}: is listed, and there is no such case")
    if not results:
        found.append("no case was run")
    return found


def table(results: Iterable[Result]) -> str:
    """Count the results by groups, in Markdown."""
    groups: dict[int, list[Result]] = {}
    for result in results:
        groups.setdefault(int(result.case.partition(".")[0]), []).append(result)
    columns = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")
    lines = ["| group | cases | " + " | ".join(columns) + " | other | seconds |"]
    lines.append("|---" * (len(columns) + 4) + "|")
    for group, members in sorted(groups.items()):
        counts = Counter(member.behavior for member in members)
        cells = [str(group), str(len(members)), *(str(counts[c]) for c in columns)]
        cells.append(str(len(members) - sum(counts[c] for c in columns)))
        cells.append(f"{sum(member.duration for member in members) / 1000:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
