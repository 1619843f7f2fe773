"""The options of a WSHub: what is accepted, and how the rest is refused."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from wssend import WSHub

INTS = {
    "send_queue": (1, 1 << 20),
    "send_queue_bytes": (1, (1 << 63) - 1),
    "send_buffer": (1, 1 << 30),
    "max_message_size": (1, 1 << 24),
    "max_events": (0, 1 << 24),
    "max_event_bytes": (1 << 20, (1 << 63) - 1),
    "max_clients": (1, 1 << 30),
    "max_clients_per_ip": (1, 1 << 30),
    "pumps": (1, 64),
    "max_handshakes": (1, 1 << 20),
}
TIMES = ["ping_interval", "ping_timeout", "open_timeout", "close_timeout"]
LISTS = ["trusted_proxies", "origins", "subprotocols"]


@pytest.mark.parametrize("name", INTS)
def test_both_ends_of_a_range_are_valid(name: str) -> None:
    for value in INTS[name]:
        WSHub(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", INTS)
def test_an_int_out_of_range_names_option_range_and_value(name: str) -> None:
    low, high = INTS[name]
    for value in (low - 1, -5, high + 1, 1 << 80, -(1 << 80)):
        if name == "max_event_bytes" and 0 < value < 1 << 63:
            continue
        if name == "max_message_size" and 0 < value < 1 << 63:
            continue
        with pytest.raises(ValueError, match=rf"^{name} must be from .*, not {value}$"):
            WSHub(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", INTS)
@pytest.mark.parametrize("value", [1.0, "1", True, False, b"1", [1]])
def test_only_ints_are_ints(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be an int, not "):
        WSHub(**{name: value})


@pytest.mark.parametrize("name", ["send_buffer", "max_clients", "max_clients_per_ip"])
def test_none_switches_a_limit_off(name: str) -> None:
    WSHub(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", sorted(set(INTS) - {"send_buffer", "max_clients", "max_clients_per_ip"})
)
def test_none_is_no_number(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be an int, not None$"):
        WSHub(**{name: None})  # type: ignore[arg-type]


class Index:
    def __index__(self) -> int:
        return 7


def test_what_has_an_index_is_an_int() -> None:
    WSHub(send_queue=Index())  # type: ignore[arg-type]


def test_a_message_must_fit_the_queue_of_events() -> None:
    with pytest.raises(
        ValueError, match=r"^max_message_size must be at most max_event"
    ):
        WSHub(max_message_size=101, max_event_bytes=100)
    WSHub(max_message_size=100, max_event_bytes=100)
    WSHub(max_message_size=101, max_event_bytes=100, max_events=0)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [1, 0.001, 1e300, 1 << 80, None])
def test_times_are_seconds_or_none(name: str, value: Any) -> None:
    WSHub(**{name: value})


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    "value", [0, 0.0, -1, -0.5, float("nan"), float("inf"), -(1 << 80)]
)
def test_a_time_out_of_range_names_the_option(name: str, value: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^{name} must be a finite number of seconds"
    ):
        WSHub(**{name: value})


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", ["1", True, 1j, [1]])
def test_only_numbers_are_times(name: str, value: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"^{name} must be a number of seconds or None"
    ):
        WSHub(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"origins": None},
        {"origins": "same-host"},
        {"origins": ["https://example.com", "https://*.example.com:8443", "null"]},
        {"origins": iter(["same-host"])},
        {"subprotocols": ()},
        {"subprotocols": ["chat.v2", "chat.v1"]},
        {"subprotocols": (name for name in ("a", "b"))},
        {"trusted_proxies": ["10.0.0.0/8", "::1", "fd00::/8", "unix:"]},
        {"id_query": "id", "user_query": None},
        {"release_gil": False},
    ],
)
def test_good_lists_and_names(options: dict[str, Any]) -> None:
    WSHub(**options)


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", ["https://example.com", b"x", 7])
def test_a_bare_str_is_no_list(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be .*an iterable of str, not "):
        WSHub(**{name: value})


@pytest.mark.parametrize("name", LISTS)
def test_lists_hold_strs(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must hold strs, not 7$"):
        WSHub(**{name: [7]})  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        WSHub(**{name: ["\ud800"]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("origins", "example.com"),
        ("origins", "https://example.com/path"),
        ("origins", "https://exa\0mple.com"),
        ("subprotocols", "not a token"),
        ("subprotocols", ""),
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "localhost"),
    ],
)
def test_a_wrong_item_is_named(name: str, item: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: '.*' is wrong: "):
        WSHub(**{name: [item]})  # type: ignore[arg-type]


def test_no_origins_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"^origins must not be empty"):
        WSHub(origins=[])


@pytest.mark.parametrize("name", ["id_query", "user_query"])
def test_query_names(name: str) -> None:
    for bad in ("", "a\0b", "x" * 101):
        with pytest.raises(ValueError, match=rf"^{name} must "):
            WSHub(**{name: bad})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=rf"^{name} must be a str, not b'id'$"):
        WSHub(**{name: b"id"})  # type: ignore[arg-type]


def test_release_gil_is_a_bool() -> None:
    with pytest.raises(TypeError, match=r"^release_gil must be True or False, not 1$"):
        WSHub(release_gil=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", "gzip", "Deflate", "permessage-deflate"])
def test_compression_is_deflate_or_none(bad: str) -> None:
    text = rf'^compression must be None or "deflate", not {bad!r}$'
    with pytest.raises(ValueError, match=text):
        WSHub(compression=bad)  # type: ignore[arg-type]
    WSHub(compression=None)
    WSHub(compression="deflate")


@pytest.mark.parametrize("bad", [True, 15, b"deflate"])
def test_compression_is_no_number_and_no_bytes(bad: object) -> None:
    text = rf'^compression must be None or "deflate", not {bad!r}$'
    with pytest.raises(TypeError, match=text):
        WSHub(compression=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["authorise", "tls_cert", "send_quue"])
def test_what_there_is_not_is_not_accepted(name: str) -> None:
    with pytest.raises(TypeError, match=rf"'{name}'"):
        WSHub(**{name: None})  # type: ignore[arg-type]


def test_options_have_names() -> None:
    with pytest.raises(TypeError):
        WSHub(256)  # type: ignore[call-arg]


def test_the_signature_tells_the_defaults() -> None:
    parameters = inspect.signature(WSHub).parameters
    assert set(parameters) == {
        *INTS,
        *TIMES,
        *LISTS,
        "compression",
        "id_query",
        "user_query",
        "release_gil",
        "authorize",
    }
    WSHub(**{name: parameter.default for name, parameter in parameters.items()})


def test_no_half_made_hub_can_be_found_while_its_options_are_read() -> None:
    found: list[WSHub] = []

    def rules() -> Iterator[str]:
        found.extend(o for o in gc.get_objects() if type(o) is WSHub)
        yield "https://a.example"

    gc.collect()
    before = [id(o) for o in gc.get_objects() if type(o) is WSHub]
    WSHub(origins=rules())
    assert [o for o in found if id(o) not in before] == []
