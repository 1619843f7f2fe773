"""For the tests of applications: clients of a real hub, without sockets.

:func:`connect` has a client join a :class:`wssend.WSHub`, whether that listens
or not, and returns the client's own end. All that the application sees is real:
the :class:`wssend.WSClient`, its channel with the hub's limits and counters,
topics, users, broadcasts, :exc:`wssend.ChannelFull`, events.

>>> import wssend, wssend.testing
>>> with wssend.WSHub(send_queue=2) as hub:
...     with wssend.testing.connect(hub, user="42") as phone:
...         report = hub.send_to_user("42", '{"unread": 3}')
...         message = phone.expect({"unread": 3})
...         phone.stall()  # it does not read any more
...         for i in range(2):
...             phone.client.send(f"message {i}")
...         try:
...             phone.client.send("one too many")
...         except wssend.ChannelFull:
...             print("full")
full

There is no thread behind it. Whoever sends to a client that is not stalled
hands the message over to its end before ``send()`` returns, so with one sender
such a client is never full, however small ``send_queue`` is, and what was sent
can be looked at, at once. Several threads that send to one client at the same
moment can find it full, as they can any client, if its channel has fewer places
than there are threads.

What is not there: sockets, HTTP, TLS, compression, pings, and deadlines
(``open_timeout``, ``close_timeout``); a handshake is not authorised. For these
use a hub that listens, and a real client.
"""

from __future__ import annotations

from ._client import MemoryClient, connect

__all__ = ["MemoryClient", "connect"]
