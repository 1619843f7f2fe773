"""Compressed messages that are meant to become more than they look like."""

from __future__ import annotations

from collections import Counter

import pytest
from stress.attack import (
    COMPRESSED,
    DEFLATE,
    close_all,
    close_of,
    empty_blocks,
    frame,
    gather,
    say,
    table_blocks,
    upgrade_all,
    zeros,
)
from stress.siege import MB, kB, scaled, siege

CONTINUATION, TEXT, BINARY = 0, 1, 2
FIN = 128
LIMIT = MB  # max_message_size

INFLATER = 64 * kB  # while a compressed message is on its way, and what waits for it
MESSAGE = LIMIT * 5 // 4  # while it grows to the limit


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_a_bomb_is_stopped_at_the_limit_on_messages(split: bool) -> None:
    how = "1 kB fragments" if split else "one frame"
    with siege(
        f"1 GB of zeros in a compressed MB, {how}", compression="deflate"
    ) as held:
        bombers = held.row.attackers = scaled(100, 20)
        bomb = zeros(scaled(1024, 64) * MB)
        if split:
            parts = [bomb[at : at + 1000] for at in range(0, len(bomb), 1000)]
            data = frame(BINARY | COMPRESSED, parts[0])
            data += b"".join(frame(CONTINUATION, part) for part in parts[1:-1])
            data += frame(CONTINUATION | FIN, parts[-1])
        else:
            data = frame(BINARY | COMPRESSED | FIN, bomb)
        sockets = upgrade_all(held.address, bombers, "bomber", headers=DEFLATE)
        for sock in sockets:
            sock.settimeout(10)
            say(sock, data)
        held.height()
        outcomes = gather(sockets)
        # One that goes on sending may be reset before it has read the Close.
        codes = Counter(close_of(o) for o in outcomes)
        assert codes[1009] + codes[0] == bombers, codes
        assert codes[0] <= sum(o.reset for o in outcomes)
        held.wait_for(lambda now: now["clients"] + now["closing"] == held.honest)
        held.bound(held.figures(), bombers, each=MESSAGE + INFLATER, beside=2 * MB)
        held.row.outcome = "1009"


def test_bombs_that_stay_below_the_limit_cost_the_others_little() -> None:
    with siege(
        "1 MB of zeros in a compressed kB, again and again",
        compression="deflate",
        max_event_bytes=16 * MB,
    ) as held:
        bombers = held.row.attackers = scaled(100, 10)
        each = scaled(20, 5)
        data = frame(BINARY | COMPRESSED | FIN, zeros(LIMIT))
        sockets = upgrade_all(held.address, bombers, "bomber", headers=DEFLATE)
        before = held.do("stats")["received_bytes"]
        cpu = held.figures().cpu
        for _ in range(each):
            for sock in sockets:
                assert say(sock, data)
        held.height()
        made = bombers * each * LIMIT
        held.wait_count("received_bytes", before + made)
        figures = held.figures()
        held.row.notes["CPU ns a byte sent"] = (
            (figures.cpu - cpu) * 1e9 / (bombers * each * len(data))
        )
        # What is on its way is bounded for each, what waits for Python for all.
        held.bound(figures, bombers, each=MESSAGE + INFLATER, beside=(16 + 4) * MB)
        close_all(sockets)
        held.row.outcome = "taken: it is allowed"


@pytest.mark.parametrize("blocks", [empty_blocks, table_blocks])
def test_blocks_that_hold_nothing_cost_the_others_little(blocks: object) -> None:
    assert callable(blocks)
    what = "empty blocks" if blocks is empty_blocks else "Huffman tables for nothing"
    with siege(f"{what}, compressed MBs of them", compression="deflate") as held:
        attackers = held.row.attackers = scaled(100, 10)
        data = frame(BINARY | COMPRESSED | FIN, blocks(scaled(256, 32) * kB))
        sockets = upgrade_all(held.address, attackers, "digger", headers=DEFLATE)
        before = held.do("stats")["received"]
        cpu = held.figures().cpu
        for sock in sockets:
            sock.settimeout(40)
            assert say(sock, data)
        held.height()
        held.wait_for(lambda now: now["received"] >= before + attackers)
        figures = held.figures()
        held.row.notes["CPU ns a byte sent"] = (
            (figures.cpu - cpu) * 1e9 / (attackers * len(data))
        )
        held.bound(figures, attackers, each=INFLATER, beside=2 * MB)
        close_all(sockets)
        held.row.outcome = "taken: it is allowed"


def test_each_compressed_message_on_its_way_has_a_window() -> None:
    with siege("half of a compressed message each", compression="deflate") as held:
        count = held.row.attackers = scaled(2000, 100)
        half = frame(BINARY | COMPRESSED, zeros(32 * kB, 32 * kB))
        sockets = upgrade_all(held.address, count, "half", headers=DEFLATE)
        for sock in sockets:
            assert say(sock, half)
        received = held.do("stats")["received"]
        held.wait_for(lambda now: now["received"] > received + 20)
        held.bound(held.height(), count, each=INFLATER + 64 * kB, beside=2 * MB)
        close_all(sockets)
        held.row.outcome = "waited for"
