"""``EMBEDDED``: the hub runs inside the process that serves the requests.

That has to be one process: the clients are in its memory. It is started where requests
are really served, and never by importing: by runserver (in the child that the reloader
starts), otherwise with the first request, which comes after every fork. A management
command that serves nothing, and a test client, start nothing.

The process that runs it holds a name, an abstract unix socket that the kernel takes
back however the process ends. A second process that wants to serve finds it taken, and
says whose it is.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from .conf import Settings, get_settings

if TYPE_CHECKING:
    from wssend import WSHub

    from .service import Service

__all__ = ["absent", "hub", "is_served_by_runserver", "on_request", "start", "stop"]

# A worker that is being replaced leaves a moment after its successor has come.
PATIENCE: Final = 5.0  # seconds
RETRY: Final = 0.05  # seconds
EXIT_DRAIN: Final = 1.0  # seconds; a server that stops is waited for


class _State:
    """What this process has; a forked child begins anew."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.service: Service | None = None
        self.name: socket.socket | None = None
        self.refusal: str | None = None


_state = _State()


def _begin_anew() -> None:
    """Leave the service and the name to the parent."""
    global _state
    name, _state = _state.name, _State()
    if name is not None:
        name.close()


os.register_at_fork(after_in_child=_begin_anew)


def hub() -> WSHub | None:
    """Return the embedded hub, or None where this process does not run one."""
    service = _state.service
    return None if service is None else service.hub


def port() -> int | None:
    """Return the port that the embedded hub listens on, or None."""
    service = _state.service
    return None if service is None else service.listener.port


def absent() -> str:
    """Say why there is no hub in this process, and what to do."""
    return (
        f"the embedded hub does not run in process {os.getpid()}: it starts when the "
        "server has started, with the first request, and only there. To push from "
        'other processes, too (commands, Celery), set WSSEND["SOCKET"]; its socket '
        "then leads to the hub"
    )


def start() -> WSHub:
    """Start the embedded hub of this process, if it does not run yet.

    For a server's hook, gunicorn's ``post_worker_init`` say, that shall not wait for
    the first request.

    Raises:
        ImproperlyConfigured: Another process runs it already, or its port is taken.
    """
    state = _state
    with state.lock:
        if state.service is None:
            if state.refusal is not None:
                raise ImproperlyConfigured(state.refusal)
            try:
                _start_locked(state)
            except ImproperlyConfigured as error:
                state.refusal = str(error)
                raise
        assert state.service is not None
        return state.service.hub


def _start_locked(state: _State) -> None:
    from .service import Service

    settings = get_settings()
    state.name = _take_name(_name_of(settings))
    service = Service(settings)
    try:
        service.start()
    except OSError as error:
        service.stop(timeout=0)
        state.name.close()
        state.name = None
        raise ImproperlyConfigured(
            f"WSSEND: the embedded hub cannot listen: {error}. If `manage.py wssend` "
            "runs, EMBEDDED must be False."
        ) from error
    state.service = service
    atexit.register(stop, EXIT_DRAIN)


def stop(timeout: float = EXIT_DRAIN) -> None:
    """Stop the embedded hub of this process, if it runs."""
    state = _state
    with state.lock:
        service, state.service = state.service, None
        name, state.name = state.name, None
        state.refusal = None
    atexit.unregister(stop)
    if service is not None:
        service.stop(timeout=timeout)
    if name is not None:
        name.close()


def _name_of(settings: Settings) -> bytes:
    """The name for the process that serves at this place."""
    place = settings.unix or f"{settings.host}:{settings.port}"
    if place.endswith(":0"):  # any port: those of one parent are workers
        place = f"{os.getppid()} {os.getcwd()} {django_settings.SETTINGS_MODULE}"
    digest = hashlib.sha256(place.encode()).hexdigest()[:32]
    return b"\0wssend-embedded-%d-%s" % (os.getuid(), digest.encode())


def _take_name(name: bytes) -> socket.socket:
    """Take the name, or say who has it."""
    holder = socket.socket(socket.AF_UNIX)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            holder.bind(name)
            holder.listen(1024)  # nobody accepts; each that looks takes a place
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                holder.close()
                raise ImproperlyConfigured(_taken(name)) from error
            time.sleep(RETRY)
        else:
            return holder


def _taken(name: bytes) -> str:
    return (
        'WSSEND["EMBEDDED"] is for a server of one process, but another process'
        f"{_holder(name)} runs the hub already, and process {os.getpid()} serves "
        "requests, too. With several workers set EMBEDDED to False and SOCKET to a "
        "path, and run the hub as a process of its own: `manage.py wssend`."
    )


def _holder(name: bytes) -> str:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        probe.connect(name)
        size = struct.calcsize("3i")
        peer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return f" (pid {struct.unpack('3i', peer)[0]})"
    return ""


def on_request(sender: type, **_: object) -> None:
    """Start the hub with the first request that a server really serves."""
    if _state.service is None and issubclass(sender, (WSGIHandler, ASGIHandler)):
        start()


def is_served_by_runserver(
    arguments: Sequence[str] = sys.argv, environment: Mapping[str, str] = os.environ
) -> bool:
    """Whether this process is the one in which ``manage.py runserver`` serves.

    >>> is_served_by_runserver(["manage.py", "runserver"], {})
    False
    >>> is_served_by_runserver(["manage.py", "runserver"], {"RUN_MAIN": "true"})
    True
    >>> is_served_by_runserver(["manage.py", "runserver", "--noreload"], {})
    True
    """
    return list(arguments[1:2]) == ["runserver"] and (
        environment.get("RUN_MAIN") == "true" or "--noreload" in arguments
    )
