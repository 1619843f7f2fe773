"""Logging out closes connections; ``WSSEND["LOGOUT"]`` says which.

``"user"``: all of that user, on every device, with 4401; their pages do not come back.
``"session"``: they are closed with 1012, and their pages come back, except those of the
session that has ended: it is refused with 4401.

Django tells of a logout before the session is deleted. The connections are closed when
the request has ended, and its transaction with it: a page that comes back meanwhile
would otherwise be let in by the session that is about to go.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from django.contrib.auth.signals import user_logged_out
from django.core.signals import request_finished, request_started

import wssend

from .conf import get_settings
from .push import close_user

__all__ = ["connect"]

logger: Final = logging.getLogger("wssend.django")

# What is to be closed when the request of this context ends; None outside of one.
_leaving: ContextVar[list[Any] | None] = ContextVar("wssend_leaving", default=None)


def connect() -> None:
    """Listen to Django's signals."""
    for signal, function in (
        (request_started, _begin),
        (request_finished, _finish),
        (user_logged_out, _note),
    ):
        signal.connect(
            function, dispatch_uid=f"wssend.django.logout.{function.__name__}"
        )


def _begin(**_: object) -> None:
    _leaving.set([])


def _finish(**_: object) -> None:
    leaving = _leaving.get()
    _leaving.set(None)
    for user in leaving or ():
        _close(user)


def _note(user: Any, **_: object) -> None:
    if user is None or user.pk is None or get_settings().logout is None:
        return
    leaving = _leaving.get()
    if leaving is None:
        _close(user.pk)
    else:
        leaving.append(user.pk)  # the list is shared by the copies of the context


def _close(key: Any) -> None:
    """Close a user's connections; a logout succeeds without the hub, too."""
    close = partial(close_user, key, 4401, "logged out")
    if get_settings().logout == "session":
        close = partial(close_user, key, 1012, "a session has ended")
    try:
        close()
    except wssend.WSSendError as error:
        logger.warning("the connections of user %s stay after a logout: %s", key, error)
