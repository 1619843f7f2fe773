"""Push WebSocket messages from Django.

Add ``"wssend.django"`` to ``INSTALLED_APPS`` and a ``WSSEND`` dict to the settings, run
``manage.py wssend`` beside the application's workers, and push from anywhere: views,
signals, Celery tasks, management commands::

    from wssend.django import send_to_user

    send_to_user(request.user, {"unread": 3})

Nothing here waits for a client, or for the hub.
"""

from .hubs import get_hub, override_hub
from .inbound import Message, connected, disconnected, message_received, receiver
from .push import broadcast, close_user, publish, send_to_user

__all__ = [
    "Message",
    "broadcast",
    "close_user",
    "connected",
    "disconnected",
    "get_hub",
    "message_received",
    "override_hub",
    "publish",
    "receiver",
    "send_to_user",
]
