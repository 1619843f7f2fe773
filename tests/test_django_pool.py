"""The threads that receivers run in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connections
from django_kit import User
from kit import Background, until
from wsclient import TIMEOUT

from wssend.django.pool import Pool


@contextmanager
def pool(threads: int = 3, limit: int = 100) -> Iterator[Pool]:
    made = Pool(threads, limit, "test-pool")
    try:
        yield made
    finally:
        assert made.close(TIMEOUT)


class Gate:
    """A job that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.open.wait(TIMEOUT)


def test_the_jobs_of_a_key_are_done_in_order() -> None:
    done: dict[str, list[int]] = {"a": [], "b": [], "c": []}
    with pool(limit=10) as threads:
        for number in range(300):
            for key, numbers in done.items():
                threads.submit(key, partial(numbers.append, number))
    assert done == {key: list(range(300)) for key in "abc"}


def test_a_key_that_is_stuck_delays_no_other() -> None:
    stuck, free = Gate(), threading.Event()
    with pool(threads=2) as threads:
        threads.submit("a", stuck)
        assert stuck.entered.wait(TIMEOUT)
        threads.submit("a", lambda: None)
        threads.submit("b", free.set)
        assert free.wait(TIMEOUT)
        stuck.open.set()


def test_a_key_with_many_jobs_lets_others_have_their_turn() -> None:
    order: list[str] = []
    gate = Gate()
    with pool(threads=1) as threads:
        threads.submit("gate", gate)
        for _ in range(5):
            threads.submit("many", lambda: order.append("many"))
        threads.submit("few", lambda: order.append("few"))
        gate.open.set()
    assert order == ["many", "few", *["many"] * 4]


def test_who_submits_waits_for_room() -> None:
    gate = Gate()
    with pool(threads=1, limit=2) as threads:
        threads.submit("a", gate)
        threads.submit("b", lambda: None)
        third = Background(lambda: threads.submit("c", lambda: None))
        assert gate.entered.wait(TIMEOUT)
        assert third.is_alive()
        gate.open.set()
        third.result()


def test_there_are_never_more_threads_than_allowed() -> None:
    names: set[str] = set()
    with pool(threads=2) as threads:
        for number in range(50):
            threads.submit(number, lambda: names.add(threading.current_thread().name))
    assert names <= {"test-pool-0", "test-pool-1"}


def test_a_job_that_fails_is_logged_and_costs_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done = threading.Event()
    with caplog.at_level(logging.ERROR), pool(threads=1) as threads:
        threads.submit("a", partial(divmod, 1, 0))
        threads.submit("a", done.set)
    assert done.is_set()
    assert "a job of test-pool has failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_job_finds_no_connection_open_and_leaves_none() -> None:
    open_before: list[bool] = []

    def look() -> None:
        open_before.append(connections["default"].connection is not None)
        User.objects.count()

    with pool(threads=1) as threads:
        threads.submit("a", look)
        threads.submit("a", look)
    assert open_before == [False, False]


def test_a_closed_pool_drops_jobs() -> None:
    threads = Pool(2, 10, "test-pool")
    assert threads.close(0)
    threads.submit("a", lambda: pytest.fail("it was done"))


def test_closing_waits_for_the_jobs_but_not_for_ever() -> None:
    threads = Pool(1, 10, "test-pool")
    gate, second = Gate(), threading.Event()
    threads.submit("a", gate)
    threads.submit("a", second.set)
    assert gate.entered.wait(TIMEOUT)
    assert not threads.close(0.01)
    gate.open.set()
    until(lambda: not any(t.name == "test-pool-0" for t in threading.enumerate()))
    assert not second.is_set()


def test_closing_frees_who_waits_for_room() -> None:
    threads = Pool(1, 1, "test-pool")
    gate = Gate()
    threads.submit("a", gate)
    waiting = Background(lambda: threads.submit("b", lambda: None))
    assert not threads.close(0)
    waiting.result()
    gate.open.set()
