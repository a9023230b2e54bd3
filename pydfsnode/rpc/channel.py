"""Calls to one node: connects when first needed, again when lost, one connection for all calls."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable
from contextvars import Context
from typing import Any

from pydfsnode import limits
from pydfsnode.config import split_address
from pydfsnode.errors import (
    DeadlineExceeded,
    MessageTooLarge,
    PeerUnauthenticated,
    PydfsError,
    Unavailable,
    invariant,
)  # fmt: skip
from pydfsnode.obs.faults import FIELD, Fault
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.request_scope import current, traceparent_below
from pydfsnode.rpc.channel_stream import ClientStream
from pydfsnode.rpc.client_connection import ClientConnection, metadata_pairs
from pydfsnode.rpc.listening import keep_alive
from pydfsnode.rpc.methods import Shape
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.schema import Rpc, rpc_of
from pydfsnode.runtime.breaker import BreakerState
from pydfsnode.security.refusals import peer_sentence
from pydfsnode.security.tls import TlsStore

_log = get_logger("rpc.client")
_scope = current.get  # bound once: it is asked at each call

CONNECT_S = 10.0
CONNECT_ATTEMPTS = 3
"""A connection may end between being made and being used; a peer that always does is not used."""
SILENT_S = 0.9
"""A peer that leaves a call unanswered and says nothing else for so long has failed."""


class FramedChannel:
    """Calls over ttrpc frames on mutual TLS to the node at *address*.

    Args:
        address: "host:port" of the framed listener.
        tls: this process's certificate.
        expect_role: the role that the peer's certificate must have.
        expect_name: the name that it must have; None: any of that role.
        metadata: pairs sent with every request beside request id and traceparent.
        health: shared with the other channels of this process; None: of this channel alone.

    Errors that are faults (obs/faults.py) are counted in *health*; those that arise here name the
    fault and the peer in their fields.
    """

    def __init__(
        self, address: str, tls: TlsStore, expect_role: str, expect_name: str | None = None, *,
        metadata: dict[str, str] | None = None, health: PeerHealth | None = None,
    ) -> None:  # fmt: skip
        self.address = address
        self.peer = expect_name or address
        self._health = health or PeerHealth()
        self._breaker = self._health.breaker(self.peer, address)
        self._tls = tls
        self._expected = (expect_role, expect_name)
        self._metadata = metadata_pairs(metadata or {})
        self._connection: ClientConnection | None = None
        self._connecting: asyncio.Task[ClientConnection] | None = None
        self._older: set[ClientConnection] = set()
        self._closed = False

    async def unary(
        self, path: str, request: Any, *, timeout_ms: int | None = None,
        request_id: str = "", traceparent: str = "",
    ) -> Any:  # fmt: skip
        """Call a unary method.

        Args:
            path: "/service/method".
            request: the method's request message.
            timeout_ms: of everything, connecting included; None: the method's own.
            request_id, traceparent: of the request that this one is part of; made when empty.

        Returns:
            The response message.

        Raises:
            Unavailable: no connection, or the peer's breaker is open; nothing was sent.
            DeadlineExceeded: no connection in time; nothing was sent.
            OutcomeUnknown: sent, but no answer came (fields["reason"]: "timeout", "lost").
            PeerUnauthenticated: the peer is not who was meant, or refused our certificate.
            PydfsError: what the method answered.
        """
        rpc = rpc_of(path)
        payload = request.SerializeToString()
        answer = await self._call(rpc, payload, timeout_ms, request_id, traceparent)
        return rpc.parse_response(answer)

    def ask(self, path: str, request: bytes, *, timeout_ms: int | None = None) -> Awaitable[bytes]:
        """As `unary`, for a request that is encoded already; the answer is given encoded."""
        return self._call(rpc_of(path), request, timeout_ms, "", "")

    async def _call(
        self, rpc: Rpc, payload: bytes, timeout_ms: int | None, request_id: str, traceparent: str
    ) -> bytes:
        _check_size(rpc, payload)
        connection = self._connection
        loop = asyncio.get_running_loop() if connection is None else connection.loop
        if timeout_ms is None:
            timeout_ms = rpc.method.deadline_ms
        deadline = loop.time() + timeout_ms / 1000 if timeout_ms is not None else math.inf
        scope = _scope()
        if scope is not None and not request_id:
            request_id, traceparent = scope.request_id, traceparent_below(scope)
            deadline = min(deadline, scope.deadline)
            _log.debug("call", method=rpc.method.path, to=self.peer)
        # What `usable` and `write_paused` say, without two calls for each request.
        if (
            connection is None
            or connection.closed
            or connection.leaving
            or connection.writer.paused
        ):
            connection = await self.connected(rpc.method.path, deadline)
        call = connection.open_unary(rpc, payload, deadline, request_id, traceparent)
        try:
            return await call.future
        except asyncio.CancelledError:
            connection.drop(call)
            raise
        except PydfsError as error:
            if error.fields.get("reason") == "timeout":
                self._note_silence(error, connection, timeout_ms)
            self.note(error)
            raise

    def note(self, error: PydfsError) -> None:
        """Count *error* of a call, if it is a fault."""
        self._health.note(self.peer, error)

    def _note_silence(
        self, error: PydfsError, connection: ClientConnection, timeout_ms: int | None
    ) -> None:
        """A peer that said nothing at all since it was asked has failed; one that only answered
        this call too late has not.
        """
        silent_s = connection.loop.time() - connection.received_at
        if silent_s >= SILENT_S and silent_s * 1000 >= 0.9 * (timeout_ms or 0):
            self._breaker.failed(error.message)
            if self._breaker.state is not BreakerState.CLOSED:
                # New calls need a new connection, which is the breaker's probe.
                connection.leaving = True

    def stream(
        self, path: str, first_message: Any, *, timeout_ms: int | None = None,
        request_id: str = "", traceparent: str = "",
    ) -> ClientStream:  # fmt: skip
        """A streaming call, opened by the first operation on it (or by `await` or `async with`).

        Args:
            path: "/service/method" of a streaming method.
            first_message: the request, or the first of a bidirectional call.
            timeout_ms: of the whole call; None: it lives as long as its ends.
            request_id, traceparent: as `unary`.
        """
        rpc = rpc_of(path)
        invariant(rpc.method.shape is not Shape.UNARY, f"{path} is unary, called as a stream")
        payload: bytes = first_message.SerializeToString()
        _check_size(rpc, payload)
        return ClientStream(self, rpc, payload, timeout_ms, request_id, traceparent)

    async def close(self) -> None:
        """End the connection; calls in flight end as lost."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        connections = {*self._older, *([self._connection] if self._connection else [])}
        for connection in connections:
            connection.close()
        self._older.clear()
        self._connection = None

    async def connected(self, path: str, deadline: float) -> ClientConnection:
        """A connection that takes calls and has room in its buffers, made if there is none.

        Raises:
            Unavailable, PeerUnauthenticated: it cannot be made.
            DeadlineExceeded: not by *deadline*, in the loop's seconds.
        """
        timeout = None if deadline == math.inf else deadline
        try:
            async with asyncio.timeout_at(timeout):
                for _ in range(CONNECT_ATTEMPTS):
                    connection = self._connection
                    if connection is None or not connection.usable:
                        # Shielded: others wait for the same connection.
                        connection = await asyncio.shield(self._connect_once())
                    await connection.writable()
                    if connection.usable:
                        return connection
                raise self._fault(Fault.RESET, "ends every connection at once")
        except TimeoutError:
            late = DeadlineExceeded(f"{path}: no connection to {self.address} in time")
            late.fields |= {FIELD: Fault.TIMED_OUT, "peer": self.peer}
            self._health.note(self.peer, late)
            raise late from None
        except asyncio.CancelledError:
            if self._closed:
                raise Unavailable(f"{self.address}: the channel is closed") from None
            raise

    def _connect_once(self) -> asyncio.Task[ClientConnection]:
        if self._closed:
            raise Unavailable(f"{self.address}: the channel is closed")
        if self._connecting is None:
            if not self._breaker.allows():
                raise self._not_asked()
            loop = asyncio.get_running_loop()
            # In no request's scope: the connection outlives the one that needed it first.
            self._connecting = loop.create_task(
                self._connect(), name=f"connect {self.address}", context=Context()
            )
            self._connecting.add_done_callback(self._connect_done)
        return self._connecting

    def _connect_done(self, task: asyncio.Task[ClientConnection]) -> None:
        self._connecting = None
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            self._breaker.given_up()
        elif isinstance(error, PydfsError):
            self._health.note(self.peer, error)
            if isinstance(error, Unavailable):
                self._breaker.failed(error.message)
            else:
                self._breaker.succeeded()  # it is there, and does not want us
        elif error is not None:
            self._breaker.given_up()
        else:
            self._breaker.succeeded()
            if self._connection is not None and not self._connection.closed:
                self._older = {c for c in self._older if not c.closed} | {self._connection}
            self._connection = task.result()

    def _not_asked(self) -> Unavailable:
        # With the words of the last failure: that is what people want to know, and who tells only
        # what is new tells it once.
        error = Unavailable(self._breaker.last_failure, address=self.address, peer=self.peer)
        error.fields[FIELD] = Fault.BREAKER_OPEN
        self._health.note(self.peer, error)
        return error

    def _fault(self, kind: Fault, text: str) -> Unavailable:
        error = Unavailable(f"{self.address}: {text}", address=self.address, peer=self.peer)
        error.fields[FIELD] = kind
        return error

    async def _connect(self) -> ClientConnection:
        try:
            async with asyncio.timeout(CONNECT_S):
                try:
                    return await self._greeted()
                except Unavailable:
                    pass
                # It may have gone away just then; a second time it means us.
                try:
                    return await self._greeted()
                except Unavailable as error:
                    why = self._tls.own_problem() or "its log says why"
                    raise PeerUnauthenticated(
                        f"{error.message}: it does not accept our certificate "
                        f"{self._tls.files.cert} ({why}), or is no pydfsnode",
                        found="closed",
                    ) from None
        except ssl.SSLCertVerificationError as error:
            raise PeerUnauthenticated(
                f"{self.address}: {peer_sentence(error)}",
                found="untrusted",
            ) from None
        except (OSError, EOFError) as error:  # a TimeoutError is an OSError
            text = f"cannot connect: {str(error) or type(error).__name__}"
            raise self._fault(_fault_of_os(error), text) from None

    async def _greeted(self) -> ClientConnection:
        """A connection whose peer has answered once.

        Raises:
            Unavailable: TLS was established and then the peer ended it.
            PydfsError: the peer is not who was meant, or said why it refuses us.
            OSError: no connection.
        """
        loop = asyncio.get_running_loop()
        connected, host = await self._dial()
        try:
            _, connection = await loop.create_connection(
                lambda: ClientConnection(
                    loop, self._tls, self.address, *self._expected, self._metadata
                ),
                sock=connected, ssl=self._newest_context(), server_hostname=host,
                ssl_handshake_timeout=limits.HANDSHAKE_MS_MAX / 1000, ssl_shutdown_timeout=2.0,
            )  # fmt: skip
        except BaseException:
            if not isinstance(loop, asyncio.BaseEventLoop):
                # uvloop has closed the descriptor, but not the object: when that is collected, it
                # would close whatever has the number by then, be it a connection or a file.
                connected.detach()
            raise
        try:
            await connection.ready
        except BaseException:
            connection.close()
            raise
        return connection

    def _newest_context(self) -> ssl.SSLContext:
        self._tls.look(asyncio.get_running_loop().time())
        return self._tls.client_context()

    async def _dial(self) -> tuple[socket.socket, str]:
        """A connected TCP socket, of the first address of the host that answers."""
        host, port = split_address(self.address)
        loop = asyncio.get_running_loop()
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, where in await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            connected = socket.socket(family, kind, protocol)
            connected.setblocking(False)
            try:
                await loop.sock_connect(connected, where)
            except OSError as error:
                connected.close()
                failure = error
            except BaseException:
                connected.close()
                raise
            else:
                keep_alive(connected)
                return connected, host
        raise failure


def _fault_of_os(error: OSError | EOFError) -> Fault:
    if isinstance(error, ConnectionRefusedError):
        return Fault.REFUSED
    if isinstance(error, ssl.SSLError):
        return Fault.TLS_REFUSED
    if isinstance(error, ConnectionError | EOFError):
        return Fault.RESET
    return Fault.TIMED_OUT if isinstance(error, TimeoutError) else Fault.UNREACHABLE


def _check_size(rpc: Rpc, payload: bytes) -> None:
    if len(payload) > rpc.method.request_bytes_max:
        raise MessageTooLarge(
            f"{rpc.method.path}: request of {len(payload)} bytes, "
            f"at most {rpc.method.request_bytes_max}"
        )
