"""picows, its core interface: a set of listeners; its write buffers are the queues."""

from __future__ import annotations

import protocol
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)


class Listener(WSListener):  # type: ignore[misc, unused-ignore]
    """A client; it has room until its transport pauses it."""

    transport: WSTransport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.paused = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.underlying_transport.set_write_buffer_limits(self.server.limit)
        self.transport = transport
        self.server.clients[self] = None

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        del self.server.clients[self]

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.BINARY:
            self.server.acks.take(frame.get_payload_as_bytes())

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False


class Server(protocol.CallServer[Listener]):
    """Sends to those that are not paused."""

    async def listen(self, port: int) -> int:
        def accept(request: WSUpgradeRequest) -> Listener:
            return Listener(self)

        server = await ws_create_server(
            accept, "127.0.0.1", port, backlog=protocol.BACKLOG
        )
        number: int = server.sockets[0].getsockname()[1]
        return number

    def send(self, client: Listener, data: bytes) -> bool:
        if client.paused:
            return False
        client.transport.send(WSMsgType.BINARY, data)
        return True


if __name__ == "__main__":
    protocol.run(Server, __doc__)
