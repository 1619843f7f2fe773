from __future__ import annotations

import pickle
import queue
from collections.abc import Callable
from typing import Any

import pytest
from kit import serving

from wssend import errors

NAMES = errors.__all__


@pytest.mark.parametrize("name", NAMES)
def test_every_error_has_one_base_and_one_argument(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("why")
    assert isinstance(error, errors.WSSendError)
    assert (error.args, str(error)) == (("why",), "why")
    assert (error.client, error.client_id) == (None, None)
    for args in ((), ("why", "more")):
        with pytest.raises(TypeError):
            kind(*args)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ChannelFull, queue.Full),
        (errors.ChannelClosed, ConnectionError),
        (errors.HubClosed, errors.ChannelClosed),
        (errors.MessageTooLarge, ValueError),
        (errors.ClientNotFound, LookupError),
    ],
)
def test_errors_are_also_what_python_calls_them(
    error: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(error, builtin)


def test_an_error_takes_the_id_of_its_client() -> None:
    with serving() as server:
        client, _ = server.connect("user-42")
        error = errors.WSSendError("why", client=client)
        assert (error.client, error.client_id) == (client, "user-42")


def provoke_full() -> Exception:
    with serving(send_queue=3) as server:
        client, _ = server.stalled("user-42")
        with pytest.raises(errors.ChannelFull) as caught:
            client.send("x")
        return caught.value


def provoke_closed() -> Exception:
    with serving() as server:
        client, _ = server.connect("user-42")
        client.close(4000, "why not")
        with pytest.raises(errors.ChannelClosed) as caught:
            client.send("x")
        return caught.value


def provoke_hub_closed() -> Exception:
    with serving() as server:
        server.hub.close()
        with pytest.raises(errors.HubClosed) as caught:
            server.hub.send("user-42", "x")
        return caught.value


def provoke_too_large() -> Exception:
    with serving(send_queue_bytes=1) as server:
        client, _ = server.connect("user-42")
        with pytest.raises(errors.MessageTooLarge) as caught:
            client.send("xx")
        return caught.value


def provoke_not_found() -> Exception:
    with serving() as server, pytest.raises(errors.ClientNotFound) as caught:
        server.hub.send("user-42", "x")
    return caught.value


@pytest.mark.parametrize(
    ("provoke", "fields"),
    [
        (provoke_full, {"client_id", "queued", "queued_bytes", "oldest_age"}),
        (provoke_closed, {"client_id", "code", "reason"}),
        (provoke_hub_closed, {"client_id", "code", "reason"}),
        (provoke_too_large, {"client_id", "size", "limit"}),
        (provoke_not_found, {"client_id"}),
    ],
)
def test_a_raised_error_pickles_without_its_client(
    provoke: Callable[[], Exception], fields: set[str]
) -> None:
    error: Any = provoke()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args) == (str(error), error.args)
    assert again.client is None
    assert vars(error).keys() == fields | {"client"}
    for name in fields:
        assert getattr(again, name) == getattr(error, name)
    # Made by us, it is what calling the class makes.
    assert set(vars(type(error)("why"))) == set(vars(error))


def test_a_connection_error_is_not_read_as_an_errno() -> None:
    error: Any = provoke_closed()
    assert (error.errno, error.strerror, error.filename) == (None, None, None)
    assert (error.client_id, error.code, error.reason) == ("user-42", 4000, "why not")
