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
from functools import partial
from typing import Any, Final

from django.contrib.auth.signals import user_logged_out

import wssend

from .conf import get_settings
from .push import close_user

__all__ = ["connect"]

logger: Final = logging.getLogger("wssend.django")


def connect() -> None:
    """Listen to Django's signal."""
    user_logged_out.connect(_note, dispatch_uid="wssend.django.logout")


def _note(user: Any, request: Any = None, **_: object) -> None:
    if user is None or user.pk is None or get_settings().logout is None:
        return
    request = getattr(request, "_request", request)  # that of REST framework
    if getattr(request, "resolver_match", None) is None:
        _close(user.pk)  # no handler has the request, or it has not got to a view
        return
    close = request.close  # what Django calls at the response's end

    def close_both() -> None:
        close()
        _close(user.pk)

    request.close = close_both


def _close(key: Any) -> None:
    """Close a user's connections; a logout succeeds without the hub, too."""
    close = partial(close_user, key, 4401, "logged out")
    if get_settings().logout == "session":
        close = partial(close_user, key, 1012, "a session has ended")
    try:
        close()
    except wssend.WSSendError as error:
        logger.warning("the connections of user %s stay after a logout: %s", key, error)
