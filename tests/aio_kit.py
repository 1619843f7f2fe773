"""What the tests of wssend.aio share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeAlias, TypeVar

import uvloop
from wsclient import Client

T = TypeVar("T")
Main: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
Run: TypeAlias = Callable[[Main[Any]], Any]

PATIENCE = 30.0  # seconds
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run_in(name: str, main: Main[T]) -> T:
    """Run it in a new loop of that kind, in which nothing may go wrong unseen."""
    problems: list[dict[str, Any]] = []
    loop = LOOPS[name]()
    loop.set_exception_handler(lambda loop, context: problems.append(context))
    try:
        result = loop.run_until_complete(asyncio.wait_for(main(), PATIENCE))
        assert asyncio.all_tasks(loop) == set()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    assert problems == []
    return result


async def until(condition: Callable[[], T]) -> T:
    """Wait until something is true, and return what it was."""
    while True:
        value = condition()
        if value:
            return value
        await asyncio.sleep(0.002)


def in_thread(function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
    """Run what blocks."""
    return asyncio.get_running_loop().run_in_executor(None, function, *args)


class Peers(ExitStack):
    """Clients' own ends, closed in the end. Opening one needs no Python of the
    server's, so it may block the loop."""

    def dial(self, url: str, **options: Any) -> Client:
        """Connect a client."""
        own = Client(url, **options)
        self.callback(own.close)
        return own
