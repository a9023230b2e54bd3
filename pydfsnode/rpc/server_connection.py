"""The serving side of one framed connection: requests in, handlers run, answers out."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from pydfsnode import limits
from pydfsnode._fast import response_frame, split_request
from pydfsnode.errors import (
    Cancelled,
    DeadlineExceeded,
    MalformedMessage,
    MessageTooLarge,
    Overloaded,
    PeerUnauthenticated,
    PermissionDenied,
    PydfsError,
    RemoteProtocolError,
    Unavailable,
)  # fmt: skip
from pydfsnode.obs.request_scope import enter
from pydfsnode.rpc.framed_connection import HOUSEKEEPING_S, FramedConnection
from pydfsnode.rpc.framed_stream import FramedStream
from pydfsnode.rpc.framing import (
    CANCEL,
    DATA,
    FLOW_KEY,
    FLOW_VERSION,
    GOAWAY,
    HELLO,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    WIRE_PING,
)  # fmt: skip
from pydfsnode.rpc.methods import GATEWAY, Shape
from pydfsnode.rpc.pb import ttrpc_pb2
from pydfsnode.rpc.peer_trust import PeerTrust
from pydfsnode.rpc.server import Route
from pydfsnode.rpc.server_call import FramedServerStream, ServerCall, SteppedCall
from pydfsnode.rpc.status import ERROR_INFO_URL, status_of
from pydfsnode.security.identity import Identity

if TYPE_CHECKING:
    from pydfsnode.rpc.framed_server import FramedServer

RESPONSE_BYTES_MAX = limits.FRAME_BYTES_MAX - 16
"""Largest unary answer: the Response envelope around it needs a few bytes of the frame."""
ENDED_EARLY_MAX = limits.STREAMS_PER_CONNECTION_MAX
RETRY_AFTER_MS = 100


class ServerConnection(FramedConnection):
    """One authenticated peer and the calls it has open."""

    reads_only_when_read = True

    def __init__(self, server: FramedServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.server = server
        self.identity: Identity | None = None
        self._is_gateway = False
        self._trust = PeerTrust(server.tls)
        self.is_admitted = False
        self.dispatch = server.dispatch
        self._telemetry = server.dispatch.telemetry
        self._routes: dict[tuple[str, str], Route] = {}
        self._heads: dict[bytes, Route] = {}
        self._last_id = 0
        # Calls that we ended while the peer may still be sending: its Data is dropped, no error.
        self._ended_early: dict[int, None] = {}
        self._leaving = False
        self._leaving_since = 0.0
        self._tells_calls = self._telemetry.tells_calls

    # ---- connection

    def opened(self) -> None:
        """Check who the peer is, once."""
        ssl_object = self.transport.get_extra_info("ssl_object")
        try:
            self.identity = self.server.take(self, ssl_object)
        except (PeerUnauthenticated, Overloaded) as error:
            self.close(error)
            return
        self._is_gateway = self.identity.role == GATEWAY
        self._trust.take(ssl_object)
        self._routes = self.dispatch.allowed(self.identity)
        self._heads = {route.head: route for route in self._routes.values()}

    def lost(self, error: BaseException | None) -> None:
        """Cancel what still runs for this peer."""
        self.server.forget(self)
        for call in list(self.calls.values()):
            self.end_call(call, None)

    def broken(self, error: PydfsError) -> None:
        """Count and log; nothing but this connection ends."""
        who = self.identity.uri if self.identity else ""
        self._telemetry.broken("frame", who, self.peer, error.message)

    def control(self, kind: int, stream_id: int, value: int) -> None:
        """A control record of the client."""
        if kind == CANCEL:
            call = self.calls.get(stream_id)
            if call is not None:
                self.end_call(call, None)

    def housekeeping(self, now: float) -> None:
        """End the connection when it is idle or old, or when its certificate is trusted no more."""
        if not self.check_trust():
            return
        if self.frame_age_s(now) * 1000 >= limits.FRAME_MS_MAX:
            self.break_off(RemoteProtocolError("a frame does not come to its end"))
            return
        age_s = now - self.opened_at
        idle_ms = (now - self.received_at) * 1000
        if age_s >= self.server.connection_age_s or (
            not self.calls and idle_ms >= limits.CONNECTION_IDLE_MS
        ):
            self.leave()
        # A call may be on its way to us; a client that knows GOAWAY closes when it has none.
        asked_s = now - self._leaving_since if self.flow else math.inf
        if self._leaving and not self.calls and asked_s >= HOUSEKEEPING_S:
            self.close()
        elif age_s >= self.server.connection_age_s + self.server.connection_grace_s:
            self.close(Unavailable("the connection is too old"))

    def check_trust(self) -> bool:
        """Whether the peer is still believed; if not, the connection is ended."""
        error = self._trust.lost()
        if error is None:
            return True
        self._telemetry.refused_peer(error, self.peer)
        self.close(error)
        return False

    def leave(self) -> None:
        """Ask the client to open no more calls on this connection."""
        if not self._leaving:
            self._leaving = True
            self._leaving_since = self.loop.time()
            if self.flow and not self.closed:
                self.send_control(GOAWAY, 0, 0)

    # ---- frames

    def frame(self, stream_id: int, kind: int, flags: int, payload: bytes | memoryview) -> None:
        """One frame of the client. Raises `RemoteProtocolError` to end the connection."""
        if kind == REQUEST:
            self._request(stream_id, flags, payload)
        elif kind == DATA:
            self._data(stream_id, flags, payload)
        else:
            raise RemoteProtocolError(f"stream {stream_id}: a Response from a client")

    def _request(self, stream_id: int, flags: int, payload: bytes | memoryview) -> None:
        if not stream_id & 1 or stream_id <= self._last_id:
            raise RemoteProtocolError(
                f"stream id {stream_id} after {self._last_id}: must be odd and larger"
            )
        if flags & ~(REMOTE_CLOSED | REMOTE_OPEN):
            raise RemoteProtocolError(f"stream {stream_id}: Request with flags {flags:#04x}")
        self._last_id = stream_id
        envelope = bytes(payload)
        split = split_request(envelope) if self.flow is not None else None
        route = self._heads.get(split[0]) if split is not None else None
        if split is None or route is None:
            self._unusual_request(stream_id, flags, envelope)
        else:
            self._begin(stream_id, flags, route, split[1], split[2], envelope)

    def _unusual_request(self, stream_id: int, flags: int, envelope: bytes) -> None:
        """The first request of a connection, one in another form than ours, or an unknown one."""
        try:
            request = ttrpc_pb2.Request.FromString(envelope)
        except DecodeError as error:
            raise RemoteProtocolError(f"stream {stream_id}: not a Request: {error}") from None
        if self.flow is None:
            self._learn_flow(request)
        route = self._routes.get((request.service, request.method))
        if route is None:
            self._unrouted(stream_id, flags, request.service, request.method)
        elif len(request.metadata) > limits.METADATA_PAIRS_MAX:
            refusal = MalformedMessage(
                f"{route.path}: more than {limits.METADATA_PAIRS_MAX} metadata pairs"
            )
            self._telemetry.failed(route.path, refusal)
            self._refuse(stream_id, flags, refusal)
        else:
            payload, timeout_nano = request.payload, request.timeout_nano
            self._begin(stream_id, flags, route, payload, timeout_nano, envelope)

    def _begin(
        self, stream_id: int, flags: int, route: Route, payload: bytes, timeout_nano: int,
        envelope: bytes,
    ) -> None:  # fmt: skip
        """Admit a call and run its handler up to where it waits first."""
        plain = route.is_unary and not flags and len(payload) <= route.request_bytes_max
        full = len(self.calls) >= limits.STREAMS_PER_CONNECTION_MAX
        if not plain or full or self.server.stopping:
            try:
                self._admit(route, flags, len(payload))
            except PydfsError as error:
                self._telemetry.failed(route.path, error)
                self._refuse(stream_id, flags, error)
                return
        call = ServerCall(self, stream_id, route, payload, timeout_nano, envelope)
        if self._is_gateway and not self._acts(call, flags):
            return
        self.calls[stream_id] = call
        if call.deadline < self._sweep_at:
            self.watch(call.deadline)
        if route.is_stepped:
            call.work = work = SteppedCall(call, self._serve_unary(call))
            work.start()
        elif route.is_unary:
            call.work = self.loop.create_task(self._serve_unary(call))
        else:
            call.stream = stream = FramedStream(self, stream_id)
            stream.remote_closed = not flags & REMOTE_OPEN
            self.streams[stream_id] = stream
            self._telemetry.streams.inc()
            call.work = self.loop.create_task(self._serve_stream(call, stream))

    def _acts(self, call: ServerCall, flags: int) -> bool:
        """Let a gateway's call be that of the user whom it names; False: it may not, and knows."""
        try:
            call.act_for()
        except PermissionDenied as error:
            self.dispatch.refused_to_act(call.identity, call.acted_for, call.route, self.peer)
            self._telemetry.failed(call.route.path, error)
            self._refuse(call.stream_id, flags, error)
            return False
        return True

    def _unrouted(self, stream_id: int, flags: int, service: str, method: str) -> None:
        """A request for what this peer may not call, or for the transport itself."""
        if (service, method) == WIRE_PING:
            self.send_frame(stream_id, RESPONSE, 0, b"")
        elif self.identity is not None:
            error = self.dispatch.refusal(self.identity, service, method, self.peer)
            self._refuse(stream_id, flags, error)

    def _learn_flow(self, request: ttrpc_pb2.Request) -> None:
        pairs = request.metadata
        self.flow = any(p.key == FLOW_KEY and p.value == FLOW_VERSION for p in pairs)
        if self.flow:
            self.send_control(HELLO, 0, int(FLOW_VERSION))
            if self._leaving:
                self.send_control(GOAWAY, 0, 0)

    def _admit(self, route: Route, flags: int, size: int) -> None:
        """Raise unless the call may begin now, in this shape and size."""
        if self.server.stopping:
            raise Unavailable(f"{route.path}: the node is stopping; ask another one")
        if len(self.calls) >= limits.STREAMS_PER_CONNECTION_MAX:
            raise Overloaded(
                f"{self.peer}: {len(self.calls)} calls open on one connection",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self.dispatch.check_size(route, size)
        shape = route.method.shape
        if (shape is not Shape.BIDIRECTIONAL and flags & REMOTE_OPEN) or (
            shape is not Shape.UNARY and not flags
        ):
            raise MalformedMessage(f"{route.path} is {shape.value}, called with flags {flags:#04x}")

    def _data(self, stream_id: int, flags: int, payload: bytes | memoryview) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._telemetry.bytes_in(len(payload))
            stream.feed(flags, payload)
        elif stream_id in self._ended_early:
            if flags & REMOTE_CLOSED:
                del self._ended_early[stream_id]
        else:
            raise RemoteProtocolError(
                f"stream {stream_id}: Data on a unary, finished or never opened stream"
            )

    # ---- calls

    async def _serve_unary(self, call: ServerCall) -> None:
        route = call.route
        if not route.is_stepped:  # else this is nobody's own task
            enter(call)
        try:
            answer = await route.handler(route.parse(call.payload), call)
            body = answer.SerializeToString()
            if len(body) > RESPONSE_BYTES_MAX:
                raise MessageTooLarge(f"{route.path}: answer of {len(body)} bytes")
        except asyncio.CancelledError:
            self.end_call(call, Cancelled(f"{route.path}: cancelled"), cancel=False)
        except Exception as error:  # noqa: BLE001  # the RPC boundary: every error becomes a status
            self._fail(call, error)
        else:
            if not call.answered:
                call.answered = True
                self.send_whole(response_frame(call.stream_id, body))
                self._finish(call)
                route.answered()
        route.seconds(self.loop.time() - call.started)
        if self._tells_calls:
            self._telemetry.served(call, self.loop.time() - call.started)

    async def _serve_stream(self, call: ServerCall, stream: FramedStream) -> None:
        route = call.route
        enter(call)
        try:
            first = route.parse(call.payload)
            await route.handler(first, call, FramedServerStream(call, stream))
        except asyncio.CancelledError:
            self.end_call(call, Cancelled(f"{route.path}: cancelled"), cancel=False)
        except Exception as error:  # noqa: BLE001  # the RPC boundary: every error becomes a status
            self._fail(call, error)
        else:
            if not call.answered:
                call.answered = True
                if not stream.local_closed:
                    self.send_frame(call.stream_id, DATA, REMOTE_CLOSED | NO_DATA, b"")
                self._finish(call)
                route.answered()
        route.seconds(self.loop.time() - call.started)
        if self._tells_calls:
            self._telemetry.served(call, self.loop.time() - call.started)

    def end_call(self, call: ServerCall, error: PydfsError | None, *, cancel: bool = True) -> None:
        """End a call from outside its handler: tell the client *error*, cancel the handler."""
        if call.answered:
            return
        call.answered = True
        call.deadline = math.inf
        self._telemetry.failed(call.route.path, error or Cancelled("by the client"))
        if error is not None and not self.closed:
            self._send_status(call.stream_id, error)
        self._finish(call)
        if cancel and call.work is not None:
            call.work.cancel()

    def _fail(self, call: ServerCall, error: Exception) -> None:
        if call.answered:
            return
        call.answered = True
        if isinstance(error, MalformedMessage):
            who = call.identity.uri
            self._telemetry.broken("message", who, self.peer, error.message)
        self._send_status(call.stream_id, self.dispatch.failure(error, call.route, call))
        self._finish(call)

    def _finish(self, call: ServerCall) -> None:
        self.calls.pop(call.stream_id, None)
        stream = call.stream
        if stream is not None:
            if not stream.remote_closed:
                self._remember_early(call.stream_id)
            stream.fail(Cancelled(f"{call.route.path}: the call has ended"))
            self.forget_stream(stream)
            self._telemetry.streams.dec()
        if self._leaving:
            self.server.drained.set()

    def _refuse(self, stream_id: int, flags: int, error: PydfsError) -> None:
        if flags & REMOTE_OPEN:
            self._remember_early(stream_id)
        self._send_status(stream_id, error)

    def _remember_early(self, stream_id: int) -> None:
        self._ended_early[stream_id] = None
        if len(self._ended_early) > ENDED_EARLY_MAX:
            del self._ended_early[next(iter(self._ended_early))]

    def _send_status(self, stream_id: int, error: PydfsError) -> None:
        status = status_of(error)
        details = [ttrpc_pb2.Any(type_url=ERROR_INFO_URL, value=status.error_info)]
        response = ttrpc_pb2.Response(
            status=ttrpc_pb2.Status(code=status.code, message=status.message, details=details)
        )
        self.send_frame(stream_id, RESPONSE, 0, response.SerializeToString())

    def expire(self, call: ServerCall) -> None:
        """The call's deadline has passed: answer now, whatever its handler does."""
        self.end_call(call, DeadlineExceeded(f"{call.route.path}: deadline exceeded"))
