"""The ``WSSEND`` setting: parsed once into a frozen dataclass.

:func:`parse` reads a dict and says all that is wrong with it, for the system checks;
:func:`get_settings` is what the rest of the package asks.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Final, Literal, cast

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.serializers.json import DjangoJSONEncoder
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

import wssend

__all__ = ["Problem", "Settings", "get_settings", "parse"]

SOCKET_PATH_LIMIT: Final = 107  # bytes, of a unix socket's path
# Options of WSHub that the integration sets itself, and the key to use instead.
OWN_OPTIONS: Final = {
    "authorize": "AUTHORIZE",
    "id_query": "AUTHORIZE",
    "origins": "ORIGINS",
    "trusted_proxies": "TRUSTED_PROXIES",
    "user_query": "AUTHORIZE",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the setting.

    Attributes:
        id: The id of the system check: ``"wssend.E002"``.
        text: What is wrong, naming the key and the value.
        hint: What to do about it, or None.
    """

    id: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``WSSEND = {...}`` says; each key is an attribute in lower case.

    Attributes:
        socket: The hub's local socket for other processes, ``"unix:/path"``.
        socket_mode: Permissions of that socket's file.
        host: Address that clients connect to.
        port: Its port; 0: any free one.
        unix: A unix socket for clients instead, behind a proxy.
        path: The only path that takes WebSockets.
        url: What pages connect to, where it does not follow from the request.
        behind_proxy: Pages connect to their own host and port, whose server passes
            ``path`` on. By default so where ``DEBUG`` is off.
        embedded: The hub runs inside the process that serves the requests.
        allow_anonymous: Clients without a login may connect.
        authorize: Decides about each client.
        origins: Origins of pages that may connect; None: of the same host, and
            ``CSRF_TRUSTED_ORIGINS``.
        trusted_proxies: Proxies whose ``X-Forwarded-For`` is believed.
        logout: What a logout closes: ``"user"``, ``"session"`` or None.
        encoder: The JSON encoder.
        threads: Threads for receivers, and as many for authorising.
        drain: Seconds for what is queued when the hub stops.
        hub: More options of :class:`wssend.WSHub`.
    """

    socket: str | None = None
    socket_mode: int = 0o660
    host: str = "127.0.0.1"
    port: int = 8765
    unix: str | None = None
    path: str = "/ws"
    url: str | None = None
    behind_proxy: bool = True
    embedded: bool = False
    allow_anonymous: bool = False
    authorize: Callable[..., Any] | None = None
    origins: tuple[str, ...] | None = None
    trusted_proxies: tuple[str, ...] = ()
    logout: Literal["user", "session"] | None = "user"
    encoder: type[JSONEncoder] = DjangoJSONEncoder
    threads: int = 4
    drain: float = 5.0
    hub: Mapping[str, Any] = field(default_factory=dict)


def parse(raw: object, *, debug: bool = False) -> tuple[Settings, list[Problem]]:
    """Read a ``WSSEND`` dict.

    Args:
        raw: The dict.
        debug: ``settings.DEBUG``.

    Returns:
        The settings, with defaults for what is wrong, and all that is wrong.
    """
    if not isinstance(raw, Mapping):
        text = f"WSSEND must be a dict, not {raw!r}"
        return Settings(), [Problem("wssend.E001", text)]
    values: dict[str, Any] = {"behind_proxy": not debug}
    problems: list[Problem] = []
    for key, value in raw.items():
        convert = CONVERTERS.get(key)
        if convert is None:
            problems.append(unknown(key))
            continue
        try:
            values[key.lower()] = convert(value)
        except ImportError as error:
            text = f"WSSEND[{key!r}]: cannot import {value!r}: {error}"
            problems.append(Problem("wssend.E005", text))
        except (TypeError, ValueError) as error:
            problems.append(Problem("wssend.E003", f"WSSEND[{key!r}] {error}"))
    if values.get("unix") is not None:
        values["behind_proxy"] = True  # no browser opens a unix socket
    parsed = Settings(**values)
    if not problems and parsed.socket is None and not parsed.embedded:
        problems.append(nowhere())
    return parsed, problems


def unknown(key: object) -> Problem:
    """Say that there is no such key, and which one was meant."""
    near = difflib.get_close_matches(str(key).upper(), CONVERTERS, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(CONVERTERS)}."
    return Problem("wssend.E002", f"WSSEND has no key {key!r}", hint)


def nowhere() -> Problem:
    """Say that there is no hub to push through."""
    return Problem(
        "wssend.E004",
        "WSSEND names no hub: neither SOCKET nor EMBEDDED is set",
        'Add "SOCKET": "unix:/run/app/wssend.sock" and run `manage.py wssend`, or '
        '"EMBEDDED": True for a server of one process.',
    )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        ImproperlyConfigured: Naming all that is wrong.
    """
    raw = getattr(django_settings, "WSSEND", {})
    parsed, problems = parse(raw, debug=django_settings.DEBUG)
    if problems:
        lines = [f"{p.text} ({p.hint})" if p.hint else p.text for p in problems]
        raise ImproperlyConfigured("; ".join(lines))
    return parsed


def forget(*, setting: str, **_: object) -> None:
    """Parse anew after a test has changed the settings."""
    if setting in ("WSSEND", "DEBUG"):
        get_settings.cache_clear()


setting_changed.connect(forget, dispatch_uid="wssend.django.conf")


def boolean(value: object) -> bool:
    """Take True or False and nothing like them: "False" is true."""
    if not isinstance(value, bool):
        raise TypeError(f"must be True or False, not {value!r}")
    return value


def text(value: object) -> str:
    """Take a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"must be a str, and not empty, not {value!r}")
    return value


def path(value: object) -> str:
    """Take the path of a URL."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"must begin with a slash, as in '/ws', not be {value!r}")
    return value


def socket_path(value: object) -> str:
    """Take the absolute path of a unix socket."""
    name = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name.startswith("/"):
        raise ValueError(
            "must be the absolute path of a unix socket, as in "
            f"'/run/app/wssend.sock', not {value!r}"
        )
    if len(os.fsencode(name)) > SOCKET_PATH_LIMIT:
        raise ValueError(f"must have at most {SOCKET_PATH_LIMIT} bytes, not {name!r}")
    return name


def address(value: object) -> str:
    """Take the address of a local socket, ``unix:/path`` or the path alone."""
    if isinstance(value, str):
        value = value.removeprefix("unix:")
    return f"unix:{socket_path(value)}"


def origins(value: object) -> tuple[str, ...]:
    """Take a list of origins; which are valid is for the hub to say."""
    found = ("same-host",) if value == "same-host" else texts(value)
    wssend.WSHub(origins=found).close()
    return found


def trusted_proxies(value: object) -> tuple[str, ...]:
    """Take a list of addresses."""
    found = texts(value)
    wssend.WSHub(trusted_proxies=found).close()
    return found


def texts(value: object) -> tuple[str, ...]:
    """Take a list of texts, not one."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"must be a list of str, not {value!r}")
    found = tuple(value)
    if not all(isinstance(item, str) for item in found):
        raise TypeError(f"must be a list of str, not {value!r}")
    return found


def number(least: int, most: int) -> Callable[[object], int]:
    """Make a converter for whole numbers of a range."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"must be an int, not {value!r}")
        if not least <= value <= most:
            raise ValueError(f"must be from {least} to {most}, not {value!r}")
        return value

    return convert


def mode(value: object) -> int:
    """Take the permissions of a file."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"must be an int, as in 0o660, not {value!r}")
    if not 0 <= value <= 0o777:
        raise ValueError(f"must be from 0o0 to 0o777, not {oct(value)}")
    return value


def seconds(value: object) -> float:
    """Take a time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"must be a number of seconds, not {value!r}")
    if not 0 <= value <= 3600 or math.isnan(value):
        raise ValueError(f"must be from 0 to 3600 seconds, not {value!r}")
    return float(value)


def url(value: object) -> str:
    """Take what pages connect to."""
    if not isinstance(value, str) or not value.startswith(("ws://", "wss://")):
        raise ValueError(
            f"must be a URL, as in 'wss://push.example.com/ws', not {value!r}"
        )
    return value


def choice(value: object) -> str:
    """Take what a logout closes."""
    if not isinstance(value, str) or value not in ("user", "session"):
        raise ValueError(f"must be 'user', 'session' or None, not {value!r}")
    return value


def function(value: object) -> Callable[..., Any]:
    """Take a function, or the dotted path of one."""
    found = import_string(value) if isinstance(value, str) else value
    if not callable(found):
        raise TypeError(f"must be a function or its dotted path, not {value!r}")
    return cast("Callable[..., Any]", found)


def encoder(value: object) -> type[JSONEncoder]:
    """Take a JSON encoder's class, or its dotted path."""
    found = import_string(value) if isinstance(value, str) else value
    if not inspect.isclass(found) or not issubclass(found, JSONEncoder):
        raise TypeError(f"must be a JSONEncoder or its dotted path, not {value!r}")
    return found


def hub_options(value: object) -> Mapping[str, Any]:
    """Take keyword arguments of WSHub; the hub itself says what is wrong."""
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a dict of WSHub's options, not {value!r}")
    known = inspect.signature(wssend.WSHub).parameters
    for name in value:
        if name in OWN_OPTIONS:
            raise ValueError(
                f"must not have {name!r}: that is WSSEND[{OWN_OPTIONS[name]!r}]"
            )
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            meant = (
                f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            )
            raise ValueError(f"has {name!r}, which is no option of WSHub; {meant}")
    wssend.WSHub(**value).close()
    return dict(value)


def optional(convert: Callable[[object], Any]) -> Callable[[object], Any]:
    """Let None be, too."""
    return lambda value: None if value is None else convert(value)


CONVERTERS: Final[dict[str, Callable[[object], Any]]] = {
    "SOCKET": optional(address),
    "SOCKET_MODE": mode,
    "HOST": text,
    "PORT": number(0, 65535),
    "UNIX": optional(socket_path),
    "PATH": path,
    "URL": optional(url),
    "BEHIND_PROXY": boolean,
    "EMBEDDED": boolean,
    "ALLOW_ANONYMOUS": boolean,
    "AUTHORIZE": optional(function),
    "ORIGINS": optional(origins),
    "TRUSTED_PROXIES": trusted_proxies,
    "LOGOUT": optional(choice),
    "ENCODER": encoder,
    "THREADS": number(1, 256),
    "DRAIN": seconds,
    "HUB": hub_options,
}
assert {key.lower() for key in CONVERTERS} == {
    item.name for item in dataclasses.fields(Settings)
}
