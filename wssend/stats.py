"""What :meth:`wssend.WSClient.stats` and :meth:`wssend.WSHub.stats` return.

For each client, and for all clients of a hub together, at every moment::

    accepted  = written + queued + dropped + lost
    attempted = accepted + refused_full + refused_closed
                         + refused_too_large + refused_nomem

"Written" means that the kernel took the last byte of a message. Whether the
client received it is known only to the client.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientStats", "HubStats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats:
    """One client, read at one moment.

    Attributes:
        accepted: Messages that its channel has taken.
        written: Messages of those that the kernel has taken whole.
        written_bytes: The payload of the written messages, in bytes.
        dropped: Messages that a policy has dropped; always 0 so far.
        lost: Messages that were queued when the connection ended.
        refused_full: Messages refused because the channel was full.
        refused_closed: Messages refused because it was closed.
        refused_too_large: Messages refused because they could never fit.
        refused_nomem: Messages refused because memory ran out.
        queued: Messages in the channel now, those being written included.
        queued_bytes: Their payload, in bytes.
        oldest_age: Seconds that the oldest of them has waited; 0.0 when
            nothing is queued. It is some milliseconds coarse.
        age: Seconds since the client connected.
        rtt: Seconds from the last answered ping to its pong; None before the
            first.
        received: Messages that came from the client.
        received_bytes: Their payload, in bytes.
        received_dropped: Messages of those that were dropped because nobody
            takes events.
    """

    accepted: int
    written: int
    written_bytes: int
    dropped: int
    lost: int
    refused_full: int
    refused_closed: int
    refused_too_large: int
    refused_nomem: int
    queued: int
    queued_bytes: int
    oldest_age: float
    age: float
    rtt: float | None
    received: int
    received_bytes: int
    received_dropped: int

    @property
    def attempted(self) -> int:
        """Messages that were sent to the client, accepted or not."""
        return (
            self.accepted
            + self.refused_full
            + self.refused_closed
            + self.refused_too_large
            + self.refused_nomem
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubStats:
    """A hub and all clients that it ever had.

    The counts of messages obey the laws above in each snapshot, those of the
    connections are read one after the other.

    Attributes:
        clients: Open clients now.
        closing: Clients that are closing now.
        joined: Clients that have ever connected.
        topics: Topics that have a subscriber now.
        users: Users that have a connection now.
        handshakes: Handshakes that wait for a decision now.
        accepted: Messages that channels have taken, one for each client.
        written: Messages of those that the kernel has taken whole.
        written_bytes: The payload of the written messages, in bytes.
        dropped: Messages that a policy has dropped; always 0 so far.
        lost: Messages that were queued when their connection ended.
        refused_full: Messages refused because the channel was full.
        refused_closed: Messages refused because it was closed.
        refused_too_large: Messages refused because they could never fit.
        refused_nomem: Messages refused because memory ran out.
        queued: Messages in all channels now, those being written included.
        queued_bytes: Their payload, in bytes.
        events: Inbound messages that wait now to be taken as events.
        event_bytes: Their payload, in bytes.
        events_total: Inbound messages that were ever queued as events.
        events_dropped: Inbound messages that were dropped because nobody takes
            events.
        received: Inbound messages, whole.
        received_bytes: Their payload, in bytes.
        pumps: Connections that each pump has now, clients or not.
        accepted_connections: Connections taken from the listeners.
        refused_handshakes: Requests answered with an error, or, where the
            application has rejected them so, with a close code.
        failed_handshakes: Connections that ended before they were answered.
        served_pages: Plain HTTP pages served.
        pings: Pings sent.
        pongs: Pongs received.
        timeouts: Connections cut because a deadline had passed.
        turns: Turns of the pumps' loops.
        writes: System calls that wrote to a client.
        short_writes: Those of them of which the kernel took only a part.
        wire_bytes: Bytes that the kernel took for all connections: messages with
            their frame headers, compressed where they are, and everything else.
        compressed: How often a message was compressed: once for all the clients
            that it goes to, but for those that have asked for a smaller window
            than it needs.
    """

    clients: int
    closing: int
    joined: int
    topics: int
    users: int
    handshakes: int
    accepted: int
    written: int
    written_bytes: int
    dropped: int
    lost: int
    refused_full: int
    refused_closed: int
    refused_too_large: int
    refused_nomem: int
    queued: int
    queued_bytes: int
    events: int
    event_bytes: int
    events_total: int
    events_dropped: int
    received: int
    received_bytes: int
    pumps: tuple[int, ...]
    accepted_connections: int
    refused_handshakes: int
    failed_handshakes: int
    served_pages: int
    pings: int
    pongs: int
    timeouts: int
    turns: int
    writes: int
    short_writes: int
    wire_bytes: int
    compressed: int

    @property
    def attempted(self) -> int:
        """Messages that were sent to clients, accepted or not."""
        return (
            self.accepted
            + self.refused_full
            + self.refused_closed
            + self.refused_too_large
            + self.refused_nomem
        )
