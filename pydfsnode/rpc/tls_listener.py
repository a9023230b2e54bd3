"""A listener with mutual TLS: accepts, ends slow handshakes, knows and counts who is connected."""

from __future__ import annotations

import asyncio
import socket
import ssl
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Generic, Protocol, TypeVar

from pydfsnode import limits
from pydfsnode.errors import Overloaded, PeerUnauthenticated
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.listening import bind, keep_alive
from pydfsnode.rpc.server import Dispatch, log_failure
from pydfsnode.security.identity import Identity
from pydfsnode.security.refusals import handshake_reason
from pydfsnode.security.tls import TlsStore

_log = get_logger("rpc.listener")

ACCEPT_RETRY_S = 0.1
RETRY_AFTER_MS = 1000
CHECKED_AT_ONCE, CHECK_PAUSE_S = 16, 0.01


class Connection(Protocol):
    """One peer of a listener, from the end of its handshake on."""

    peer: str
    identity: Identity | None
    closed: bool
    is_admitted: bool
    """Whether it counts among those of its peer."""

    def check_trust(self) -> bool:
        """Whether the peer is still believed; if not, the connection is ended."""


C = TypeVar("C", bound=Connection)


class TlsListener(ABC, Generic[C]):
    """What the framed and the gRPC server have in common.

    Args:
        tls: this node's certificate.
        dispatch: with the telemetry of the transport.
    """

    def __init__(self, tls: TlsStore, dispatch: Dispatch) -> None:
        self.tls = tls
        self.dispatch = dispatch
        self.connections: set[C] = set()
        self.stopping = False
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], str] = {}
        """Each with the host that it is of, the oldest first."""
        self._of_peer: Counter[str] = Counter()
        self.drained = asyncio.Event()
        """Set when a leaving connection or a call on it has ended; `stop` waits for it."""

    @abstractmethod
    def _connection(self, loop: asyncio.AbstractEventLoop) -> Any:
        """The asyncio protocol, a `C`, of a connection whose handshake begins."""

    @abstractmethod
    def _context(self) -> ssl.SSLContext:
        """For the handshakes; it follows `TlsStore.reload`."""

    async def start(self, address: str) -> str:
        """Listen on *address* ("host:port"; port 0: any free one). Returns the address in use.

        Raises:
            PortInUse: something else listens there.
            ConfigError: the host cannot be resolved or is not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._listeners = await bind(address)
        self.tls.on_change(lambda: self._trust_changed(loop))
        context = self._context()
        self._accepting = [
            loop.create_task(self._accept(listener, context), name="accept")
            for listener in self._listeners
        ]
        for task in self._accepting:
            task.add_done_callback(log_failure)
        host, _, _ = address.rpartition(":")
        return f"{host}:{self._listeners[0].getsockname()[1]}"

    async def _accept_no_more(self) -> None:
        self.stopping = True
        await _cancelled([*self._accepting, *self._handshakes])
        for listener in self._listeners:
            listener.close()

    async def _all_gone(self, timeout_s: float) -> bool:
        """Wait until no connection is left; False: some are."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.connections:
                    self.drained.clear()
                    await self.drained.wait()
        except TimeoutError:
            return False
        return True

    def take(self, connection: C, ssl_object: Any) -> Identity:
        """Count *connection*, and look who it is, once; `forget` it.

        Raises:
            PeerUnauthenticated: it is nobody, of another cluster, or revoked.
            Overloaded: its peer has too many: one may not take the room of all others.
        """
        telemetry = self.dispatch.telemetry
        self.connections.add(connection)
        telemetry.connections.inc()
        try:
            identity = self.tls.peer_of(ssl_object)
        except PeerUnauthenticated as error:
            telemetry.refused_peer(error, connection.peer)
            raise
        if self._of_peer[identity.uri] >= limits.CONNECTIONS_PER_PEER_MAX:
            telemetry.too_many(connection.peer)
            raise Overloaded(
                f"{identity}: {limits.CONNECTIONS_PER_PEER_MAX} connections are open here already",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._of_peer[identity.uri] += 1
        connection.is_admitted = True
        return identity

    def forget(self, connection: C) -> None:
        """*connection* is gone."""
        self.connections.discard(connection)
        self.dispatch.telemetry.connections.dec()
        if connection.is_admitted and connection.identity is not None:
            uri = connection.identity.uri
            self._of_peer[uri] -= 1
            if not self._of_peer[uri]:
                del self._of_peer[uri]
        self.drained.set()

    def _trust_changed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every open connection soon, a few at a time: verifying a chain takes 0.2 ms."""
        if not self.stopping:
            loop.call_soon_threadsafe(self._check_trust, list(self.connections))

    def _check_trust(self, waiting: list[C]) -> None:
        for connection in waiting[-CHECKED_AT_ONCE:]:
            if not connection.closed and connection.identity is not None:
                connection.check_trust()
        del waiting[-CHECKED_AT_ONCE:]
        if waiting:
            asyncio.get_running_loop().call_later(CHECK_PAUSE_S, self._check_trust, waiting)

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, peer = await loop.sock_accept(listener)
            except OSError as error:  # out of file descriptors: wait for some to be closed
                _log.error("cannot accept", message=str(error))
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if len(self.connections) + len(self._handshakes) >= limits.CONNECTIONS_MAX:
                self.dispatch.telemetry.too_many(f"{peer[0]}:{peer[1]}")
                connected.close()
                continue
            self._make_room(peer[0])
            task = loop.create_task(self._establish(connected, context))
            self._handshakes[task] = peer[0]
            task.add_done_callback(log_failure)
            task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    def _make_room(self, host: str) -> None:
        """End the oldest handshake of *host* when it has too many: a good one takes milliseconds,
        so the oldest are of those who wait on purpose."""
        if len(self._handshakes) < limits.HANDSHAKES_PER_HOST_MAX:
            return
        of_host = [task for task, known in self._handshakes.items() if known == host]
        if len(of_host) >= limits.HANDSHAKES_PER_HOST_MAX:
            self.dispatch.telemetry.failed_handshake(host, "too many at once, this one is oldest")
            del self._handshakes[of_host[0]]
            of_host[0].cancel()

    async def _establish(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        """TLS of one accepted socket; its protocol calls `take`."""
        loop = asyncio.get_running_loop()
        peer = keep_alive(connected)
        try:
            await loop.connect_accepted_socket(
                lambda: self._connection(loop), connected, ssl=context,
                ssl_handshake_timeout=limits.HANDSHAKE_MS_MAX / 1000, ssl_shutdown_timeout=2.0,
            )  # fmt: skip
        except (OSError, EOFError, TimeoutError) as error:
            self.dispatch.telemetry.failed_handshake(
                peer, str(error) or type(error).__name__, handshake_reason(error)
            )


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
