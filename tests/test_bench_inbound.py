"""The measurement of inbound messages, in small."""

from __future__ import annotations

import sys

import inbound
import pytest


@pytest.mark.parametrize("library", ["wssend", "websockets"])
def test_each_server_takes_and_answers(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbound, "python_of", lambda library: sys.executable)
    figures = inbound.run([library], inbound.LOOPS, 1, 3, 64)
    assert all(value > 0 for values in figures.values() for value in values)
    table = inbound.rows(figures)
    assert [row[:2] for row in table] == [[library, loop] for loop in inbound.LOOPS]
    assert all(len(row) == len(inbound.HEAD) for row in table)
    assert [row[3] for row in table] == ["1.00", "1.00"]


def test_the_table_compares_with_wssend_in_the_same_loop() -> None:
    figures = {
        (library, loop, burst): [value, value * 3, value * 2]
        for library, loop, value in [
            ("picows", "uvloop", 1.0),
            ("wssend", "asyncio", 8.0),
            ("wssend", "uvloop", 4.0),
        ]
        for burst in inbound.BURSTS
    }
    assert [row[:2] + row[3:4] for row in inbound.rows(figures)] == [
        ["wssend", "asyncio", "1.00"],
        ["picows", "uvloop", "0.25"],
        ["wssend", "uvloop", "1.00"],
    ]
