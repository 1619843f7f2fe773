"""Where a hub is reached: ``unix:`` and the path of a socket file."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

__all__ = ["Place", "path_of"]

LONGEST = 107  # bytes, of a sockaddr_un
BACKLOG = 1024


def path_of(address: str) -> str:
    """Take the path out of an address.

    Raises:
        TypeError: It is no str.
        ValueError: It is not ``unix:`` and an absolute path of at most 107 bytes.

    >>> path_of("unix:/run/app/wssend.sock")
    '/run/app/wssend.sock'
    """
    if not isinstance(address, str):
        raise TypeError(f"address must be a str, not {address!r}")
    scheme, _, path = address.partition(":")
    if scheme != "unix" or not path.startswith("/") or "\0" in path:
        raise ValueError(
            "address must be 'unix:' and an absolute path, as in "
            f"'unix:/run/app/wssend.sock', the only kind there is, not {address!r}"
        )
    size = len(os.fsencode(path))
    if size > LONGEST:
        raise ValueError(
            f"address must have a path of at most {LONGEST} bytes, which is what a "
            f"unix socket can have, not {size}: {address!r}"
        )
    return path


class Place:
    """A socket that listens at a path, and the file there.

    Args:
        path: Where. A socket file that nobody listens on any more is replaced.
        mode: The permissions of the file; it never has more, from its first moment.

    Raises:
        OSError: It cannot be had; the path is named, errno tells why.

    Attributes:
        socket: It listens, and does not block.
    """

    def __init__(self, path: str, mode: int) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.setblocking(False)
            os.fchmod(self.socket.fileno(), mode)
            self._bind()
            try:
                os.chmod(path, mode)  # up to here, what the umask left of it
                self.socket.listen(BACKLOG)
                self._file = os.lstat(path)
            except OSError:
                os.unlink(path)
                raise
        except OSError as error:
            self.socket.close()
            why = f"cannot listen: {error.strerror}"
            raise OSError(error.errno, why, path) from None

    def _bind(self) -> None:
        try:
            self.socket.bind(self.path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not is_stale(self.path):
                raise
            os.unlink(self.path)
            self.socket.bind(self.path)

    def leave(self) -> None:
        """Close the socket, and remove the file if it is still this socket's."""
        self.socket.close()
        with suppress(OSError):
            file = os.lstat(self.path)
            if (file.st_dev, file.st_ino) == (self._file.st_dev, self._file.st_ino):
                os.unlink(self.path)


def is_stale(path: str) -> bool:
    """Whether a server that is gone has left that socket file."""
    with suppress(OSError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            return probe.connect_ex(path) == errno.ECONNREFUSED
    return False
