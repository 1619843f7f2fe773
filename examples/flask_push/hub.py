"""The hub of this example: the process that has the browsers' connections.

It lets in who brings a ticket of the application, and sends what the application's
workers push. It knows nothing of Flask.
"""

from __future__ import annotations

import contextlib
import os
import signal

import wssend
from wssend.auth import Tickets, ticket_authorizer

SOCKET = os.environ.get("HUB_SOCKET", "unix:/tmp/flask_push.sock")
PORT = int(os.environ.get("HUB_PORT", "8765"))
SECRET = os.environ["SECRET"]  # the application's


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    decide = ticket_authorizer(Tickets(SECRET), topics=["news"], close_code=4401)
    with wssend.WSHub(authorize=True) as hub, wssend.expose(hub, SOCKET):
        print("hub at", hub.listen("127.0.0.1", PORT).url, flush=True)
        for event in hub.events():
            if isinstance(event, wssend.Authorize):
                event.handshake.decide(decide(event.handshake))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
