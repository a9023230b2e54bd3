"""The gRPC listener: the same handlers for standard clients in any language.

grpc is imported by `start`, so that importing this module costs a command line nothing.
"""

from __future__ import annotations

import asyncio
import math
import os
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
    PortInUse,
    PydfsError,
)
from pydfsnode.obs.request_scope import enter
from pydfsnode.obs.trace import parse_traceparent, start_trace
from pydfsnode.rpc.acting import ACT_FOR_KEY
from pydfsnode.rpc.context import GRPC, CallContext
from pydfsnode.rpc.framing import REQUEST_ID_KEY, TRACEPARENT_KEY
from pydfsnode.rpc.listening import bind
from pydfsnode.rpc.methods import Shape
from pydfsnode.rpc.server import (
    REQUEST_ID_CHARACTERS_MAX,
    Dispatch,
    Handlers,
    OnInvariant,
    Route,
    join_buffers,
)
from pydfsnode.rpc.status import status_of
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.security.tls import TlsStore

if TYPE_CHECKING:
    import grpc
    import grpc.aio

# gRPC cannot be told to speak TLS 1.3 only. With a list of ciphers that need a pre-shared key, of
# which there is none, nothing of TLS 1.2 can be agreed upon. Read once, when grpc is imported.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES128-CBC-SHA"
ERROR_KEY, LEADER_HINT_KEY = "pydfs-error-bin", "leader-hint"
"""Trailing metadata of a failed call: an encoded ErrorInfo, and the leader's address as text."""
CONNECTION_AGE_MS = 300_000  # limits.py candidate
CONNECTION_GRACE_MS = 30_000
OPTIONS: list[tuple[str, int]] = [
    ("grpc.so_reuseport", 0),  # else a second node could share the port unnoticed
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


class GrpcServer:
    """Serves *handlers* over gRPC on mutual TLS; arguments as `FramedServer`."""

    def __init__(
        self,
        handlers: Handlers,
        tls: TlsStore,
        role: str,
        *,
        on_invariant: OnInvariant | None = None,
    ) -> None:
        self.tls = tls
        self.dispatch = Dispatch(handlers, role, ServerTelemetry(GRPC), on_invariant)
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str) -> str:
        """Listen on *address* ("host:port"; port 0: any free one). Returns the address in use.

        Raises:
            PortInUse: something else listens there.
            ConfigError: the host cannot be resolved or is not this machine's.
        """
        import grpc
        import grpc.aio

        for probe in await bind(address):  # gRPC's own message does not tell why
            probe.close()
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((_generic_handler(self, grpc),))
        try:
            port = server.add_secure_port(address, self.tls.grpc_server_credentials())
        except RuntimeError as error:
            raise PortInUse(f"cannot listen on {address}: {error}", address=address) from None
        if port == 0:
            raise ConfigError(f"cannot listen on {address}: gRPC refused it")
        await server.start()
        self._server = server
        host, _, _ = address.rpartition(":")
        return f"{host}:{port}"

    async def stop(self, grace_ms: int) -> None:
        """Accept no more, let running calls finish for *grace_ms*, then end everything."""
        if self._server is not None:
            await self._server.stop(grace_ms / 1000)
            self._server = None

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
        peer = _peer(grpc_context)
        try:
            identity = self.tls.peer_from_grpc(grpc_context.auth_context())
        except PeerUnauthenticated as error:
            self.dispatch.telemetry.refused_peer(error, peer)
            raise
        route = self.dispatch.allowed(identity).get((service, name))
        if route is None:
            raise self.dispatch.refusal(identity, service, name, peer)
        sent = dict(grpc_context.invocation_metadata() or ())
        try:
            acting = self.dispatch.acting.identity(identity, str(sent.get(ACT_FOR_KEY, "")))
        except PermissionDenied:
            self.dispatch.refused_to_act(identity, route, peer)
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


def _peer(context: Any) -> str:
    """ "host:port" of gRPC's "ipv4:host:port"."""
    _, _, where = context.peer().partition(":")
    return str(where).replace("%5B", "[").replace("%5D", "]")
