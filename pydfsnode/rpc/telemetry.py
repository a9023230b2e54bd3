"""What the servers count and log, bound once so that a call pays for two increments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pydfsnode.errors import PeerUnauthenticated, PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.obs.trace import parse_traceparent
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import USER
from pydfsnode.runtime.clock import Clock, SystemClock
from pydfsnode.security.identity import Identity
from pydfsnode.security.refusals import refusal_reason

_log = get_logger("rpc")

LINES_PER_S = 50


class Denial(NamedTuple):
    """A connection (`cmd` "connect") or call that was refused before its handler ran.

    `user` and `role` are "" when nobody knows who it was; `method` is what was called, `via` the
    node that wanted to act for the user, as "gateway/g1".
    """

    cmd: str
    peer: str
    transport: str
    reason: str
    user: str = ""
    role: str = ""
    method: str | None = None
    detail: str = ""
    via: str = ""


class Denials:
    """Where servers tell what they refused; `listener` hears of it, on the event loop."""

    def __init__(self) -> None:
        self.listener: Callable[[Denial], None] | None = None

    def refused_page(self, peer: str, reason: str, why: str) -> None:
        """A page of the HTTPS listener was refused."""
        self.tell(Denial("connect", peer, "https", reason, detail=why))

    def tell(self, denial: Denial) -> None:
        """Refused."""
        if self.listener is not None:
            self.listener(denial)


class Lines:
    """How much is logged of what strangers do: a flood of it must not be one of lines too.

    Counters and `Denials` hear of everything.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._second = 0
        self._said = 0
        self._kept_back = 0

    def warn(self, event: str, **fields: object) -> None:
        """Log a line, unless there were LINES_PER_S already; the next one says how many."""
        second = self._clock.monotonic_ms() // 1000
        if second != self._second:
            self._second, self._said = second, 0
        if self._said >= LINES_PER_S:
            self._kept_back += 1
            return
        self._said += 1
        if self._kept_back:
            fields["not_logged_before"], self._kept_back = self._kept_back, 0
        _log.warning(event, **fields)


class ServerTelemetry:
    """Counters of one transport ("framed" or "grpc") of this process."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self.denials = Denials()
        self._lines = Lines()
        table = metrics()
        self.connections = table.gauge("rpc_open_connections", transport)
        self.streams = table.gauge("rpc_open_streams", transport)
        self.bytes_in: Callable[[float], None] = table.counter("rpc_stream_bytes_total", "in").inc
        self.bytes_out: Callable[[float], None] = table.counter("rpc_stream_bytes_total", "out").inc

    @property
    def tells_calls(self) -> bool:
        """Whether each call has a line in the log."""
        return _log.says_debug

    def served(self, call: CallContext, took_s: float) -> None:
        """Log that *call* ended, well or not."""
        trace = parse_traceparent(call.traceparent)
        _log.debug(
            "call served", method=call.method.path, request_id=call.request_id,
            trace_id=trace.trace_id if trace is not None else "", identity=call.identity.uri,
            peer=call.peer, transport=self.transport, took_ms=round(took_s * 1000, 1),
        )  # fmt: skip

    def answered(self, path: str) -> Callable[[], None]:
        """Counts a call of *path* that succeeded."""
        return metrics().counter("rpc_requests_total", path, "ok", self.transport).inc

    def seconds(self, path: str) -> Callable[[float], None]:
        """Records the duration of a call of *path*."""
        return metrics().histogram("rpc_request_seconds", path, self.transport).observe

    def failed(self, path: str, error: PydfsError) -> None:
        """Count a call of *path* that ended with *error*."""
        code = type(error).__name__
        metrics().counter("rpc_requests_total", path, code, self.transport).inc()

    def refused_peer(self, error: PeerUnauthenticated, peer: str) -> None:
        """Count and log a connection whose certificate is not good enough (INV-WHO)."""
        reason = refusal_reason(error)
        metrics().counter("rpc_refused_peers_total", reason, self.transport).inc()
        self._lines.warn(
            "refused a peer", peer=peer, transport=self.transport, reason=reason,
            message=error.message, found=str(error.fields.get("found", "")),
        )  # fmt: skip
        self.denials.tell(Denial("connect", peer, self.transport, reason, detail=error.message))

    def refused_call(
        self, identity: Identity, path: str, peer: str, reason: str = "role", named: str = ""
    ) -> None:
        """Count and log a call that the peer may not make (INV-WHO).

        Args:
            named: the user whom it wanted to act for; "": it wanted to act as itself.
        """
        metrics().counter("rpc_refused_peers_total", reason, self.transport).inc()
        self._lines.warn(
            "refused a call", peer=peer, transport=self.transport, reason=reason,
            identity=identity.uri, method=path, **({"acting_for": named} if named else {}),
        )  # fmt: skip
        denial = Denial("call", peer, self.transport, reason, identity.name, identity.role, path)
        if named:
            via = f"{identity.role}/{identity.name}"
            denial = denial._replace(user=named, role=USER, via=via)
        self.denials.tell(denial)

    def too_many(self, peer: str) -> None:
        """Count and log a connection refused because there are CONNECTIONS_MAX already."""
        metrics().counter("rpc_refused_peers_total", "too_many", self.transport).inc()
        self._lines.warn("too many connections", peer=peer, transport=self.transport)

    def failed_handshake(self, peer: str, message: str, reason: str = "") -> None:
        """Count and log a peer that did not get through TLS; *reason*: `handshake_reason`."""
        metrics().counter("rpc_refused_peers_total", "handshake", self.transport).inc()
        self._lines.warn(
            "TLS handshake failed", peer=peer, transport=self.transport,
            reason=reason or "handshake", message=message,
        )  # fmt: skip
        if reason:  # else the connection broke
            self.denials.tell(Denial("connect", peer, self.transport, reason, detail=message))

    def broken(self, kind: str, identity: str, peer: str, message: str) -> None:
        """Count and log input that ended a connection ("frame", "stream") or a call ("message")."""
        metrics().counter("rpc_protocol_errors_total", kind).inc()
        self._lines.warn("broken input", kind=kind, identity=identity, peer=peer, message=message)
