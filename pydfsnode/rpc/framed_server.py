"""The framed listener: accepts, does TLS within a time limit, lets calls finish when it stops."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import Counter

from pydfsnode import limits
from pydfsnode.errors import OutcomeUnknown, Overloaded, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.context import FRAMED
from pydfsnode.rpc.listening import bind, keep_alive
from pydfsnode.rpc.server import Dispatch, Handlers, OnInvariant, log_failure
from pydfsnode.rpc.server_connection import ServerConnection
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.security.identity import Identity
from pydfsnode.security.refusals import handshake_reason
from pydfsnode.security.tls import TlsStore

_log = get_logger("rpc.framed")

CONNECTION_AGE_MS = 300_000  # limits.py candidate
"""After this a client is asked to connect anew: a removed certificate does not stay connected."""
CONNECTION_GRACE_MS = 300_000  # limits.py candidate
ACCEPT_RETRY_S = 0.1
RETRY_AFTER_MS = 1000
CHECKED_AT_ONCE, CHECK_PAUSE_S = 16, 0.01


class FramedServer:
    """Serves *handlers* over ttrpc frames on mutual TLS.

    Args:
        handlers: path to handler; the same mapping serves gRPC.
        tls: this node's certificate.
        role: this node's role; every path must be served by it.
        on_invariant: told when a handler raised `InvariantViolation`; the node must stop.
    """

    def __init__(
        self, handlers: Handlers, tls: TlsStore, role: str, *,
        on_invariant: OnInvariant | None = None,
        connection_age_ms: int = CONNECTION_AGE_MS, connection_grace_ms: int = CONNECTION_GRACE_MS,
    ) -> None:  # fmt: skip
        self.tls = tls
        self.dispatch = Dispatch(handlers, role, ServerTelemetry(FRAMED), on_invariant)
        self.connections: set[ServerConnection] = set()
        self.stopping = False
        # Spread, so that a cluster's connections do not all come back at once.
        self.connection_age_s = connection_age_ms / 1000 * random.uniform(0.8, 1.0)
        self.connection_grace_s = connection_grace_ms / 1000
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: dict[asyncio.Task[None], str] = {}
        """Each with the host that it is of, the oldest first."""
        self._of_peer: Counter[str] = Counter()
        self.drained = asyncio.Event()
        """Set when a leaving connection or a call on it has ended; `stop` waits for it."""

    async def start(self, address: str) -> str:
        """Listen on *address* ("host:port"; port 0: any free one). Returns the address in use.

        Raises:
            PortInUse: something else listens there.
            ConfigError: the host cannot be resolved or is not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._listeners = await bind(address)
        self.tls.on_change(lambda: self._trust_changed(loop))
        context = self.tls.server_context()
        self._accepting = [
            loop.create_task(self._accept(listener, context), name="framed accept")
            for listener in self._listeners
        ]
        for task in self._accepting:
            task.add_done_callback(log_failure)
        host, _, _ = address.rpartition(":")
        return f"{host}:{self._listeners[0].getsockname()[1]}"

    async def stop(self, grace_ms: int) -> None:
        """Accept no more, let running unary calls finish for *grace_ms*, then end everything."""
        self.stopping = True
        await _cancelled([*self._accepting, *self._handshakes])
        for listener in self._listeners:
            listener.close()
        self.drained.clear()
        for connection in list(self.connections):
            connection.leave()
        try:
            async with asyncio.timeout(grace_ms / 1000):
                while self._unary_calls():
                    self.drained.clear()
                    await self.drained.wait()
        except TimeoutError:
            _log.warning("calls cut short by the stop", calls=self._unary_calls())
        cut = OutcomeUnknown("the node stopped before the call had ended", reason="stopped")
        for connection in list(self.connections):
            for call in list(connection.calls.values()):
                connection.end_call(call, cut)
            connection.close(Unavailable("the node is stopping; ask another one"))
        try:
            async with asyncio.timeout(min(1.0, grace_ms / 1000)):
                while self.connections:
                    self.drained.clear()
                    await self.drained.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()

    def _trust_changed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every open connection soon, a few at a time: verifying a chain takes 0.2 ms."""
        if not self.stopping:
            loop.call_soon_threadsafe(self._check_trust, list(self.connections))

    def _check_trust(self, waiting: list[ServerConnection]) -> None:
        for connection in waiting[-CHECKED_AT_ONCE:]:
            if not connection.closed and connection.identity is not None:
                connection.check_trust()
        del waiting[-CHECKED_AT_ONCE:]
        if waiting:
            asyncio.get_running_loop().call_later(CHECK_PAUSE_S, self._check_trust, waiting)

    def admit(self, identity: Identity) -> None:
        """Count a connection of *identity*; `forget` it.

        Raises:
            Overloaded: it has too many: one peer may not take the room of all others.
        """
        if self._of_peer[identity.uri] >= limits.CONNECTIONS_PER_PEER_MAX:
            raise Overloaded(
                f"{identity}: {limits.CONNECTIONS_PER_PEER_MAX} connections are open here already",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._of_peer[identity.uri] += 1

    def forget(self, connection: ServerConnection) -> None:
        """*connection* is gone."""
        self.connections.discard(connection)
        if connection.is_admitted and connection.identity is not None:
            uri = connection.identity.uri
            self._of_peer[uri] -= 1
            if not self._of_peer[uri]:
                del self._of_peer[uri]
        self.drained.set()

    def _unary_calls(self) -> int:
        calls = (call for c in self.connections for call in c.calls.values())
        return sum(call.stream is None for call in calls)

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
        """TLS of one accepted socket; `ServerConnection.opened` does the rest."""
        loop = asyncio.get_running_loop()
        peer = keep_alive(connected)
        try:
            await loop.connect_accepted_socket(
                lambda: ServerConnection(self, loop), connected, ssl=context,
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
