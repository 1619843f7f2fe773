"""The WSSEND setting: what is right, what is wrong, and what is said about it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import django_kit  # noqa: F401
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.test import override_settings

from wssend.django.conf import Settings, get_settings, parse

HERE = {"SOCKET": "unix:/run/app/wssend.sock"}


def ok(raw: dict[str, Any], *, debug: bool = False) -> Settings:
    settings, problems = parse(HERE | raw, debug=debug)
    assert problems == []
    return settings


def only_problem(raw: object) -> tuple[str, str, str | None]:
    _, problems = parse(raw)
    (problem,) = problems
    return problem.id, problem.text, problem.hint


def test_little_has_to_be_set() -> None:
    settings = ok({})
    assert settings == Settings(socket="unix:/run/app/wssend.sock")
    assert (settings.host, settings.port, settings.path) == ("127.0.0.1", 8765, "/ws")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ok({}).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "spelling", ["unix:/run/a.sock", "/run/a.sock", Path("/run/a.sock")]
)
def test_the_socket_may_be_spelled_in_three_ways(spelling: object) -> None:
    assert ok({"SOCKET": spelling}).socket == "unix:/run/a.sock"


def test_a_misspelt_key_is_told_with_the_right_one() -> None:
    assert only_problem({"SOKCET": "/run/a.sock", "EMBEDDED": True}) == (
        "wssend.E002",
        "WSSEND has no key 'SOKCET'",
        "Did you mean 'SOCKET'?",
    )
    assert only_problem(HERE | {"port": 1})[2] == "Did you mean 'PORT'?"


def test_a_key_like_no_other_is_told_with_all_there_are() -> None:
    hint = only_problem(HERE | {"zzz": 1})[2]
    assert hint is not None
    assert "SOCKET, SOCKET_MODE, HOST" in hint


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("SOCKET", "run/a.sock", "absolute path of a unix socket"),
        ("SOCKET", 7, "absolute path of a unix socket"),
        ("SOCKET", "/" + "a" * 107, "at most 107 bytes"),
        ("SOCKET_MODE", "660", "must be an int, as in 0o660, not '660'"),
        ("SOCKET_MODE", 0o1777, "0o1777"),
        ("HOST", "", "must be a str, and not empty, not ''"),
        ("PORT", "8765", "must be an int, not '8765'"),
        ("PORT", True, "must be an int, not True"),
        ("PORT", 65536, "must be from 0 to 65535, not 65536"),
        ("UNIX", "a", "absolute path"),
        ("PATH", "ws", "must begin with a slash, as in '/ws', not be 'ws'"),
        ("URL", "https://example.com", "must be a URL, as in 'wss://"),
        ("BEHIND_PROXY", "False", "must be True or False, not 'False'"),
        ("EMBEDDED", 1, "must be True or False, not 1"),
        ("ALLOW_ANONYMOUS", None, "must be True or False, not None"),
        ("AUTHORIZE", 3, "must be a function or its dotted path, not 3"),
        ("AUTHORIZE", "os.sep", "must be a function"),
        ("ORIGINS", "https://a.example", "must be a list of str"),
        ("ORIGINS", ["a.example"], "'a.example' is wrong"),
        ("ORIGINS", [1], "must be a list of str, not [1]"),
        ("TRUSTED_PROXIES", ["nobody"], "nobody"),
        ("LOGOUT", "all", "must be 'user', 'session' or None, not 'all'"),
        ("ENCODER", "os.sep", "must be a JSONEncoder"),
        ("THREADS", 0, "must be from 1 to 256, not 0"),
        ("DRAIN", "5", "must be a number of seconds, not '5'"),
        ("DRAIN", -1, "must be from 0 to 3600 seconds, not -1"),
        ("DRAIN", float("nan"), "must be from 0 to 3600 seconds, not nan"),
        ("HUB", [], "must be a dict of WSHub's options, not []"),
        ("HUB", {"send_que": 1}, "did you mean 'send_queue'?"),
        ("HUB", {"zzz": 1}, "no option of WSHub; known: send_queue, "),
        ("HUB", {"send_queue": 0}, "send_queue"),
        ("HUB", {"origins": []}, "that is WSSEND['ORIGINS']"),
    ],
)
def test_a_wrong_value_is_told_with_its_key(key: str, value: object, said: str) -> None:
    check_id, text, _ = only_problem(HERE | {key: value})
    assert check_id == "wssend.E003"
    assert text.startswith(f"WSSEND[{key!r}] ")
    assert said in text


@pytest.mark.parametrize("raw", [None, "unix:/run/a.sock", [("SOCKET", "/a")]])
def test_it_must_be_a_dict(raw: object) -> None:
    assert only_problem(raw) == (
        "wssend.E001",
        f"WSSEND must be a dict, not {raw!r}",
        None,
    )


@pytest.mark.parametrize("key", ["AUTHORIZE", "ENCODER"])
def test_what_cannot_be_imported_is_told(key: str) -> None:
    check_id, text, _ = only_problem(HERE | {key: "shop.nowhere.function"})
    assert check_id == "wssend.E005"
    assert text.startswith(f"WSSEND[{key!r}]: cannot import 'shop.nowhere.function'")


def test_there_must_be_a_hub_somewhere() -> None:
    check_id, _, hint = only_problem({})
    assert check_id == "wssend.E004"
    assert hint is not None
    assert "manage.py wssend" in hint
    assert parse({"EMBEDDED": True})[1] == []


def test_pages_connect_to_the_hub_itself_while_debugging() -> None:
    assert ok({}).behind_proxy
    assert not ok({}, debug=True).behind_proxy
    assert ok({"BEHIND_PROXY": True}, debug=True).behind_proxy
    assert ok({"UNIX": "/run/a.sock"}, debug=True).behind_proxy


def test_a_dotted_path_becomes_what_it_names() -> None:
    settings = ok({"AUTHORIZE": "os.path.join", "ENCODER": "json.JSONEncoder"})
    assert settings.authorize is not None
    assert settings.authorize.__name__ == "join"
    assert settings.encoder is not DjangoJSONEncoder


def test_the_hub_takes_what_it_knows() -> None:
    assert ok({"HUB": {"send_queue": 16}}).hub == {"send_queue": 16}
    assert ok({"ORIGINS": "same-host"}).origins == ("same-host",)


def test_a_process_that_needs_wrong_settings_is_told_all_that_is_wrong() -> None:
    wrong = HERE | {"PROT": 1, "HOST": ""}
    with override_settings(WSSEND=wrong), pytest.raises(ImproperlyConfigured) as caught:
        get_settings()
    assert "no key 'PROT' (Did you mean 'PORT'?)" in str(caught.value)
    assert "WSSEND['HOST'] must be" in str(caught.value)


def test_settings_are_parsed_once_and_again_when_a_test_changes_them() -> None:
    before = get_settings()
    assert get_settings() is before
    with override_settings(WSSEND=HERE | {"PORT": 1234}):
        assert get_settings().port == 1234
    assert get_settings() == before
