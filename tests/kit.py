"""What the tests of the Python side share."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from wsclient import TIMEOUT, Client

import wssend

T = TypeVar("T")
HERE = Path(__file__).parent


class Server:
    """A hub that listens, and clients that connect to it.

    Ids are taken from the query parameter ``id``, users from ``user``. With
    ``tls``, a PEM file with certificate and key, all of them speak TLS. With
    WSSEND_TEST_PUMPS in the environment that many pumps serve it, where a test
    does not say how many.
    """

    def __init__(
        self, stack: ExitStack, *, tls: Path | None = None, **options: Any
    ) -> None:
        options.setdefault("pumps", int(os.environ.get("WSSEND_TEST_PUMPS", "1")))
        self.hub = wssend.WSHub(id_query="id", user_query="user", **options)
        stack.enter_context(self.hub)
        self.listener = self.hub.listen("127.0.0.1", 0, tls_cert=tls)
        self.url = self.listener.url
        self._stack = stack

    def dial(self, client_id: str, user: str | None = None, **options: Any) -> Client:
        """Connect a client of that id, and hand out its own end."""
        target = f"/?id={client_id}" + ("" if user is None else f"&user={user}")
        client = Client(self.url, target, **options)
        self._stack.callback(client.close)
        return client

    def connect(
        self, client_id: str = "a", user: str | None = None, **options: Any
    ) -> tuple[wssend.WSClient, Client]:
        """Connect a client, and hand out both ends: the hub's and its own."""
        own = self.dial(client_id, user, **options)
        return there(self.hub.get(client_id)), own

    def stalled(
        self, client_id: str = "a", user: str | None = None
    ) -> tuple[wssend.WSClient, Client]:
        """Connect a client that never reads and whose channel is full."""
        client, own = self.connect(client_id, user, receive_buffer=4096)
        fill(client)
        return client, own


@contextmanager
def serving(**options: Any) -> Iterator[Server]:
    """A Server; all is closed in the end."""
    with ExitStack() as stack:
        yield Server(stack, close_timeout=options.pop("close_timeout", 2), **options)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, each in a PEM file, and both in one."""

    cert: Path
    key: Path
    both: Path


def make_pair(folder: Path, name: str, issuer: Pair | None = None) -> Pair:
    """Make a certificate for localhost, signed by an issuer or by itself."""
    stem = folder / name
    pair = Pair(*(stem.with_suffix(end) for end in (".crt", ".key", ".pem")))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(pair.key), "-out", str(pair.cert)]
    if issuer is not None:
        command += ["-CA", str(issuer.cert), "-CAkey", str(issuer.key)]
    subprocess.run(command, check=True, capture_output=True)
    pair.both.write_bytes(pair.key.read_bytes() + pair.cert.read_bytes())
    return pair


def there(value: T | None) -> T:
    """Show that it is not None."""
    assert value is not None
    return value


def fill(client: wssend.WSClient, size: int = 8192) -> int:
    """Send until the kernel and the channel of a client that does not read are
    full, and stay so. Returns how many messages were accepted."""
    data = bytes(size)
    end = time.monotonic() + TIMEOUT
    accepted = refused = 0
    while refused < 20:
        assert time.monotonic() < end
        try:
            client.send(data)
        except wssend.ChannelFull:
            refused += 1
            time.sleep(0.005)
        else:
            accepted += 1
            refused = 0
    return accepted


def until(condition: Callable[[], T], timeout: float = TIMEOUT) -> T:
    """Wait until something is true, and return what it was."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)


def script(code: str, *args: str) -> list[str]:
    """The command that runs Python code, with warnings as errors."""
    python = [sys.executable, "-X", "faulthandler", "-W", "error"]
    return [*python, "-c", textwrap.dedent(code), *args]


def run_script(
    code: str,
    *args: str,
    timeout: float = 30,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run Python code in a process of its own, and return what it printed.

    It can import what the tests can. It must succeed, without a word on stderr.
    """
    done = subprocess.run(
        script(code, *args),
        cwd=HERE,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    return done.stdout


class Process:
    """Python code in a process of its own that is spoken to by lines."""

    def __init__(self, code: str, *args: str) -> None:
        self._process = subprocess.Popen(
            script(code, *args),
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def read(self) -> str:
        """The next line that it prints; empty at the end."""
        return there(self._process.stdout).readline().rstrip("\n")

    def write(self, line: str) -> None:
        """Send it a line."""
        stdin = there(self._process.stdin)
        stdin.write(line + "\n")
        stdin.flush()

    def end(self, timeout: float = TIMEOUT, logged: str = "") -> str:
        """Wait for its end, which must be a success, and return what it printed.

        Each line on stderr must match the pattern.
        """
        out, err = self._process.communicate(timeout=timeout)
        others = [line for line in err.splitlines() if not re.fullmatch(logged, line)]
        assert (self._process.returncode, others) == (0, []), err
        return out

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Background(threading.Thread):
    """A thread whose result, or exception, is that of :meth:`result`."""

    def __init__(self, job: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._job = job
        self._value: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Do the job."""
        try:
            self._value = self._job()
        except BaseException as error:
            self._error = error

    def result(self, timeout: float = TIMEOUT) -> Any:
        """Wait for the end of the job."""
        self.join(timeout)
        assert not self.is_alive(), "the thread did not end"
        if self._error is not None:
            raise self._error
        return self._value
