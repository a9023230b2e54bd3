"""A connection of the gRPC listener: TLS ends here, what is inside it is gRPC's.

gRPC's own TLS says of a peer that it refuses neither who it was nor why, and counts no peer's
connections. So the handshake and everything that is known of a peer are the framed listener's
(`TlsListener`), and the bytes go on to gRPC by a socket of this process, named so that a call tells
which connection it came by. See docs/adr/0011.
"""

from __future__ import annotations

import asyncio
import socket
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from pydfsnode import limits
from pydfsnode.errors import Overloaded, PeerUnauthenticated
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.peer_trust import PeerTrust
from pydfsnode.rpc.server import log_failure
from pydfsnode.security.identity import Identity

if TYPE_CHECKING:
    from pydfsnode.rpc.grpc_server import GrpcServer

_log = get_logger("rpc.grpc")

NAMED = "unix-abstract:"
"""What gRPC writes before the name of a socket in `context.peer()`."""
CLOSE_S = 5.0
"""A peer that does not take our last bytes for this long is cut off."""
TOLD_S = 5.0
"""A refused peer stays connected for this long, so that a call of it is told why."""
TOLD_MAX = 64
"""So many at once; further ones are closed without a word."""
BUFFER_BYTES = 256 * limits.KIB


class _Half(asyncio.BufferedProtocol):
    """One of the two ends; what it receives is written to the other."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.other: _Half
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def connection_made(self, transport: Any) -> None:
        """Called by the transport."""
        self.transport = transport
        transport.set_write_buffer_limits(high=limits.WRITE_BUFFER_BYTES_HIGH)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport writes next."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what arrived."""
        if self.other.transport is not None:
            self.other.transport.write(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        """What this end does not take is not read at the other one."""
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This end takes more."""
        if self.other.transport is not None:
            self.other.transport.resume_reading()


class _Inner(_Half):
    """gRPC's end."""

    def __init__(self, connection: GrpcConnection) -> None:
        super().__init__()
        self.other = self._connection = connection

    def connection_lost(self, exc: BaseException | None) -> None:
        """gRPC ended the connection: it was idle or old, broke the protocol, or the node stops."""
        self._connection.close()


class GrpcConnection(_Half):
    """The peer's end."""

    def __init__(self, server: GrpcServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.name = f"pydfs-{token_hex(16)}"
        self.peer = ""
        self.identity: Identity | None = None
        self.refusal: PeerUnauthenticated | None = None
        """Why its calls are refused."""
        self.is_admitted = False
        self.closed = False
        self._server = server
        self._trust = PeerTrust(server.tls)
        self.other = self._inner = _Inner(self)

    def connection_made(self, transport: Any) -> None:
        """TLS is established: look who the peer is, once."""
        super().connection_made(transport)
        transport.pause_reading()  # until gRPC's end is there
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name)
        ssl_object = transport.get_extra_info("ssl_object")
        self._trust.take(ssl_object)
        try:
            self.identity = self._server.take(self, ssl_object)
        except Overloaded:
            self.close()
            return
        except PeerUnauthenticated as error:
            if not self._server.may_tell():
                self.close()
                return
            self.refusal = error
            self.loop.call_later(TOLD_S, self.close)
        self._server.by_name[self.name] = self
        self.loop.create_task(self._join(), name="grpc join").add_done_callback(log_failure)

    async def _join(self) -> None:
        joining = socket.socket(socket.AF_UNIX)
        joining.setblocking(False)
        try:
            joining.bind("\0" + self.name)
            await self.loop.sock_connect(joining, self._server.inner_path)
            await self.loop.create_unix_connection(lambda: self._inner, sock=joining)
        except OSError as error:  # out of file descriptors, or the node stops
            joining.close()
            _log.error("gRPC takes no connection", peer=self.peer, message=str(error))
            self.close()
            return
        if self.closed:
            self._inner.transport.abort()
        else:
            self.transport.resume_reading()

    def check_trust(self) -> bool:
        """Whether the peer is still believed; if not, the connection is ended."""
        error = self._trust.lost()
        if error is None:
            return True
        self._server.dispatch.telemetry.refused_peer(error, self.peer)
        self.refusal = error
        self.close()
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by the transport once, last: gRPC cancels what runs for this peer."""
        self.closed = True
        self._server.by_name.pop(self.name, None)
        self._server.forget(self)
        if self._inner.transport is not None:
            self._inner.transport.abort()

    def close(self) -> None:
        """Send what gRPC has said, then close."""
        if not self.closed:
            self.closed = True
            self.transport.close()
            self.loop.call_later(CLOSE_S, self.transport.abort)
