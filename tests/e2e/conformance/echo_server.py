"""The server that the Autobahn test suite examines: it sends back what it gets.

It prints its address and serves until it is interrupted. It uses the public
interface alone, as any application would.
"""

from __future__ import annotations

import inspect
import signal
from typing import Any

import wssend

LARGEST = 16 << 20  # bytes; the suite's largest message
PATIENCE = 60.0  # seconds for a client that does not read its echoes


def make_hub() -> wssend.WSHub:
    """Make a hub with room for all that the suite sends at once."""
    options: dict[str, Any] = {
        "max_message_size": LARGEST,
        "max_events": 10000,
        "max_event_bytes": 4 * LARGEST,
        "send_queue": 10000,
        "send_queue_bytes": 4 * LARGEST,
        "ping_interval": None,  # the suite counts the frames that it gets
    }
    if "compression" in inspect.signature(wssend.WSHub).parameters:
        options["compression"] = "deflate"
    return wssend.WSHub(**options)


def echo(message: wssend.Message) -> None:
    """Send a message back, if need be when there is room again."""
    try:
        try:
            message.client.send(message.data)
        except wssend.ChannelFull:
            message.client.flush(PATIENCE)
            message.client.send(message.data)
    except wssend.ChannelClosed:
        pass  # it has gone, or broke a rule


def main() -> None:
    """Serve until interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with make_hub() as hub:
        events = hub.events()
        print(hub.listen("127.0.0.1", 0).url, flush=True)
        try:
            for event in events:
                if isinstance(event, wssend.Message):
                    echo(event)
        except KeyboardInterrupt:
            hub.close(timeout=1)


if __name__ == "__main__":
    main()
