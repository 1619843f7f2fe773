"""The measurements of the GIL, of growth and of a long time, in small."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import gil
import growth
import link
import pumps
import pytest
import soak
import stuck
import tables
from suite.process import Cores, find_cores

FEW = [gil.SCENES[0], gil.Scene("1 computes", computing=1, interval=0.0005)]
SENDERS = [scene for scene in gil.SCENES if scene.sending]


@pytest.fixture
def cores() -> Cores:
    return find_cores()


# The GIL.


@pytest.mark.slow
def test_each_row_has_the_calls_of_all_that_go_on() -> None:
    rows: gil.Rows = {}
    gil.scenes(rows, 8, 0.02, FEW + SENDERS)
    assert len(rows) == 6 * len(FEW + SENDERS) + 1  # and what computes, undisturbed
    for (title, pace, mode), row in rows.items():
        assert bool(row.samples) == (mode != "nobody sends"), (title, pace, mode)
        assert bool(row.shares) == ("computes" in title), (title, pace, mode)
        assert bool(row.waits) or "send" not in title, (title, pace, mode)
        cells = gil.cells((title, pace, mode), row, 0)
        assert len(cells) == len(gil.HEAD)


@pytest.mark.slow
@pytest.mark.parametrize("release", gil.MODES)
def test_calls_are_timed_while_broadcasts_are_made_and_written(release: bool) -> None:
    rows: gil.Rows = {}
    gil.broadcasts(rows, 20, release, 0.02)
    for pace in gil.PACES:
        calls = rows["broadcasts to 20: the calls", pace, str(release)]
        assert len(calls.waits) >= gil.RALLY
        assert calls.samples
        assert rows["broadcasts to 20: the writing", pace, str(release)].samples


def test_what_fails_in_another_thread_is_not_overlooked() -> None:
    def fail(thread: gil.Other) -> None:
        raise ValueError("of the thread's own")

    thread = gil.Other(fail)
    with pytest.raises(ValueError, match="of the thread's own"):
        thread.finish()
    assert thread.over


@pytest.mark.slow
def test_clients_are_timed_beside_a_thread_that_keeps_the_gil() -> None:
    rows = stuck.measure(0.4)
    assert list(rows) == ["sleeps", "keeps the GIL"]
    for noticed in rows.values():
        assert noticed.pongs.count >= stuck.VISITS
        assert noticed.handshakes.count > 0
        assert noticed.taken > 0
        assert noticed.drought > 0


# Growth.


def test_a_message_has_its_price(cores: Cores) -> None:
    found = growth.send(10, 64, 50, cores)
    assert found["cpu"] > 0
    assert found["refused"] == 0


@pytest.mark.slow  # and a sanitizer has a heap of its own
def test_a_client_has_its_memory(cores: Cores) -> None:
    found = growth.hold(50, cores)
    assert found["idle heap"] > 500
    assert found["used heap"] >= found["idle heap"]


def test_a_connection_has_its_price(cores: Cores) -> None:
    found = growth.come_and_go(50, cores)
    assert min(found.values()) > 0
    for secure in (False, True):
        found = growth.cycle(5, secure, cores)
        assert min(found.values()) > 0


def test_there_are_no_more_clients_than_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        enough = hard - growth.SPARE
        assert growth.possible([1, enough, enough + 1]) == [1, enough]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_the_tables_go_into_the_page_and_the_figures_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- growth -->\nold\n<!-- end of growth -->\nbelow\n")
    monkeypatch.setattr(tables, "RECORDS", tmp_path)
    options = "--rounds 2 --clients 10 20 --sizes 16 128 --messages 60 --visits 3"
    monkeypatch.setattr(
        sys, "argv", ["growth.py", *options.split(), "--write", str(page)]
    )
    growth.main()
    text = page.read_text()
    assert text.startswith("above\n<!-- growth -->\nMeasured ")
    assert f'by `make bench-growth ARGS="{options}"`, 2 rounds, ' in text
    assert text.endswith("\n<!-- end of growth -->\nbelow\n")
    assert "old" not in text
    assert capsys.readouterr().out in text
    rows = json.loads((tmp_path / "growth.json").read_text())
    assert {len(found) for found in rows.values()} == {2}
    for name in (
        "message / 10 clients, 128 B",
        "message / 20 clients, 128 B",
        "message / 10 clients, 16 B",
        "memory / 20 clients",
        "connection / 20, 64 at a time",
        "connection / one after the other, TLS",
    ):
        assert name in rows


# Several pumps.


def test_each_number_of_pumps_has_its_rate_and_its_ratio() -> None:
    found = {n: [pumps.measure(n, 4, 64, 0.01)] for n in (1, 2)}
    assert all(it["rate"] > 0 and it["cpu"] > 0 for of in found.values() for it in of)
    head, _, row = pumps.report({(4, 64): found}, [1, 2]).splitlines()
    assert head.count("|") == row.count("|") == 8
    ratio = found[2][0]["rate"] / found[1][0]["rate"]
    assert tables.number(ratio) in row


# A long time.


@pytest.mark.slow
def test_a_soak_finds_nothing_wrong_where_nothing_is() -> None:
    options = "--minutes 0.06 --every 0.5 --clients 6 --stalled 1 --guests 8"
    samples, visits, wrong = soak.soak(soak.parser().parse_args(options.split()))
    assert wrong == []
    assert visits > 8
    assert len(samples) > 3
    assert samples[-2]["clients"] >= 6
    assert samples[-1]["clients"] == 0
    assert all(map(soak.law_holds, samples))


def sample(seconds: float, **others: float) -> soak.Sample:
    """Of a server that has nothing."""
    names = "clients closing queued queued_bytes topics descriptors threads"
    names += " accepted written dropped lost rss pss heap joined refused_full"
    return dict.fromkeys(names.split(), 0.0) | {"seconds": seconds} | others


def test_a_soak_notices_what_is_left_and_what_is_lost() -> None:
    before = sample(0, descriptors=10, threads=3)
    assert soak.compared(before, before, [before]) == []
    after = sample(9, descriptors=11, threads=4, clients=1, queued=2, accepted=2)
    wrong = soak.compared(before, after, [after, sample(5, accepted=1)])
    assert len(wrong) == 5
    assert wrong[0].startswith("after 5 s not all is accounted for")
    assert wrong[1:3] == ["1 clients are left", "2 queued are left"]
    assert wrong[3:] == ["10 descriptors became 11", "3 threads became 4"]


@pytest.mark.parametrize(
    ("leak", "minutes", "verdict"),
    [
        (0, 30, "flat"),
        (-1000, 30, "flat"),
        (1000, 30, "NOT FLAT"),
        (1000, 5, "too short to tell"),
    ],
)
def test_memory_is_flat_or_it_climbs(leak: float, minutes: int, verdict: str) -> None:
    # It doubles in the first third, which does not count; then it leaks by the second.
    times = range(0, 60 * minutes + 1, 10)
    samples = [
        sample(t, rss=20e6 + min(t, 20 * minutes) * 1e4 + leak * t + t % 3 * 1e4)
        for t in times
    ]
    assert soak.climbs(samples, "rss").endswith(f": {verdict}")


def test_too_few_samples_say_nothing() -> None:
    assert soak.climbs([sample(0), sample(1)], "rss") == "rss: too few samples"


# Figures.


def test_a_quantile_is_a_value_that_was_measured() -> None:
    for share, value in ((0.5, 2), (0.75, 3), (0.99, 4), (1.0, 4), (0.0, 1)):
        assert tables.quantile([1, 2, 3, 4], share) == value


def test_a_spread_subtracts_but_not_below_nothing() -> None:
    got = tables.spread([10, 30, 20, 1], less=5)
    assert (got.count, got.mean, got.p50, got.worst) == (4, 11.25, 5, 25)
    assert tables.spread([]).count == 0


def test_a_line_tells_how_sure_it_is() -> None:
    assert tables.fit([0, 1, 2], [1, 3, 5]) == tables.Line(1, 2, 0)
    assert tables.fit([0, 1, 2, 3], [0, 1, 0, 1]).error > 0.2


def test_numbers_have_three_digits_that_count() -> None:
    shown = [tables.number(value) for value in (0.1234, 12.34, 5123.4, float("nan"))]
    assert shown == ["0.123", "12.3", "5,123", ""]


def test_a_page_without_marks_gets_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for text in ("one\n", "two\n"):
        tables.place(page, "name", text)
        assert page.read_text() == f"<!-- name -->\n{text}<!-- end of name -->\n"


def test_a_page_whose_mark_does_not_end_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- name -->\nmine\n")
    with pytest.raises(ValueError, match="has no <!-- end of name -->"):
        tables.place(page, "name", "text\n")
    assert page.read_text() == "<!-- name -->\nmine\n"


# Hubs elsewhere.


def test_calls_to_a_hub_elsewhere_have_their_price() -> None:
    rows = link.measure(2, 300)
    assert len(rows) == 4
    for values in rows.values():
        assert len(values) == 2
        assert min(values) > 0
