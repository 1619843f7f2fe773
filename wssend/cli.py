"""The command ``wssend``.

``wssend serve`` runs a hub that pushes each line of its standard input to every
client, and a page in which a person sees them arrive::

    tail -f /var/log/syslog | wssend serve

``wssend serve --demo`` adds a small server that answers the page, so that one
can send, publish, and watch a slow client being refused.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn, TypeAlias, TypeVar

import wssend
from wssend.demo import Demo, build_page

__all__ = ["main"]

DEFAULT_PORT: Final = 8765
READ_SIZE: Final = 65536  # bytes of standard input taken at once
STOP: Final = b"\0"  # what signals become
RELOAD: Final = b"\1"

Number = TypeVar("Number", int, float)
Handler: TypeAlias = Callable[[int, FrameType | None], None] | signal.Handlers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; by default ``sys.argv[1:]``.

    Returns:
        The exit status: 0 after a drain, 1 when it cannot serve.

    Raises:
        SystemExit: With 0 after ``--help`` and ``--version``, with 2 when the
            arguments make no sense.
    """
    options = build_parser().parse_args(arguments)
    try:
        return serve(options)
    except OSError as error:
        return fail(reason_of(error))


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = Parser(prog="wssend", description="Push messages to WebSocket clients.")
    parser.add_argument(
        "--version", action="version", version=f"wssend {wssend.__version__}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_serve(commands.add_parser("serve", help="run a hub and a page that shows it"))
    return parser


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``wssend serve``."""
    parser.description = (
        "Serve WebSocket clients, and a page that shows what arrives. Each line of "
        "standard input is sent to every client. SIGINT (Ctrl-C) and SIGTERM close "
        "the clients with 1001, once what is queued for them has been written. "
        "SIGHUP reads the TLS files again."
    )
    add = parser.add_argument
    add(
        "--demo",
        action="store_true",
        help="a page that can send, publish and be slow, and a live table of clients",
    )
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--port",
        type=number(int, 0, 65535),
        default=DEFAULT_PORT,
        help="port to listen on, 0 for any free one (%(default)s)",
    )
    add("--unix", metavar="PATH", help="listen on a unix socket instead")
    add(
        "--control",
        metavar="unix:PATH",
        help="let other processes of this host send, by way of "
        "wssend.connect('unix:PATH'): whoever may write to that socket file",
    )
    add("--path", type=path, help="the only path that takes WebSockets (any)")
    add(
        "--tls-cert",
        metavar="FILE",
        help="speak TLS, with the certificate and its chain in this PEM file",
    )
    add(
        "--tls-key",
        metavar="FILE",
        help="the file of the certificate's private key (the same file)",
    )
    add(
        "--tls-client-ca",
        metavar="FILE",
        help="let in only clients with a certificate of an authority in this PEM file",
    )
    add(
        "--id-query",
        metavar="NAME",
        help="the query parameter by which a client chooses its id: for trusted "
        "networks (--demo: id; otherwise ids are generated)",
    )
    add(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="a web page's origin that may connect, as in https://example.com; may "
        "be repeated (the pages of the same host, and clients that are no browsers)",
    )
    add(
        "--send-queue",
        type=number(int, 1, 1 << 20),
        default=256,
        metavar="N",
        help="messages that may wait for one client (%(default)s)",
    )
    add(
        "--send-queue-bytes",
        type=number(int, 1, 1 << 40),
        default=1 << 20,
        metavar="N",
        help="bytes that may wait for one client (%(default)s)",
    )
    add(
        "--max-clients",
        type=number(int, 1, 1 << 31),
        metavar="N",
        help="clients at once; more are answered 503 (no limit)",
    )
    add(
        "--pumps",
        type=number(int, 1, 64),
        default=1,
        metavar="N",
        help="threads that serve the clients (%(default)s)",
    )
    add(
        "--ping-interval",
        type=number(float, 0, 86400),
        default=20.0,
        metavar="SECONDS",
        help="time between pings, 0 for none (%(default)s)",
    )
    add(
        "--ping-timeout",
        type=number(float, 0, 86400),
        default=20.0,
        metavar="SECONDS",
        help="time a client has to answer, 0 for ever (%(default)s)",
    )
    add(
        "--drain",
        type=number(float, 0, 3600),
        default=5.0,
        metavar="SECONDS",
        help="time for what is queued when the server stops (%(default)s)",
    )


def serve(options: argparse.Namespace) -> int:
    """Run a hub until a signal comes; 0, or why not on stderr."""
    with ExitStack() as stack:
        signals = stack.enter_context(signals_of(reload=options.tls_cert is not None))
        try:
            hub = stack.enter_context(make_hub(options))
            send: Callable[[str], wssend.SendReport] = hub.broadcast
            if options.demo:
                send = start_demo(hub, options).say
            listener = listen(hub, options)
            if options.control is not None:
                stack.enter_context(wssend.expose(hub, options.control))
        except ValueError as error:
            return fail(str(error), status=2)
        announce(listener, options)
        lines = Lines(send, longest=options.send_queue_bytes)
        run(lines, signals, listener)
        hub.close(1001, "the server stops", timeout=options.drain)
    if lines.refused:
        warn(f"of {lines.sent} lines, slow clients missed {lines.refused}")
    return 0


def make_hub(options: argparse.Namespace) -> wssend.WSHub:
    """Make the hub that the options ask for, with its page."""
    id_query = options.id_query
    if id_query is None and options.demo:
        id_query = "id"
    hub = wssend.WSHub(
        send_queue=options.send_queue,
        send_queue_bytes=options.send_queue_bytes,
        max_clients=options.max_clients,
        ping_interval=options.ping_interval or None,
        ping_timeout=options.ping_timeout or None,
        origins=options.origin or ["same-host", ""],
        id_query=id_query,
        pumps=options.pumps,
    )
    page = build_page(path=options.path or "/", id_query=id_query, demo=options.demo)
    hub.add_page("/", "text/html; charset=utf-8", page)
    return hub


def start_demo(hub: wssend.WSHub, options: argparse.Namespace) -> Demo:
    """Let the demo serve the hub."""
    demo = Demo(
        hub,
        send_queue=options.send_queue,
        send_queue_bytes=options.send_queue_bytes,
    )
    demo.start()
    return demo


def listen(hub: wssend.WSHub, options: argparse.Namespace) -> wssend.Listener:
    """Open the listener that the options ask for."""
    tls = {
        name: getattr(options, name)
        for name in ("tls_cert", "tls_key", "tls_client_ca")
    }
    if tls["tls_cert"] is None and any(tls.values()):
        raise ValueError("--tls-key and --tls-client-ca need --tls-cert")
    if options.unix is not None:
        return hub.listen(unix=options.unix, path=options.path, **tls)
    return hub.listen(options.host, options.port, path=options.path, **tls)


def announce(listener: wssend.Listener, options: argparse.Namespace) -> None:
    """Say where the hub listens: one line first, then hints."""
    if options.unix is not None:
        lines = [f"wssend: serving on unix socket {options.unix} (Ctrl-C stops)"]
    else:
        host = f"[{options.host}]" if ":" in options.host else options.host
        if options.host in ("", "0.0.0.0", "::"):
            host = "localhost"
        at = f"{host}:{listener.port}"
        s = "s" if options.tls_cert is not None else ""
        socket_url = f"ws{s}://{at}{options.path or '/'}"
        lines = [f"wssend: http{s}://{at}/ (WebSocket {socket_url}, Ctrl-C stops)"]
        if options.demo:
            lines += [
                "Open the page, and a second tab of it. To push by hand, type a line "
                "here, or in Python:",
                "    from websockets.sync.client import connect",
                f'    with connect("{socket_url}") as me:',
                """        me.send('{"do": "broadcast", "text": "hello"}')""",
            ]
    print("\n".join(lines), flush=True)
    if options.demo and options.unix is None and not is_loopback(options.host):
        warn("whoever reaches this port can send to every client")


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that host; a guess for names."""
    return host in ("localhost", "::1") or host.startswith("127.")


class Lines:
    """Takes standard input apart into lines and sends each to all clients.

    Args:
        send: Sends one line.
        longest: Bytes; a longer line is left out, with a warning.

    Attributes:
        sent: Lines sent.
        refused: Clients that had no room, summed over the lines.
    """

    def __init__(
        self, send: Callable[[str], wssend.SendReport], *, longest: int
    ) -> None:
        self.sent = 0
        self.refused = 0
        self._send = send
        self._longest = longest
        self._rest = b""  # of a line that is not complete yet
        self._skipping = False  # the rest of a line that is too long

    def feed(self, data: bytes) -> None:
        """Send the lines that are complete, and at the end (b"") the last."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if not data:
            lines, self._rest = [self._rest], b""
        for line in lines:
            if not self._skipping:
                self._send_line(line.rstrip(b"\r"))
            self._skipping = False
        if len(self._rest) > self._longest:
            if not self._skipping:
                self._leave_out()
            self._rest, self._skipping = b"", True

    def _send_line(self, line: bytes) -> None:
        if not line:
            return
        try:
            report = self._send(line.decode("utf-8", "replace"))
        except wssend.MessageTooLarge:
            self._leave_out()
        else:
            self.sent += 1
            self.refused += len(report.full)

    def _leave_out(self) -> None:
        warn(f"a line is left out: more than {self._longest} bytes")


def run(lines: Lines, signals: socket.socket, listener: wssend.Listener) -> None:
    """Send what comes from standard input until a signal says to stop."""
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    source = -1
    if sys.stdin is not None:  # closed: another file may have its number
        source = sys.stdin.fileno()
        poll.register(source, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if signals.fileno() in ready:
            if STOP in signals.recv(64):
                return
            reload(listener)
        if source not in ready:
            continue
        try:
            data = os.read(source, READ_SIZE)
        except OSError:  # a terminal that belongs to another process
            data = b""
        lines.feed(data)
        if not data:
            poll.unregister(source)


def reload(listener: wssend.Listener) -> None:
    """Read the TLS files again; if they are wrong, go on with what there is."""
    try:
        listener.reload_tls()
    except OSError as error:
        warn(f"TLS stays as it is: {reason_of(error)}")
    except ValueError as error:
        warn(f"TLS stays as it is: {error}")
    else:
        print("wssend: the TLS files were read again", flush=True)


@contextmanager
def signals_of(*, reload: bool) -> Iterator[socket.socket]:
    """Turn signals into bytes to be read from a socket.

    SIGINT and SIGTERM are STOP; the second one ends the process at once. SIGHUP is
    RELOAD, where that is wanted. SIGTTIN is ignored: a server in the background does
    without the terminal.
    """
    with ExitStack() as stack:
        reader, writer = socket.socketpair()
        stack.enter_context(reader)
        stack.enter_context(writer)
        writer.setblocking(False)

        def note(number: int, frame: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)
            with suppress(OSError):
                writer.send(STOP)

        def note_reload(number: int, frame: FrameType | None) -> None:
            with suppress(OSError):
                writer.send(RELOAD)

        wanted: dict[signal.Signals, Handler] = {
            signal.SIGINT: note,
            signal.SIGTERM: note,
            signal.SIGTTIN: signal.SIG_IGN,
        }
        if reload:
            wanted[signal.SIGHUP] = note_reload
        for number, handler in wanted.items():
            stack.callback(signal.signal, number, signal.getsignal(number))
            signal.signal(number, handler)
        yield reader


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def number(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    """Make a converter for numbers of a range."""

    def convert(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"must be a number from {least} to {most}, not {text!r}"
            )
        return value

    return convert


def path(text: str) -> str:
    """Convert a path."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"must begin with a slash, not be {text!r}")
    return text


def reason_of(error: OSError) -> str:
    """What an error of the system's says, with the file that it is about."""
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"


def fail(text: str, status: int = 1) -> int:
    """Say what went wrong, on one line of stderr."""
    print(f"wssend: error: {text}".replace("\n", " "), file=sys.stderr)
    return status


def warn(text: str) -> None:
    """Say on stderr what a person should know."""
    print(f"wssend: warning: {text}", file=sys.stderr)
