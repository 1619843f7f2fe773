"""A server in an event loop: a task for each client."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core import Handshake, Listener, WSClient, WSHub
from ..authorize import Accept, Reject
from ..errors import ChannelClosed
from ..events import Authorize, Connected, Disconnected, Event, Message
from .client import Client
from .notices import Notices
from .stream import begin_taking

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Server", "serve"]

Handler: TypeAlias = Callable[[Client], Awaitable[object]]
Decision: TypeAlias = Accept | Reject | None
Authorizer: TypeAlias = Callable[[Handshake], Awaitable[Decision] | Decision]

logger = logging.getLogger("wssend.aio")

BATCH = 256  # events in a turn of the loop
SHARE = 64, 256 * 1024  # messages and bytes of a client that its handler has not taken
CLOSE_TIMEOUT = 10.0  # seconds, for a hub that is not the server's own


def names_of(function: Callable[..., object]) -> frozenset[str]:
    """The names of its parameters."""
    return frozenset(inspect.signature(function).parameters) - {"self"}


HUB_OPTIONS = names_of(WSHub) - {"authorize"}
LISTEN_OPTIONS = names_of(WSHub.listen) - {"host", "port"}
OWN_ADDRESS = frozenset({"unix", "sock", "fd"})  # instead of host and port


class Server:
    """A hub served by the running event loop; made by :func:`serve`.

    An asynchronous context manager: entering it starts to serve, leaving it is
    :meth:`close`. Its methods are for tasks of that loop.
    """

    def __init__(
        self,
        handler: Handler,
        authorize: Authorizer | None,
        hub: WSHub | None,
        hub_options: dict[str, Any],
        listen: Callable[[WSHub], Listener] | None,
    ) -> None:
        self._handler = handler
        self._authorize = authorize
        self._owns_hub = hub is None
        self._close_timeout: float | None = hub_options.get(
            "close_timeout", CLOSE_TIMEOUT
        )
        if hub is None:
            hub = WSHub(authorize=authorize is not None, **hub_options)
        self._hub = hub
        self._listen = listen
        self._listeners: list[Listener] = []
        self._clients: dict[WSClient, Client] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._closing: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # What may be asked.

    @property
    def hub(self) -> WSHub:
        """The hub, for all that sends; from any thread."""
        return self._hub

    @property
    def listeners(self) -> list[Listener]:
        """The listeners that the server has made; a copy."""
        return list(self._listeners)

    @property
    def url(self) -> str:
        """The address of the first listener."""
        if not self._listeners:
            raise RuntimeError("the server has no listener")
        return self._listeners[0].url

    async def close(self) -> None:
        """Stop serving: no more clients, and those there are leave with 1001.

        What is queued for them goes out first. Handlers see their client go and get
        the time to finish; what has not ended when the hub's close_timeout is over
        is cancelled or cut. A hub that was given to :func:`serve` stays open.
        Closing again waits for the end of the first.
        """
        if self._loop is None:
            self._stopping = True
            return
        self._begin_closing()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the server, or its hub, is closed and all handlers ended."""
        if self._loop is not None:
            await asyncio.shield(self._closed)

    async def serve_forever(self) -> None:
        """Serve until the server is closed or the task is cancelled."""
        await self.wait_closed()

    # Beginning and end.

    async def __aenter__(self) -> Self:
        if self._loop is not None or self._stopping:
            raise RuntimeError("a server is started once")
        loop = asyncio.get_running_loop()
        self._iterator = begin_taking(self._hub)
        self._iterator._share(*SHARE)
        self._notices = Notices(loop, self._iterator)
        self._fd = self._hub.fileno()
        try:
            if self._listen is not None:
                self._listeners.append(self._listen(self._hub))
        except BaseException:
            self._iterator.close()
            if self._owns_hub:
                self._hub.close(timeout=0)
            raise
        self._loop = loop
        self._over = loop.create_future()
        self._closed: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, self._take_events)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _begin_closing(self) -> None:
        assert self._loop is not None
        if self._closing is None:
            self._stopping = True
            self._closing = self._loop.create_task(self._close())

    async def _close(self) -> None:
        assert self._loop is not None
        stopped = in_thread(self._loop, self._stop)
        await self._end_tasks()
        await stopped
        if not self._owns_hub and not self._hub.closed:
            self._iterator.close()
            self._end_taking()
        await self._over
        await self._end_tasks()  # of those that came in between
        if not self._closed.done():
            self._closed.set_result(None)

    def _stop(self) -> None:
        """In a thread: it waits for the pump."""
        if self._owns_hub:
            self._hub.close(1001, timeout=self._close_timeout)
            return
        for listener in self._listeners:
            listener.close()
        for client in list(self._clients):
            client.close(1001)

    async def _end_tasks(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._close_timeout)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._close_timeout)
        if self._tasks:
            logger.warning("%d handlers go on although cancelled", len(self._tasks))

    def _end_taking(self) -> None:
        assert self._loop is not None
        self._loop.remove_reader(self._fd)
        self._notices.close()
        if not self._over.done():
            self._over.set_result(None)

    # What happens to clients.

    def _take_events(self) -> None:
        events = self._iterator.take(BATCH)
        clients = self._clients
        for event in events:
            if type(event) is Message:
                client = clients.get(event.client)
                if client is None:
                    client = self._enter(event.client)
                client._feed(event.data)
            else:
                self._handle(event)
        if self._iterator.closed:
            self._end_taking()
            self._begin_closing()  # the hub was closed elsewhere

    def _handle(self, event: Event | tuple[int, bool]) -> None:
        match event:
            case Connected(client):
                if client not in self._clients:
                    self._enter(client)
            case Disconnected(client):
                known = self._clients.pop(client, None)
                if known is not None:
                    known._finish(event)
            case (token, fine):
                self._notices.came(token, fine)
            case Authorize(handshake):
                self._start(self._decide(handshake))

    def _enter(self, client: WSClient) -> Client:
        assert self._loop is not None
        known = Client(client, self._loop, self._notices)
        self._clients[client] = known
        task = self._start(self._serve(known))
        task.add_done_callback(partial(self._ended, known))
        return known

    def _ended(self, client: Client, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step, it has done nothing itself
            self._let_go(client, 1011)

    def _start(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._loop is not None
        task = self._loop.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _let_go(self, client: Client, code: int) -> None:
        """Nobody serves it any more. Doing it twice does nothing."""
        client.close(1001 if self._stopping else code)
        client._drop()

    async def _serve(self, client: Client) -> None:
        """The whole life of a handler."""
        code = 1011
        try:
            await self._handler(client)
            code = 1000
        except ChannelClosed as error:
            if error.client is not client.client:
                logger.exception("the handler of client %r failed", client.id)
        except Exception:
            logger.exception("the handler of client %r failed", client.id)
        finally:
            self._let_go(client, code)

    async def _decide(self, handshake: Handshake) -> None:
        """Whether a client is let in."""
        failure = Reject(503, "The server is going away.\n")
        try:
            decision = await self._ask(handshake)
            if decision is not None and not handshake.decided:
                handshake.decide(decision)
        except Exception:
            logger.exception("authorizing %r failed", handshake)
            failure = Reject(500, "The server has failed.\n")
        finally:
            if not handshake.decided:
                handshake.decide(failure)

    async def _ask(self, handshake: Handshake) -> Decision:
        assert self._authorize is not None
        answer = self._authorize(handshake)
        decision = await answer if inspect.isawaitable(answer) else answer
        if decision is None and not handshake.decided:
            return Reject(403)
        return decision


def in_thread(
    loop: asyncio.AbstractEventLoop, job: Callable[[], None]
) -> asyncio.Future[None]:
    """Run what blocks in a thread of its own; the future tells how it ended."""
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            job()
        except BaseException as problem:
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop was closed over it
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, name="wssend-close", daemon=True).start()
    return future


def check_callable(name: str, value: object) -> None:
    """Tell what is wrong with it."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, not {value!r}")


def check_options(names: Iterable[str], hub: WSHub | None) -> None:
    """Tell which is nobody's, and which is the given hub's."""
    for name in names:
        if name not in HUB_OPTIONS | LISTEN_OPTIONS:
            raise TypeError(f"serve() got an unexpected keyword argument {name!r}")
        if hub is not None and name in HUB_OPTIONS:
            raise TypeError(f"{name} is an option of the hub, which was given")


def serve(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    hub: WSHub | None = None,
    authorize: Authorizer | None = None,
    **options: object,
) -> Server:
    """Return a server that runs a handler for each client, in a task of its own.

    ::

        async with wssend.aio.serve(handler, "127.0.0.1", 8765) as server:
            await server.serve_forever()

    When the handler returns, its client is closed with 1000; when it raises, that
    is logged (logger "wssend.aio") and the client closed with 1011, but for the
    ChannelClosed of its own client, which is as good as returning. When the server
    is closed, clients are closed with 1001.

    Args:
        handler: A coroutine function, called with a :class:`Client`.
        host: What to listen on, as for :meth:`wssend.WSHub.listen`.
        port: Likewise; 0: a free one.
        hub: A hub to serve, which stays open in the end. It listens on nothing
            more where neither port nor unix, sock or fd is given. Its options
            cannot be given beside it. A client that an earlier consumer of its
            events knew gets its task with its next message.
        authorize: A function, plain or a coroutine's, that is called with the
            :class:`wssend.Handshake` of each client and returns a
            :class:`wssend.Accept`, a :class:`wssend.Reject`, or None, which is
            ``Reject(403)``; or decides itself. When it raises, that is logged, and
            the answer is 500. None: everybody comes in. A given hub has
            authorize=True where this is given, and only there.
        **options: Those of :class:`wssend.WSHub` and of
            :meth:`wssend.WSHub.listen`, by their names.

    Raises:
        TypeError: An option that there is not, or a wrong type.
        ValueError: A wrong value.

    Nothing listens before the server is entered, which raises OSError when it
    cannot, and RuntimeError when the hub has a consumer already.
    """
    check_callable("handler", handler)
    if authorize is not None:
        check_callable("authorize", authorize)
    if hub is not None and not isinstance(hub, WSHub):
        raise TypeError(f"hub must be a WSHub or None, not {hub!r}")
    check_options(options, hub)
    if hub is not None and hub._authorizes != (authorize is not None):
        raise ValueError(
            "a given hub must have authorize=True where serve() has authorize, and "
            "only there"
        )
    listen_options = {k: v for k, v in options.items() if k in LISTEN_OPTIONS}
    hub_options = {k: v for k, v in options.items() if k in HUB_OPTIONS}
    listen = None
    if hub is None or port is not None or OWN_ADDRESS & listen_options.keys():
        listen = partial(listen_on, host, port, listen_options)
    return Server(handler, authorize, hub, hub_options, listen)


def listen_on(
    host: str, port: int | None, options: dict[str, Any], hub: WSHub
) -> Listener:
    """Listen where serve() was told to."""
    if OWN_ADDRESS & options.keys():
        return hub.listen(**options)
    return hub.listen(host, port, **options)
