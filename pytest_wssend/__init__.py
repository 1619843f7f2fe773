"""The pytest plugin of wssend, found by pytest wherever that is installed.

It is no part of the package wssend, so that nothing of that is imported before
a test asks for one of the fixtures.

Fixtures, each for one test:

* ``wssend_hub``: a :class:`wssend.WSHub`, closed in the end.
* ``wssend_client``: makes clients of that hub without sockets, as
  :func:`wssend.testing.connect` does; all are closed in the end.
* ``wssend_server``: the hub listens on a free port of 127.0.0.1: a
  :class:`Server` with ``hub``, ``url``, ``host`` and ``port``.
* ``wssend_options``: the options of the hub, a dict; override it in a
  ``conftest.py`` for all tests in a folder.

``@pytest.mark.wssend(send_queue=4)`` sets options of the hub for a test, a class
or a module; the closest mark wins, option by option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from wssend import WSHub
    from wssend.testing import MemoryClient

CLOSE_TIMEOUT = 5.0
"""Seconds that clients have to answer the Close when a test is over."""


@dataclass(frozen=True)
class Server:
    """A hub that listens on a free port.

    Attributes:
        hub: The hub.
        url: Where it listens: ``"ws://127.0.0.1:12345/"``.
        host: The address.
        port: The port.
    """

    hub: WSHub
    url: str
    host: str
    port: int


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the mark."""
    config.addinivalue_line(
        "markers", "wssend(**options): the options of the test's wssend.WSHub."
    )


@pytest.fixture
def wssend_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of the hub, from the marks of the test."""
    options: dict[str, Any] = {}
    for mark in request.node.iter_markers("wssend"):  # the closest first
        if mark.args:
            raise pytest.UsageError(
                "pytest.mark.wssend takes options of wssend.WSHub by name, not "
                f"{mark.args!r}"
            )
        options = {**mark.kwargs, **options}
    return options


@pytest.fixture
def wssend_hub(wssend_options: dict[str, Any]) -> Iterator[WSHub]:
    """Make a hub, and close it in the end."""
    from wssend import WSHub

    hub = WSHub(**wssend_options)
    yield hub
    hub.close(timeout=CLOSE_TIMEOUT)


@pytest.fixture
def wssend_server(wssend_hub: WSHub) -> Server:
    """Have the hub listen on a free port of 127.0.0.1."""
    listener = wssend_hub.listen("127.0.0.1", 0)
    assert listener.host is not None
    assert listener.port is not None
    return Server(wssend_hub, listener.url, listener.host, listener.port)


@pytest.fixture
def wssend_client(wssend_hub: WSHub) -> Iterator[Callable[..., MemoryClient]]:
    """Return what makes clients of the hub; they are closed in the end."""
    from wssend.testing import connect

    made: list[MemoryClient] = []

    def make(**arguments: Any) -> MemoryClient:  # noqa: ANN401
        made.append(connect(wssend_hub, **arguments))
        return made[-1]

    yield make
    for client in made:
        client.close()
