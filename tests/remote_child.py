"""What test_remote_link.py has a child of multiprocessing do."""

from __future__ import annotations

import wssend


def push(address: str) -> None:
    """Send, and end at once."""
    remote = wssend.connect(address)
    for number in range(200):
        remote.send("a", str(number))
