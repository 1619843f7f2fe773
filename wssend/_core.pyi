from collections.abc import Iterable, Mapping
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias, final

from typing_extensions import Buffer, Self

from .authorize import Accept, Reject
from .events import Event
from .report import SendReport
from .request import Request
from .stats import ClientStats, HubStats

_Data: TypeAlias = str | Buffer | PreparedMessage

_Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

class _HasFileno(Protocol):
    def fileno(self) -> int: ...

def send(client: WSClient | None, data: _Data, *, text: bool | None = None) -> None: ...
def _check_accept(
    user: str | None,
    id: str | None,
    topics: Iterable[str],
    subprotocol: str | None,
    headers: _Headers,
    replace: bool,
    /,
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]: ...
def _check_reject(
    status: int, body: str, headers: _Headers, close_code: int | None, /
) -> tuple[tuple[str, str], ...]: ...

@final
class Handshake:
    @property
    def request(self) -> Request: ...
    @property
    def remote(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def subprotocols(self) -> tuple[str, ...]: ...
    @property
    def decided(self) -> bool: ...
    def accept(
        self,
        *,
        user: str | None = None,
        id: str | None = None,
        topics: Iterable[str] = (),
        subprotocol: str | None = None,
        headers: _Headers = (),
        replace: bool = False,
    ) -> bool: ...
    def reject(
        self,
        status: int = 403,
        body: str = "",
        headers: _Headers = (),
        *,
        close_code: int | None = None,
    ) -> bool: ...
    def decide(self, decision: Accept | Reject, /) -> bool: ...

@final
class PreparedMessage:
    def __new__(cls, data: str | Buffer, *, text: bool | None = None) -> Self: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    @property
    def text(self) -> bool: ...
    @property
    def data(self) -> bytes: ...

@final
class WSClient:
    @property
    def id(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def remote(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def request(self) -> Request: ...
    @property
    def state(self) -> dict[Any, Any]: ...
    @property
    def topics(self) -> frozenset[str]: ...
    @property
    def closed(self) -> bool: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str | None: ...
    def send(self, data: _Data, *, text: bool | None = None) -> None: ...
    def flush(self, timeout: float | None = None) -> None: ...
    def close(self, code: int = 1000, reason: str = "") -> None: ...
    def subscribe(self, topic: str, /) -> None: ...
    def unsubscribe(self, topic: str, /) -> bool: ...
    def stats(self) -> ClientStats: ...

@final
class Listener:
    @property
    def host(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...
    @property
    def unix(self) -> str | None: ...
    @property
    def url(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def reload_tls(
        self,
        *,
        tls_cert: str | PathLike[str] | None = None,
        tls_key: str | PathLike[str] | None = None,
        tls_client_ca: str | PathLike[str] | None = None,
    ) -> None: ...

@final
class EventIterator:
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...
    def close(self) -> None: ...

@final
class WSHub:
    def __new__(
        cls,
        *,
        send_queue: int = 256,
        send_queue_bytes: int = 1048576,
        send_buffer: int | None = 65536,
        max_message_size: int = 1048576,
        max_events: int = 1024,
        max_event_bytes: int = 16777216,
        max_clients: int | None = None,
        max_clients_per_ip: int | None = None,
        trusted_proxies: Iterable[str] = (),
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 10.0,
        origins: Iterable[str] | Literal["same-host"] | None = None,
        subprotocols: Iterable[str] = (),
        compression: Literal["deflate"] | None = None,
        id_query: str | None = None,
        user_query: str | None = None,
        release_gil: bool = True,
        pumps: int = 1,
        authorize: bool = False,
        max_handshakes: int = 1024,
    ) -> Self: ...
    def listen(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        *,
        path: str | None = None,
        unix: str | PathLike[str] | None = None,
        unix_mode: int = 0o660,
        sock: _HasFileno | None = None,
        fd: int | None = None,
        backlog: int = 1024,
        tls_cert: str | PathLike[str] | None = None,
        tls_key: str | PathLike[str] | None = None,
        tls_client_ca: str | PathLike[str] | None = None,
    ) -> Listener: ...
    @property
    def closed(self) -> bool: ...
    @property
    def send_queue_bytes(self) -> int: ...
    def get(self, client_id: str) -> WSClient | None: ...
    def clients(self, user: str | None = None) -> list[WSClient]: ...
    def send(
        self, client_id: str, data: _Data, *, text: bool | None = None
    ) -> None: ...
    def send_to_user(
        self,
        user: str,
        data: _Data,
        exclude: Iterable[WSClient | str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport: ...
    def broadcast(
        self,
        data: _Data,
        exclude: Iterable[WSClient | str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport: ...
    def publish(
        self,
        topic: str,
        data: _Data,
        exclude: Iterable[WSClient | str] = (),
        *,
        text: bool | None = None,
    ) -> SendReport: ...
    def stats(self) -> HubStats: ...
    def flush(self, timeout: float | None = None) -> None: ...
    def close_user(self, user: str, code: int = 4401, reason: str = "") -> int: ...
    def close(
        self, code: int = 1001, reason: str = "", timeout: float | None = 10.0
    ) -> None: ...
    def add_page(self, path: str, content_type: str, body: str | Buffer) -> None: ...
    def events(self, timeout: float | None = None) -> EventIterator: ...
    def fileno(self) -> int: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> Literal[True]: ...
    def __contains__(self, client: WSClient | str, /) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
