"""What a remote hub tells of its link, and of clients that are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LinkStats", "LostCall", "LostMessages", "RemoteClient"]


@dataclass(frozen=True, slots=True)
class RemoteClient:
    """A client of a hub in another process, as a report names it.

    Attributes:
        id: Its id: what ``send`` and ``exclude`` take.
        user: Its user, or None.
    """

    id: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class LostCall:
    """A call that was accepted, and of which nobody knows whether it was done.

    Attributes:
        method: ``"send"``, ``"publish"`` and so on.
        target: The id, user or topic; None for a broadcast.
        size: The payload, in bytes. It is not kept.
    """

    method: str
    target: str | None
    size: int


@dataclass(frozen=True, slots=True)
class LostMessages:
    """Calls that were accepted and then not confirmed.

    Its text sums it up.

    Attributes:
        calls: Which, in their order.
        reason: What happened, and whether they were sent.
    """

    calls: tuple[LostCall, ...]
    reason: str

    @property
    def count(self) -> int:
        """How many."""
        return len(self.calls)

    @property
    def size(self) -> int:
        """Their payload, in bytes."""
        return sum(call.size for call in self.calls)

    def __str__(self) -> str:
        s = "" if self.count == 1 else "s"
        return f"{self.count} message{s}, {self.size} bytes, lost: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStats:
    """The link of a remote hub, read at one moment.

    At every moment::

        accepted = confirmed + queued + in_flight + lost

    Attributes:
        connected: Whether there is a connection now.
        accepted: Calls that the link has taken.
        confirmed: Calls of those that the hub has carried out.
        refused: Calls of the confirmed that the hub, or a client, refused: those
            that would have raised, or whose report would have been false.
        queued: Calls that are not yet on their way.
        queued_bytes: Their payload, in bytes.
        in_flight: Calls that are on their way: written in part or whole, and not
            confirmed.
        in_flight_bytes: Their payload, in bytes.
        lost: Calls that were in flight at a break, too old when a link that was
            down came back, left over at a close, or given up by a caller that
            waited.
        refused_full: Calls that were refused because the link was full.
        refused_down: Calls that were refused because it was down.
        refused_too_large: Calls that were refused because they could never fit.
        oldest_age: Seconds that the oldest call has not been confirmed for; 0.0
            when there is none.
        connects: Connections made.
        breaks: Connections that ended by themselves.
        failure: Why the last attempt to connect failed; None when it did not.
    """

    connected: bool
    accepted: int
    confirmed: int
    refused: int
    queued: int
    queued_bytes: int
    in_flight: int
    in_flight_bytes: int
    lost: int
    refused_full: int
    refused_down: int
    refused_too_large: int
    oldest_age: float
    connects: int
    breaks: int
    failure: str | None

    @property
    def unconfirmed(self) -> int:
        """Calls that are queued or in flight."""
        return self.queued + self.in_flight
