from __future__ import annotations

import dataclasses

import pytest
from kit import serving

from wssend import SendReport


@pytest.mark.parametrize(
    ("report", "fine", "tried"),
    [
        (SendReport(), True, 0),
        (SendReport(queued=3), True, 3),
        (SendReport(queued=3, closed=1), False, 4),
        (SendReport(failed=2), False, 2),
    ],
)
def test_it_is_true_when_everybody_who_was_tried_has_it(
    report: SendReport, fine: bool, tried: int
) -> None:
    assert bool(report) is fine
    assert report.tried == tried


def test_it_names_the_full() -> None:
    with serving() as server:
        (a, _), (b, _) = server.connect("a"), server.connect("b")
        report = SendReport(queued=1, full=(a, b))
        assert report.full_ids == ("a", "b")
        assert (bool(report), report.tried) == (False, 3)
        assert (
            repr(report) == "SendReport(queued=1, full=('a', 'b'), closed=0, failed=0)"
        )
        assert report != SendReport(queued=1, full=(b, a))
        assert report == SendReport(queued=1, full=(a, b))


def test_it_is_an_immutable_value_and_no_tuple() -> None:
    report = SendReport(queued=1)
    assert hash(report) == hash(SendReport(queued=1))
    assert not isinstance(report, tuple)
    with pytest.raises(TypeError):
        iter(report)  # type: ignore[call-overload]
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.queued = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        SendReport(1)  # type: ignore[call-arg]


def test_one_made_by_the_hub_is_like_one_made_by_hand() -> None:
    with serving() as server:
        server.connect("a")
        report = server.hub.broadcast("x")
    assert report == SendReport(queued=1)
    assert hash(report) == hash(SendReport(queued=1))
    assert type(report) is SendReport
    assert not hasattr(report, "__dict__")
