"""What became of a message to many clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ._core import WSClient
    from .remote import RemoteClient

    ClientT = TypeVar(
        "ClientT", bound=WSClient | RemoteClient, default=WSClient, covariant=True
    )
else:
    from typing import TypeVar

    ClientT = TypeVar("ClientT", covariant=True)

__all__ = ["SendReport"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SendReport(Generic[ClientT]):
    """What became of a message to many clients, exactly.

    It is true when every client that was tried has it queued, also when there
    was none to try. It is no tuple, so nobody unpacks it in the wrong order.

    Attributes:
        queued: Clients whose channel took the message.
        full: Exactly the clients that refused it because their channel was
            full: WSClients, or RemoteClients where the hub is in another process.
        closed: Clients that began to close while the call was under way.
        failed: Clients that refused it for another reason: out of memory.

    >>> report = SendReport(queued=3)
    >>> report
    SendReport(queued=3, full=(), closed=0, failed=0)
    >>> bool(report), report.tried
    (True, 3)
    """

    queued: int = 0
    full: tuple[ClientT, ...] = ()
    closed: int = 0
    failed: int = 0

    @property
    def full_ids(self) -> tuple[str, ...]:
        """The ids of the clients in ``full``, in the same order."""
        return tuple(client.id for client in self.full)

    @property
    def tried(self) -> int:
        """Clients that the message was meant for, the excluded left out."""
        return self.queued + len(self.full) + self.closed + self.failed

    def __bool__(self) -> bool:
        return not (self.full or self.closed or self.failed)

    def __repr__(self) -> str:
        return (
            f"SendReport(queued={self.queued}, full={self.full_ids}, "
            f"closed={self.closed}, failed={self.failed})"
        )
