"""The framed listener: lets calls finish when it stops."""

from __future__ import annotations

import asyncio
import random
import ssl

from pydfsnode.errors import OutcomeUnknown, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.context import FRAMED
from pydfsnode.rpc.server import Dispatch, Handlers, OnInvariant
from pydfsnode.rpc.server_connection import ServerConnection
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.rpc.tls_listener import TlsListener
from pydfsnode.security.tls import TlsStore

_log = get_logger("rpc.framed")

CONNECTION_AGE_MS = 300_000  # limits.py candidate
"""After this a client is asked to connect anew: a removed certificate does not stay connected."""
CONNECTION_GRACE_MS = 300_000  # limits.py candidate


class FramedServer(TlsListener[ServerConnection]):
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
        super().__init__(tls, Dispatch(handlers, role, ServerTelemetry(FRAMED), on_invariant))
        # Spread, so that a cluster's connections do not all come back at once.
        self.connection_age_s = connection_age_ms / 1000 * random.uniform(0.8, 1.0)
        self.connection_grace_s = connection_grace_ms / 1000

    def _connection(self, loop: asyncio.AbstractEventLoop) -> ServerConnection:
        return ServerConnection(self, loop)

    def _context(self) -> ssl.SSLContext:
        return self.tls.server_context()

    async def stop(self, grace_ms: int) -> None:
        """Accept no more, let running unary calls finish for *grace_ms*, then end everything."""
        await self._accept_no_more()
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
        if not await self._all_gone(min(1.0, grace_ms / 1000)):
            for connection in list(self.connections):
                connection.abort()

    def _unary_calls(self) -> int:
        calls = (call for c in self.connections for call in c.calls.values())
        return sum(call.stream is None for call in calls)
