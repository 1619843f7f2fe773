"""docs/django.md: its Python runs, its tables are complete."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from django_kit import AnonymousUser, log_in, new_user, running
from kit import there

import wssend
from wssend import django as package
from wssend.django import checks, conf, connected, message_received, override_hub

PAGE = (Path(__file__).parents[1] / "docs/django.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
(SETTINGS, MARK, RENAME, LOSSY, AUTHORIZE, RECEIVERS, TESTING) = BLOCK.findall(PAGE)


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "<documentation>", "exec"), names)
    return names


def test_the_settings_are_right() -> None:
    names = run(SETTINGS)
    assert conf.parse(names["WSSEND"])[1] == []
    assert names["INSTALLED_APPS"] == ["wssend.django"]


def test_what_is_pushed_arrives() -> None:
    user = new_user()
    with running() as server, override_hub(server.hub):
        client = server.dial(log_in(user))
        run(MARK)["mark_unread"](user, 3)
        assert client.recv() == '{"unread":3}'


def test_a_push_follows_its_transaction() -> None:
    user = new_user()  # a model instance like any other
    with running(ALLOW_ANONYMOUS=True) as server, override_hub(server.hub):
        client = server.dial()
        server.hub.clients()[0].subscribe(f"room-{user.pk}")
        run(RENAME)["rename"](user, "lobby")
        assert client.recv() == '{"name":"lobby"}'


def test_a_push_may_be_lost() -> None:
    hub = wssend.WSHub()
    hub.close()
    with override_hub(hub):
        run(LOSSY)


def test_a_function_decides() -> None:
    authorize = run(AUTHORIZE)["authorize"]
    request = RequestFactory().get("/ws?room=7")
    assert authorize(request, AnonymousUser()) is False
    assert authorize(request, new_user()) == wssend.Accept(topics=["room-7"])


def test_receivers_receive() -> None:
    before = message_received.receivers[:], connected.receivers[:]
    try:
        names = run(RECEIVERS)
        user = new_user()
        with running() as server, override_hub(server.hub):
            client = server.dial(log_in(user))
            client.send('{"type": "chat", "text": "hello"}')
            said = json.loads(str(client.recv()))
        assert said == {"text": f"{user.username}: hello"}
        assert there(names["subscribe"])
    finally:
        message_received.receivers, connected.receivers = before
        message_received.sender_receivers_cache.clear()
        connected.sender_receivers_cache.clear()


def test_the_test_passes() -> None:
    run(TESTING)["test_a_price_is_pushed"]()


def test_every_setting_is_described() -> None:
    table = PAGE[PAGE.index("| key | default") : PAGE.index("| check |")]
    keys = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(keys)) == list(conf.CONVERTERS)


@pytest.mark.parametrize("text", [PAGE, checks.__doc__])
def test_every_check_is_described(text: str) -> None:
    source = "".join(Path(there(m.__file__)).read_text() for m in (checks, conf))
    made = set(re.findall(r'"(wssend\.[EW]\d+)"', source))
    assert set(re.findall(r"^\| (wssend\.\w+)", text, re.MULTILINE)) == made
    assert len(made) == 10


def test_all_names_are_there() -> None:
    assert sorted(package.__all__) == package.__all__
    assert all(hasattr(package, name) for name in package.__all__)
