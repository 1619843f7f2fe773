"""Threads that do jobs; those of one key one after the other.

Each job runs between ``close_old_connections()`` calls, as a request does, so that a
database connection is neither kept for longer than ``CONN_MAX_AGE`` nor used when the
database has dropped it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, TypeAlias

from django.db import close_old_connections, connections

__all__ = ["Pool"]

Job: TypeAlias = Callable[[], object]

logger: Final = logging.getLogger("wssend.django")


class Pool:
    """A bounded number of threads, and of jobs that wait for them.

    The keys take turns, so one with many jobs delays another by one job a thread.

    Args:
        threads: How many; they are started when there is something to do.
        limit: Jobs that may wait or run; :meth:`submit` waits beyond that.
        name: What the threads are called.
    """

    def __init__(self, threads: int, limit: int, name: str) -> None:
        self._most = threads
        self._limit = limit
        self._name = name
        self._changed = threading.Condition()
        self._jobs: dict[Hashable, deque[Job]] = {}
        self._ready: deque[Hashable] = deque()  # keys with a job that may run
        self._count = 0  # jobs that wait or run
        self._idle = 0  # threads that wait
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, key: Hashable, job: Job) -> None:
        """Have a job done; wait for room where there is none.

        Jobs of a closed pool are dropped.
        """
        with self._changed:
            while self._count >= self._limit and not self._closed:
                self._changed.wait()
            if self._closed:
                return
            self._count += 1
            if key in self._jobs:
                self._jobs[key].append(job)
            else:
                self._jobs[key] = deque([job])
                self._ready.append(key)
            if self._idle < len(self._ready) and len(self._threads) < self._most:
                self._start_locked()
            self._changed.notify_all()

    def _start_locked(self) -> None:
        thread = threading.Thread(
            target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            while (taken := self._take()) is not None:
                key, job = taken
                self._run(job)
                self._finish(key)
                del job, taken
        finally:
            connections.close_all()

    def _take(self) -> tuple[Hashable, Job] | None:
        with self._changed:
            self._idle += 1
            while not self._ready and not self._closed:
                self._changed.wait()
            self._idle -= 1
            if not self._ready:
                return None
            key = self._ready.popleft()
            return key, self._jobs[key].popleft()

    def _run(self, job: Job) -> None:
        try:
            close_old_connections()
            try:
                job()
            finally:
                close_old_connections()
        except Exception:
            logger.exception("a job of %s has failed", self._name)

    def _finish(self, key: Hashable) -> None:
        with self._changed:
            self._count -= 1
            if not self._jobs[key]:
                del self._jobs[key]
            elif not self._closed:
                self._ready.append(key)
            self._changed.notify_all()

    def close(self, timeout: float) -> bool:
        """Do what waits, and end the threads.

        Args:
            timeout: Seconds; what has not begun by then is dropped.

        Returns:
            Whether all was done, and no thread is left.
        """
        end = time.monotonic() + timeout
        with self._changed:
            done = self._changed.wait_for(lambda: self._count == 0, timeout)
            self._closed = True
            self._ready.clear()
            for jobs in self._jobs.values():
                self._count -= len(jobs)
                jobs.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()) if not done else None)
        return done and not any(thread.is_alive() for thread in self._threads)
