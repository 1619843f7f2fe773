"""socketify, which is uWebSockets: publish() to a topic, send() to one.

What it has not written yet waits in its own buffers, up to max_backpressure; publish()
does not tell who was left out for that.

As documented, app.run() runs asyncio and looks at libuv in between, all the time, for
the two are loops of their own. With --loop uv nothing but libuv runs: that is how
uWebSockets is meant to be run, but leaves a program without asyncio.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import select
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import protocol
from socketify import (
    App,
    AppListenOptions,
    CompressOptions,
    OpCode,
    Request,
    Response,
    SendStatus,
    WebSocket,
)

TOPIC = "all"
STDIN_MS = 10  # how often libuv's loop looks at stdin

Resume = Callable[[object], None]


class Server(protocol.CallServer[WebSocket]):
    """A topic that every client is subscribed to."""

    def __init__(self, queue: int, waits: protocol.Waits, app: App) -> None:
        super().__init__(queue, waits)
        self.app = app
        self.by_number: dict[int, WebSocket] = {}
        self.came = 0

    def start(self, port: int) -> int:
        """Accept clients from now on; the port."""
        ports: list[int] = []
        behaviour = {
            "compression": CompressOptions.DISABLED,
            "max_backpressure": self.limit,
            "idle_timeout": 0,
            "upgrade": self.upgrade,
            "open": self.open,
            "message": self.take,
            "close": self.close,
        }
        self.app.ws("/*", behaviour)
        where = AppListenOptions(port=port, host="127.0.0.1")
        self.app.listen(where, lambda config: ports.append(config.port))
        return ports[0]

    async def listen(self, port: int) -> int:
        return self.start(port)

    def upgrade(self, response: Response, request: Request, context: object) -> None:
        self.came += 1
        names = ("key", "protocol", "extensions")
        values = [request.get_header(f"sec-websocket-{name}") for name in names]
        response.upgrade(*values, context, self.came)

    def open(self, websocket: WebSocket) -> None:
        websocket.subscribe(TOPIC)
        client = websocket.clone()  # the other is the library's, for this call
        self.by_number[websocket.get_user_data()] = client
        self.clients[client] = None

    def take(self, websocket: WebSocket, message: bytes, opcode: OpCode) -> None:
        self.acks.take(message)

    def close(self, websocket: WebSocket, code: int, message: object) -> None:
        del self.clients[self.by_number.pop(websocket.get_user_data())]

    def broadcast(self, data: bytes) -> None:
        self.app.publish(TOPIC, data, OpCode.BINARY)

    def send(self, client: WebSocket, data: bytes) -> bool:
        return bool(client.send(data, OpCode.BINARY) != SendStatus.DROPPED)


def run_documented(options: argparse.Namespace) -> None:
    """asyncio and libuv, as app.run() does it."""
    app = App()
    loop = app.loop.loop
    server = Server(options.queue, protocol.AsyncioWaits(), app)
    # The loop holds tasks by weak references only.
    serving = loop.create_task(protocol.serve(server, options.port))
    app.run()
    serving.result()


@types.coroutine
def suspended(
    register: Callable[[Resume], None],
) -> Generator[Callable[[Resume], None], Any, Any]:
    """Give a task up, until what `register` is given is called."""
    return (yield register)


class Task:
    """Runs a coroutine as far as it goes, and on whenever it is resumed."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, protocol.Answer],
        done: Callable[[protocol.Answer], None],
    ) -> None:
        self._coroutine = coroutine
        self._done = done
        self._step(None)

    def _step(self, value: object) -> None:
        try:
            register = self._coroutine.send(value)
        except StopIteration as end:
            self._done(end.value)
        else:
            register(self._step)


class UvWaits(protocol.Waits):
    """On libuv's loop: a timer ends each wait, if not tell()."""

    def __init__(self, app: App) -> None:
        self._uv = app.loop.uv_loop
        self._resume: Resume | None = None
        self._timer: Any = None

    async def sleep(self, seconds: float) -> None:
        await suspended(lambda resume: self._wait(resume, seconds))
        self._timer.stop()

    async def news(self, seconds: float) -> bool:
        def register(resume: Resume) -> None:
            self._resume = resume
            self._wait(lambda _: resume(False), seconds)

        told = await suspended(register)
        self._resume = None
        self._timer.stop()
        return bool(told)

    def tell(self) -> None:
        if self._resume is not None:
            self._resume(True)

    def _wait(self, resume: Resume, seconds: float) -> None:
        milliseconds = math.ceil(seconds * 1e3)
        self._timer = self._uv.create_timer(milliseconds, 0, resume, None)


class Stdin:
    """Whole lines, without waiting; its end is the end of the process."""

    def __init__(self, jobs: protocol.Jobs) -> None:
        self._jobs = jobs
        self._unread = b""
        self._busy = False

    def look(self, _: object) -> None:
        """Begin what is asked for, if nothing else is going on."""
        if select.select([0], [], [], 0)[0]:
            data = os.read(0, 65536)
            self._unread += data
            if not data or b"quit\n" in self._unread:
                os._exit(0)
        if b"\n" in self._unread and not self._busy:
            line, _newline, self._unread = self._unread.partition(b"\n")
            self._busy = True
            Task(self._jobs.obey(line.decode()), self._answer)

    def _answer(self, answer: protocol.Answer) -> None:
        print(json.dumps(answer), flush=True)
        self._busy = False


def run_uv(options: argparse.Namespace) -> None:
    """libuv, and nothing else."""
    app = App()
    server = Server(options.queue, UvWaits(app), app)
    stdin = Stdin(protocol.Jobs(server))
    print("ready", server.start(options.port), flush=True)
    timer = app.loop.uv_loop.create_timer(STDIN_MS, STDIN_MS, stdin.look, None)
    app.loop.uv_loop.run()
    sys.exit(f"libuv has ended, {timer}")


def main() -> None:
    options = protocol.arguments(__doc__, ("documented", "uv"))
    protocol.raise_limit()
    (run_uv if options.loop == "uv" else run_documented)(options)


if __name__ == "__main__":
    main()
