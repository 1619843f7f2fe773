"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from wsclient import Client

import wssend
from pytest_wssend import Server
from wssend.testing import MemoryClient

pytest_plugins = "pytester"

OWN = (
    *("-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider"),
    *("-W", "error", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


def run(pytester: pytest.Pytester, *more: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*OWN, "-v", *more, timeout=50)


# ---- here, where pytest has found it by itself


def test_the_hub_is_one_for_the_test(
    wssend_hub: wssend.WSHub,
    wssend_client: Callable[..., MemoryClient],
    wssend_server: Server,
) -> None:
    assert wssend_server.hub is wssend_hub
    client = wssend_client(id="a", user="42")
    assert client.client in wssend_hub
    assert wssend_server.url == f"ws://{wssend_server.host}:{wssend_server.port}/"
    with Client(wssend_server.url) as other:
        assert wssend_hub.broadcast("hello").queued == 2
        client.expect("hello")
        assert other.recv() == "hello"
        other.leave()


@pytest.mark.wssend(send_queue=7, max_clients=3)
class TestMarks:
    def test_a_mark_sets_options(
        self, wssend_client: Callable[..., MemoryClient]
    ) -> None:
        client = wssend_client()
        client.stall()
        for i in range(7):
            client.client.send(str(i))
        with pytest.raises(wssend.ChannelFull):
            client.client.send("one too many")

    @pytest.mark.wssend(send_queue=1)
    def test_the_closest_mark_wins(self, wssend_options: dict[str, object]) -> None:
        assert wssend_options == {"send_queue": 1, "max_clients": 3}


# ---- in another


@pytest.mark.slow
def test_all_is_closed_in_the_end_and_open_sockets_hold_nothing_up(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import socket
        import pytest

        kept = []

        @pytest.fixture
        def wssend_options(wssend_options):
            return {"close_timeout": 0.1, **wssend_options}

        def test_it_leaves_all_open(wssend_client, wssend_server):
            stalled = wssend_client()
            stalled.stall()
            stalled.client.send("never read")
            kept.extend([stalled, wssend_server.hub])
            plain = socket.create_connection((wssend_server.host, wssend_server.port))
            kept.append(plain)

        def test_it_was_closed():
            stalled, hub, plain = kept
            assert stalled.close_code == 1000
            assert hub.closed
            plain.settimeout(20)
            assert plain.recv(1000)[:0] == b""
            plain.close()
        """
    )
    run(pytester).assert_outcomes(passed=2)


@pytest.mark.slow
def test_what_is_wrong_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.wssend(4)
        def test_a_value_without_a_name(wssend_hub):
            pass

        @pytest.mark.wssend(send_quue=4)
        def test_a_misspelt_option(wssend_hub):
            pass

        def test_another_message(wssend_client):
            client = wssend_client(id="a")
            client.client.send('{"n": 1}')
            client.expect({"n": 2})
        """
    )
    result = run(pytester, "--strict-markers")
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*takes options of wssend.WSHub by name, not (4,)*",
            "*TypeError:*send_quue*",
            "*AssertionError: client 'a': expected {'n': 2}*",
            "*but came {'n': 1}*",
            "*'n'*: 2 != 1*",
        ]
    )


@pytest.mark.slow
def test_it_imports_nothing_of_wssend_before_it_is_used(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        imported = [name for name in sys.modules if name.split(".")[0] == "wssend"]

        def test_nothing(pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("wssend")
            assert imported == []
        """
    )
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.slow
def test_it_says_what_it_offers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = run(pytester, "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.wssend(*options): *"])
    result = run(pytester, "--fixtures")
    for name in ("wssend_client", "wssend_hub", "wssend_options", "wssend_server"):
        result.stdout.fnmatch_lines([f"{name} *", "    [A-Z]*"])
