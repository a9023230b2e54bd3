"""The calling side of one framed connection: opens calls, matches answers, notices a dead peer."""

from __future__ import annotations

import asyncio
import math
import ssl
from random import randbytes
from typing import Any

from google.protobuf.message import DecodeError

from pydfsnode import limits
from pydfsnode._fast import request_frame, split_response
from pydfsnode.errors import (
    CertificateRevoked,
    DeadlineExceeded,
    IssuerUntrusted,
    OtherCluster,
    OutcomeUnknown,
    Overloaded,
    PeerUnauthenticated,
    PydfsError,
    RemoteProtocolError,
    Unavailable,
    from_wire,
)  # fmt: skip
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.client_call import StreamCall, UnaryCall
from pydfsnode.rpc.framed_connection import CUT_SHORT, FramedConnection
from pydfsnode.rpc.framing import (
    CLOSE,
    FLOW_KEY,
    FLOW_VERSION,
    GOAWAY,
    HELLO,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    REQUEST_ID_KEY,
    RESPONSE,
    STREAM_ID_MAX,
    TRACEPARENT_KEY,
    WIRE_PING,
)  # fmt: skip
from pydfsnode.rpc.methods import Shape
from pydfsnode.rpc.pb import ttrpc_pb2
from pydfsnode.rpc.peer_trust import PeerTrust
from pydfsnode.rpc.schema import Rpc
from pydfsnode.rpc.status import ERROR_INFO_URL, error_from_status
from pydfsnode.rpc.stream_watch import Sign
from pydfsnode.security.identity import Identity
from pydfsnode.security.refusals import alert_sentence
from pydfsnode.security.tls import TlsStore, expect_peer

_log = get_logger("rpc.client")

KEEPALIVE_S = 15.0
"""With calls open and nothing heard for this long a Ping asks; as long again: the peer is gone."""
RETRY_AFTER_MS = 20
_ENDED: dict[type[PydfsError], str] = {
    CertificateRevoked: "our certificate was revoked: an administrator must issue a new one",
    IssuerUntrusted: "our certificate is valid no more, or its CA was removed: issue a new one",
    OtherCluster: "our certificate is of another cluster: use one of this cluster",
    PeerUnauthenticated: "our certificate is not one of a member: it must hold exactly one URI, "
    "our identity",
}
PING_TIMEOUT_NANO = 5_000_000_000
_KeyValue = ttrpc_pb2.KeyValue


class ClientConnection(FramedConnection):
    """One connection to a peer whose certificate says that it is the one meant."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tls: TlsStore, address: str,
        expect_role: str, expect_name: str | None, metadata: list[ttrpc_pb2.KeyValue],
    ) -> None:  # fmt: skip
        super().__init__(loop)
        self.address = address
        self.identity: Identity | None = None
        self.refusal: PydfsError | None = None
        """Why this connection may not be used, or why the peer ended it."""
        self.leaving = False
        self._tls = tls
        self._expected = (expect_role, expect_name)
        self._trust = PeerTrust(tls)
        self._own_generation = tls.own_generation
        self._metadata = metadata
        self._next_id = 1
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when the server answered the first Ping: it accepted us, and said what it knows."""
        self._probed_at = 0.0
        self._tag = randbytes(8).hex()
        self._tag_bytes = self._tag.encode()
        self._more = ttrpc_pb2.Request(metadata=metadata).SerializeToString()

    # ---- connection

    def opened(self) -> None:
        """Check that the peer is who was meant, and ask whether it takes us.

        In TLS 1.3 the server looks at our certificate after we think that we are connected. A call
        sent at once and never answered would leave an unknown outcome behind; a Ping leaves none.
        """
        try:
            self.identity = self._tls.peer_of(self.transport.get_extra_info("ssl_object"))
            expect_peer(self.identity, *self._expected)
            self._trust.take(self.transport.get_extra_info("ssl_object"))
        except PeerUnauthenticated as error:
            error.message = f"{self.address}: {error.message}"
            self.refusal = error
            self.close()
        else:
            self.probe()

    def broken(self, error: PydfsError) -> None:
        """The peer broke the protocol; its calls end with the connection."""
        # A peer that was killed, or a network that was cut, is a fault and breaks no rule.
        write = _log.debug if error.message.startswith(CUT_SHORT) else _log.warning
        write("broken input", peer=self.address, identity=str(self.identity), message=error.message)

    def lost(self, error: BaseException | None) -> None:
        """Every open call ends now."""
        if self.refusal is None and isinstance(error, ssl.SSLError):
            self.refusal = PeerUnauthenticated(
                f"{self.address}: {alert_sentence(error)} (ours: {self._tls.files.cert})",
                found="alert",
            )
        if not self.ready.done():
            self.ready.set_exception(
                self.refusal
                or Unavailable(f"{self.address}: ended the connection before it answered")
            )
            self.ready.exception()  # nobody may be waiting
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.lost()

    def control(self, kind: int, stream_id: int, value: int) -> None:
        """A control record of the server."""
        if kind == HELLO:
            self.flow = True
        elif kind == GOAWAY:
            self.leaving = True
            self._close_when_idle()
        elif kind == CLOSE:
            told = from_wire(value, "")
            why = _ENDED.get(type(told), "the server ended the connection")
            told.message = f"{self.address}: {why}"
            if isinstance(told, PeerUnauthenticated):
                told.message += f" (our certificate: {self._tls.files.cert})"
            self.refusal = told
            self.leaving = True

    def housekeeping(self, now: float) -> None:
        """Ask for a sign of life when one is due; give up on a peer that gives none.

        A peer that is believed no more is left at once; under a new certificate of ours, what is
        called from now on goes over a new connection.
        """
        tls = self._tls
        tls.look(now)
        distrust = self._trust.lost()
        if distrust is not None:
            distrust.message = f"{self.address}: {distrust.message}"
            self.refusal = distrust
            _log.warning("peer is trusted no more", peer=self.address, why=distrust.message)
            self.close()
            return
        if self._own_generation != tls.own_generation:
            self._own_generation = tls.own_generation
            self.leaving = True
            self._close_when_idle()
        silent_s = now - self.received_at
        if not self.calls or silent_s < KEEPALIVE_S:
            self._probed_at = 0.0
        elif not self._probed_at:
            self._probed_at = now
            self.probe()
        elif now - self._probed_at >= KEEPALIVE_S:
            _log.warning("peer is silent", peer=self.address, silent_s=int(silent_s))
            self.abort()

    # ---- calls

    @property
    def usable(self) -> bool:
        """Whether a new call may be opened here."""
        return not (self.closed or self.leaving)

    def open_unary(
        self, rpc: Rpc, payload: bytes, deadline: float, request_id: str, traceparent: str
    ) -> UnaryCall:
        """Send a request; the answer's payload arrives in the call's future."""
        call = UnaryCall(self, self._take_id(), rpc.method, deadline)
        self.calls[call.stream_id] = call
        self._send_request(call, rpc.head, payload, 0, request_id, traceparent)
        if deadline < self._sweep_at:
            self.watch(deadline)
        return call

    def open_stream(
        self, rpc: Rpc, payload: bytes, deadline: float, request_id: str, traceparent: str
    ) -> StreamCall:
        """Open a streaming call with its first message."""
        method = rpc.method
        call = StreamCall(self, self._take_id(), method, deadline)
        self.calls[call.stream_id] = call
        self.streams[call.stream_id] = call.stream
        if method.shape is Shape.SERVER_STREAM:
            call.stream.local_closed = True
            flags = REMOTE_CLOSED
        else:
            flags = REMOTE_OPEN
        self._send_request(call, rpc.head, payload, flags, request_id, traceparent)
        self.watch(deadline)
        return call

    def drop(self, call: UnaryCall | StreamCall) -> None:
        """Wait for *call* no longer, and tell the server if it knows how to be told."""
        if self.calls.pop(call.stream_id, None) is not None:
            self.cancel_remote(call.stream_id)
            self._close_when_idle()

    def probe(self) -> None:
        """Send a Ping whose answer nobody waits for: any frame that comes back is the sign."""
        number = self._take_id()
        request = ttrpc_pb2.Request(
            service=WIRE_PING[0], method=WIRE_PING[1], timeout_nano=PING_TIMEOUT_NANO
        )
        if number == 1:
            request.metadata.append(_KeyValue(key=FLOW_KEY, value=FLOW_VERSION))
        self.send_frame(number, REQUEST, 0, request.SerializeToString())

    def sign_of_life(self) -> Sign:
        """The peer's last one; and ask for another."""
        if self.usable and len(self.calls) < limits.STREAMS_PER_CONNECTION_MAX:
            self.probe()
        return Sign(self.received_at, self.writer.unsent_bytes + self.writer.untaken_bytes)

    def _take_id(self) -> int:
        if len(self.calls) >= limits.STREAMS_PER_CONNECTION_MAX:
            raise Overloaded(
                f"{self.address}: {len(self.calls)} calls open on one connection",
                retry_after_ms=RETRY_AFTER_MS,
            )
        stream_id = self._next_id
        self._next_id = stream_id + 2
        if self._next_id >= STREAM_ID_MAX - 1:
            self.leaving = True  # ids are never used again: the channel connects anew
        return stream_id

    def _send_request(
        self, call: UnaryCall | StreamCall, head: bytes, payload: bytes, flags: int,
        request_id: str, traceparent: str,
    ) -> None:  # fmt: skip
        number = call.stream_id
        remaining_s = call.deadline - self.loop.time()
        if not request_id and not traceparent:
            timeout_nano = 0 if remaining_s == math.inf else max(1, int(remaining_s * 1e9))
            self.send_whole(
                request_frame(
                    number, flags, head, payload, timeout_nano, self._tag_bytes, self._more
                )
            )
            return
        request = ttrpc_pb2.Request(
            service=call.method.service,
            method=call.method.name,
            payload=payload,
            timeout_nano=0 if remaining_s == math.inf else max(1, int(remaining_s * 1e9)),
            metadata=[
                _KeyValue(key=REQUEST_ID_KEY, value=request_id or f"{self._tag}-{number:x}"),
                _KeyValue(
                    key=TRACEPARENT_KEY,
                    value=traceparent or f"00-{self._tag}{number:016x}-{number:016x}-01",
                ),
            ],
        )
        if self._metadata:
            request.metadata.extend(self._metadata)
        self.send_frame(number, REQUEST, flags, request.SerializeToString())

    # ---- frames

    def frame(self, stream_id: int, kind: int, flags: int, payload: bytes | memoryview) -> None:
        """One frame of the server. Raises `RemoteProtocolError` to end the connection."""
        if not stream_id & 1 or stream_id >= self._next_id or kind == REQUEST:
            raise RemoteProtocolError(f"frame of type {kind} on stream {stream_id}, never opened")
        if not self.ready.done():
            self.flow = bool(self.flow)  # ours says HELLO before anything else
            self.ready.set_result(None)
        call = self.calls.get(stream_id)
        if call is None:
            return  # dropped: timed out or cancelled
        if kind == RESPONSE:
            self._response(call, payload)
        elif isinstance(call, StreamCall):
            call.stream.feed(flags, payload)
            if flags & REMOTE_CLOSED:
                self._end(call)
                call.stream.end()
        else:
            raise RemoteProtocolError(f"stream {stream_id}: Data for a unary call")

    def _response(self, call: UnaryCall | StreamCall, payload: bytes | memoryview) -> None:
        envelope = bytes(payload)
        answer = split_response(envelope)
        if answer is not None and type(call) is UnaryCall:
            self._end(call)
            if not call.future.done():
                call.future.set_result(answer)
            return
        try:
            response = ttrpc_pb2.Response.FromString(envelope)
        except DecodeError as error:
            raise RemoteProtocolError(f"stream {call.stream_id}: not a Response: {error}") from None
        self._end(call)
        if response.status.code:
            call.fail(self._failure(call, response.status))
        elif isinstance(call, StreamCall):
            if response.payload:
                call.stream.feed(0, response.payload)
            call.stream.end()
        elif not call.future.done():
            call.future.set_result(response.payload)

    def _failure(self, call: UnaryCall | StreamCall, status: Any) -> PydfsError:
        details = (d.value for d in status.details if d.type_url == ERROR_INFO_URL)
        error = error_from_status(status.code, status.message, next(details, b""))
        if isinstance(error, DeadlineExceeded) and isinstance(call, UnaryCall):
            # The server gave up on its handler, which may have done its work all the same.
            return OutcomeUnknown(error.message, reason="timeout")
        return error

    def _end(self, call: UnaryCall | StreamCall) -> None:
        self.calls.pop(call.stream_id, None)
        if self.leaving:
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        if self.leaving and not self.calls and not self.closed:
            self.loop.call_soon(self.close)  # after the frames that came with this one


def metadata_pairs(metadata: dict[str, str]) -> list[ttrpc_pb2.KeyValue]:
    """Constant metadata as it travels in each request."""
    return [_KeyValue(key=key, value=value) for key, value in metadata.items()]
