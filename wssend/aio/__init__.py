"""wssend in asyncio: a task for each client, and sends that never wait.

::

    async def handler(client):
        async for message in client:
            client.send(message)

    async def main():
        async with wssend.aio.serve(handler, "127.0.0.1", 8765) as server:
            await server.serve_forever()

:func:`serve` runs a hub whose events one event loop takes. The hub is the same
as elsewhere: all of it may be used from any thread, and other loops and threads
may send to its clients. :func:`events` is the plain stream of events.
"""

from .client import Client
from .server import Server, serve
from .stream import EventStream, events

__all__ = ["Client", "EventStream", "Server", "events", "serve"]
