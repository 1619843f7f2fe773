"""The judge of the conformance suite lets nothing through."""

from __future__ import annotations

import pytest
from e2e.conformance.judge import Result, complaints, listed, table

PAGE = """
| case | result | why |
|---|---|---|
| 3.2 | NON-STRICT | so early |
| 3.3 | OK or NON-STRICT | a race |
| 7.13.* | INFORMATIONAL | free |
"""


def result(case: str, behavior: str = "OK", close: str = "OK") -> Result:
    return Result(case, behavior, close, 1.0)


GOOD = [
    result("1.1.1"),
    result("3.2", "NON-STRICT"),
    result("3.3"),
    result("7.13.1", "INFORMATIONAL", "INFORMATIONAL"),
]


def test_what_is_ok_or_listed_is_let_through() -> None:
    assert complaints(GOOD, listed(PAGE), complete=True) == []
    other = [result("3.3", "NON-STRICT"), result("3.2", "NON-STRICT")]
    assert complaints(other, listed(PAGE), complete=False) == []


@pytest.mark.parametrize(
    "found",
    [
        result("1.1.2", "FAILED"),
        result("1.1.2", "NON-STRICT"),
        result("1.1.2", "UNIMPLEMENTED"),
        result("1.1.2", close="FAILED"),
        result("1.1.2", close="UNCLEAN"),
        result("3.20", "NON-STRICT"),
        result("3.2"),  # better than it is said to be
        result("3.3", "FAILED"),
        result("3.2", "NON-STRICT", "WRONG CODE"),
        result("7.13.2"),
    ],
)
def test_what_is_neither_is_complained_about(found: Result) -> None:
    others = [each for each in GOOD if each.case != found.case]
    (complaint,) = complaints([*others, found], listed(PAGE), complete=False)
    assert complaint.startswith(f"{found.case}: ")


def test_a_row_without_its_case_is_complained_about_when_all_were_run() -> None:
    fewer = [each for each in GOOD if not each.case.startswith("7.13.")]
    assert complaints(fewer, listed(PAGE), complete=False) == []
    (complaint,) = complaints(fewer, listed(PAGE), complete=True)
    assert complaint.startswith("7.13.*: ")


def test_nothing_run_is_not_good() -> None:
    assert complaints([], {}, complete=False)


def test_no_row_excuses_a_failure() -> None:
    with pytest.raises(ValueError, match=r"^9\.1 is listed as "):
        listed("| 9.1 | FAILED | it happens |\n")


def test_the_table_counts_by_groups() -> None:
    found = [*GOOD, result("10.1.1", "FAILED"), result("3.4")]
    head, _rule, *lines = table(found).splitlines()
    assert head.startswith("| group | cases | OK | NON-STRICT |")
    assert [line.split("|")[1:4] for line in lines] == [
        [" 1 ", " 1 ", " 1 "],
        [" 3 ", " 3 ", " 2 "],
        [" 7 ", " 1 ", " 0 "],
        [" 10 ", " 1 ", " 0 "],
    ]
    assert lines[3] == "| 10 | 1 | 0 | 0 | 0 | 0 | 1 | 0.0 |"
