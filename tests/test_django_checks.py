"""The system checks, by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django_kit  # noqa: F401
import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import modify_settings, override_settings

from wssend.django.checks import check_settings

HERE = {"SOCKET": "unix:/run/wssend/none.sock"}


def found(**changes: Any) -> dict[str, Any]:
    """What the checks find, by id."""
    with override_settings(**changes):
        return {message.id: message for message in check_settings()}


def test_good_settings_pass() -> None:
    assert found(WSSEND=HERE) == {}
    call_command("check")


def test_no_setting_at_all_is_told_what_to_set() -> None:
    messages = found(WSSEND={})
    assert list(messages) == ["wssend.E004"]
    assert "manage.py wssend" in messages["wssend.E004"].hint


@pytest.mark.parametrize(
    ("setting", "check_id"),
    [
        (None, "wssend.E001"),
        (HERE | {"SOKCET": 1}, "wssend.E002"),
        (HERE | {"PORT": "x"}, "wssend.E003"),
        (HERE | {"AUTHORIZE": "shop.nowhere"}, "wssend.E005"),
    ],
)
def test_a_wrong_setting_fails_the_checks(setting: object, check_id: str) -> None:
    assert list(found(WSSEND=setting)) == [check_id]
    with (
        override_settings(WSSEND=setting),
        pytest.raises(SystemCheckError, match=check_id),
    ):
        call_command("check")


@pytest.mark.parametrize("gone", ["auth", "sessions"])
def test_logins_need_sessions_and_users(gone: str) -> None:
    with modify_settings(INSTALLED_APPS={"remove": f"django.contrib.{gone}"}):
        messages = found(WSSEND=HERE)
        assert f"django.contrib.{gone}" in messages["wssend.E006"].msg
        for other in ({"ALLOW_ANONYMOUS": True}, {"AUTHORIZE": "os.path.join"}):
            assert "wssend.E006" not in found(WSSEND=HERE | other)


def test_the_session_cookie_must_be_sent_to_the_path() -> None:
    assert found(WSSEND=HERE, SESSION_COOKIE_PATH="/shop")["wssend.W001"].hint == (
        'Set WSSEND["PATH"] to "/shop/ws".'
    )
    for path in ("/shop", "/shop/ws", "/shop/ws/"):
        assert found(WSSEND=HERE | {"PATH": path}, SESSION_COOKIE_PATH="/shop") == {}


def test_sessions_must_not_be_in_a_cache_of_each_process() -> None:
    cached = "django.contrib.sessions.backends.cache"
    assert list(found(WSSEND=HERE, SESSION_ENGINE=cached)) == ["wssend.W002"]
    embedded = {"EMBEDDED": True}
    assert found(WSSEND=embedded, SESSION_ENGINE=cached) == {}
    shared = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": "/run/wssend/none",
        }
    }
    assert found(WSSEND=HERE, SESSION_ENGINE=cached, CACHES=shared) == {}


def test_the_socket_must_not_be_for_everybody(tmp_path: Path) -> None:
    own = {"SOCKET": tmp_path / "a.sock"}
    assert found(WSSEND=own) == {}
    assert "wssend.W003" in found(WSSEND=own | {"SOCKET_MODE": 0o666})
    tmp_path.chmod(0o1777)
    assert str(tmp_path) in found(WSSEND=own)["wssend.W003"].msg


def test_the_script_needs_static_files() -> None:
    with modify_settings(INSTALLED_APPS={"remove": "django.contrib.staticfiles"}):
        assert list(found(WSSEND=HERE)) == ["wssend.W004"]
