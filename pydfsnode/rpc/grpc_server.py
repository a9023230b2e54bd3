"""The gRPC listener: the same handlers for standard clients in any language.

grpc is imported by `start`, so that importing this module costs a command line nothing.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from random import randbytes
from typing import TYPE_CHECKING, Any

from pydfsnode import limits
from pydfsnode.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    MalformedMessage,
    PeerUnauthenticated,
    PermissionDenied,
    PydfsError,
)
from pydfsnode.obs.request_scope import enter
from pydfsnode.obs.trace import parse_traceparent, start_trace
from pydfsnode.rpc.acting import ACT_FOR_KEY
from pydfsnode.rpc.context import GRPC, CallContext
from pydfsnode.rpc.framing import REQUEST_ID_KEY, TRACEPARENT_KEY
from pydfsnode.rpc.grpc_connection import NAMED, TOLD_MAX, GrpcConnection
from pydfsnode.rpc.methods import Shape
from pydfsnode.rpc.server import (
    REQUEST_ID_CHARACTERS_MAX,
    Dispatch,
    Handlers,
    OnInvariant,
    Route,
    join_buffers,
)
from pydfsnode.rpc.socket_directory import SocketDirectory
from pydfsnode.rpc.status import status_of
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.rpc.tls_listener import TlsListener
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.security.identity import Identity
from pydfsnode.security.tls import TlsStore

if TYPE_CHECKING:
    import grpc
    import grpc.aio

ERROR_KEY, LEADER_HINT_KEY = "pydfs-error-bin", "leader-hint"
"""Trailing metadata of a failed call: an encoded ErrorInfo, and the leader's address as text."""
CONNECTION_AGE_MS = 300_000  # limits.py candidate
CONNECTION_GRACE_MS = 30_000
OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", limits.MESSAGE_BYTES_MAX),
    ("grpc.http2.bdp_probe", 0),  # else a stream's window grows without a bound of ours
    ("grpc.http2.lookahead_bytes", limits.STREAM_WINDOW_BYTES),
    ("grpc.max_concurrent_streams", limits.STREAMS_PER_CONNECTION_MAX),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
    ("grpc.max_connection_idle_ms", limits.CONNECTION_IDLE_MS),
    ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_MS_MAX),
]


class GrpcServer(TlsListener[GrpcConnection]):
    """Serves *handlers* over gRPC on mutual TLS; arguments as `FramedServer`."""

    def __init__(
        self,
        handlers: Handlers,
        tls: TlsStore,
        role: str,
        *,
        on_invariant: OnInvariant | None = None,
    ) -> None:
        super().__init__(tls, Dispatch(handlers, role, ServerTelemetry(GRPC), on_invariant))
        self.by_name: dict[str, GrpcConnection] = {}
        self.inner_path = ""
        """Where gRPC listens."""
        self._directory: SocketDirectory | None = None
        self._server: grpc.aio.Server | None = None

    def _connection(self, loop: asyncio.AbstractEventLoop) -> GrpcConnection:
        return GrpcConnection(self, loop)

    def _context(self) -> ssl.SSLContext:
        return self.tls.grpc_context()

    def may_tell(self) -> bool:
        """Whether one more refused peer may stay long enough to be told why."""
        return sum(c.refusal is not None for c in self.by_name.values()) < TOLD_MAX

    async def start(self, address: str) -> str:
        """As `TlsListener.start`.

        Raises:
            ConfigError: also when gRPC cannot have a socket of its own in the temporary directory.
        """
        import grpc
        import grpc.aio

        try:
            self._directory = SocketDirectory(SystemClock().wall_ms() / 1000)
            self.inner_path = str(self._directory.path / "socket")
            server = grpc.aio.server(options=OPTIONS)
            server.add_generic_rpc_handlers((_generic_handler(self, grpc),))
            # Checks nothing but that it is such a socket: who calls is known to the connection.
            local = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
            server.add_secure_port(f"unix:{self.inner_path}", local)
        except (OSError, RuntimeError) as error:
            await self.stop(0)
            raise ConfigError(
                f"gRPC needs a socket in {tempfile.gettempdir()} ({error}): set TMPDIR to a "
                "directory with a short path that this node may write to"
            ) from None
        await server.start()
        self._server = server
        try:
            return await super().start(address)
        except ConfigError:
            await self.stop(0)
            raise

    async def stop(self, grace_ms: int) -> None:
        """Accept no more, let running calls finish for *grace_ms*, then end everything."""
        await self._accept_no_more()
        if self._server is not None:
            await self._server.stop(grace_ms / 1000)
            self._server = None
        for connection in list(self.connections):
            connection.close()
        if not await self._all_gone(min(1.0, grace_ms / 1000)):
            for connection in list(self.connections):
                connection.transport.abort()
        if self._directory is not None:
            await asyncio.to_thread(self._directory.remove)
            self._directory = None

    def handler_of(self, path: str, grpc: Any) -> Any:
        """gRPC's description of how to serve *path*."""
        service, _, name = path.removeprefix("/").rpartition("/")
        route = self.dispatch.routes.get((service, name))
        shape = Shape.UNARY if route is None else route.method.shape

        async def unary(payload: bytes, context: Any) -> bytes:
            return await self._call(service, name, context, payload, _run_unary) or b""

        async def server_stream(payload: bytes, context: Any) -> None:
            await self._call(service, name, context, payload, _run_stream)

        async def bidirectional(_requests: Any, context: Any) -> None:
            await self._call(service, name, context, None, _run_stream)

        if shape is Shape.UNARY:
            return grpc.unary_unary_rpc_method_handler(unary)
        if shape is Shape.SERVER_STREAM:
            return grpc.unary_stream_rpc_method_handler(server_stream)
        return grpc.stream_stream_rpc_method_handler(bidirectional)

    async def _call(
        self, service: str, name: str, grpc_context: Any, payload: bytes | None, run: _Run
    ) -> bytes | None:
        """Authenticate, authorise, run within the deadline, and turn errors into a status."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        route: Route | None = None
        try:
            context, route = self._admit(service, name, grpc_context)
        except PydfsError as error:
            await _abort(grpc_context, error)
        if route is None:  # `_abort` has raised
            return None
        try:
            enter(context)
            limit = None if context.deadline == math.inf else context.deadline
            async with asyncio.timeout_at(limit) as scope:
                answer = await run(self.dispatch, route, context, grpc_context, payload)
        except Exception as error:  # noqa: BLE001  # the RPC boundary: every error becomes a status
            if isinstance(error, TimeoutError) and scope.expired():
                error = DeadlineExceeded(f"{route.path}: deadline exceeded")
            elif not isinstance(error, PydfsError) and grpc_context.cancelled():
                # What gRPC raises from a read or write of a call that the client has ended.
                error = Cancelled(f"{route.path}: cancelled by the client")
            if isinstance(error, MalformedMessage):
                who = context.identity.uri
                self.dispatch.telemetry.broken("message", who, context.peer, error.message)
            failure = self.dispatch.failure(error, route, context)
            route.seconds(loop.time() - started)
            await _abort(grpc_context, failure)
        else:
            route.answered()
            route.seconds(loop.time() - started)
            return answer
        finally:
            if self.dispatch.telemetry.tells_calls:
                self.dispatch.telemetry.served(context, loop.time() - started)
        return None

    def _admit(self, service: str, name: str, grpc_context: Any) -> tuple[CallContext, Route]:
        identity, peer = self._caller(grpc_context)
        route = self.dispatch.allowed(identity).get((service, name))
        if route is None:
            raise self.dispatch.refusal(identity, service, name, peer)
        sent = dict(grpc_context.invocation_metadata() or ())
        named = str(sent.get(ACT_FOR_KEY, ""))
        try:
            acting = self.dispatch.acting.identity(identity, named)
        except PermissionDenied:
            self.dispatch.refused_to_act(identity, named, route, peer)
            raise
        request_id = str(sent.get(REQUEST_ID_KEY, ""))
        if not 0 < len(request_id) <= REQUEST_ID_CHARACTERS_MAX or not request_id.isprintable():
            request_id = f"grpc-{randbytes(8).hex()}"
        traceparent = str(sent.get(TRACEPARENT_KEY, ""))
        if parse_traceparent(traceparent) is None:
            traceparent = str(start_trace(randbytes(24)))
        loop = asyncio.get_running_loop()
        timeout_s = self.dispatch.timeout_s(route, grpc_context.time_remaining() or 0)
        context = CallContext(
            acting,
            route.method,
            request_id,
            traceparent,
            peer,
            GRPC,
            loop.time() + timeout_s,
            loop.time,
        )
        context.via = None if acting is identity else identity
        return context, route

    def _caller(self, grpc_context: Any) -> tuple[Identity, str]:
        """Who calls, and from where; refusals were counted when the peer connected."""
        connection = self.by_name.get(str(grpc_context.peer()).removeprefix(NAMED))
        if connection is not None and connection.refusal is not None:
            raise connection.refusal.with_traceback(None)  # kept: it must not grow with each call
        if connection is None or connection.identity is None:
            raise PeerUnauthenticated("the connection has ended, or is not of this node's listener")
        return connection.identity, connection.peer


_Run = Callable[[Dispatch, Route, CallContext, Any, bytes | None], Awaitable[bytes | None]]


async def _run_unary(
    dispatch: Dispatch, route: Route, context: CallContext, _: Any, payload: bytes | None
) -> bytes:
    request = _parse(dispatch, route, payload or b"")
    answer = await route.handler(request, context)
    body: bytes = answer.SerializeToString()
    return body


async def _run_stream(
    dispatch: Dispatch, route: Route, context: CallContext, grpc_context: Any, payload: bytes | None
) -> None:
    stream = _GrpcStream(dispatch, route, grpc_context)
    dispatch.telemetry.streams.inc()
    try:
        first = (
            await stream.receive_message() if payload is None else _parse(dispatch, route, payload)
        )
        if first is None:
            raise MalformedMessage(f"{route.path}: the call has no first message")
        await route.handler(first, context, stream)
    finally:
        dispatch.telemetry.streams.dec()


def _parse(dispatch: Dispatch, route: Route, payload: bytes) -> Any:
    dispatch.check_size(route, len(payload))
    return route.rpc.parse_request(payload)


class _GrpcStream:
    """`ServerStream` on gRPC: raw methods wrap and unwrap the field `data`."""

    def __init__(self, dispatch: Dispatch, route: Route, context: Any) -> None:
        import grpc.aio

        self._dispatch = dispatch
        self._route = route
        self._context = context
        self._end = grpc.aio.EOF
        self._ended = route.method.shape is Shape.SERVER_STREAM

    async def receive_message(self) -> Any | None:
        """The next message as it is, or None after the last one."""
        if self._ended:
            return None
        payload = await self._context.read()
        if payload is self._end:
            self._ended = True
            return None
        self._dispatch.telemetry.bytes_in(len(payload))
        return _parse(self._dispatch, self._route, payload)

    async def receive(self) -> Any | None:
        """The caller's next message (raw methods: its `data`), or None after its last one."""
        message = await self.receive_message()
        if message is None or not self._route.method.raw_request:
            return message
        return message.data

    async def receive_only(self) -> Any | None:
        """See ServerStream: gRPC tells the end after the last message, never with it."""
        return None

    async def send(self, message: Any, *, end: bool = False) -> None:
        """Send a message; waits while gRPC's own flow control holds the call."""
        if self._route.method.raw_response:
            message = self._route.rpc.response(data=join_buffers(message))
        payload = message.SerializeToString()
        self._dispatch.telemetry.bytes_out(len(payload))
        await self._context.write(payload)


def _generic_handler(server: GrpcServer, grpc: Any) -> Any:
    """One handler for every path, so that unknown ones are refused and counted by us."""

    class Generic(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is imported late
        def service(self, handler_call_details: Any) -> Any:
            return server.handler_of(handler_call_details.method, grpc)

    return Generic()


async def _abort(context: Any, error: PydfsError) -> None:
    import grpc

    status = status_of(error)
    code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
    trailing = ((ERROR_KEY, status.error_info), (LEADER_HINT_KEY, status.leader_hint))
    await context.abort(code, status.message, trailing[: 2 if status.leader_hint else 1])
