"""What both transports do the same way: who may call what, how long, what an error becomes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from pydfsnode import limits
from pydfsnode.errors import (
    InvariantViolation,
    MessageTooLarge,
    PermissionDenied,
    PydfsError,
    Unavailable,
    UnknownMethod,
    invariant,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.acting import Acting
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import Shape, may_call
from pydfsnode.rpc.schema import RPCS, Rpc
from pydfsnode.rpc.status import internal_error
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.security.identity import Identity, is_name

_log = get_logger("rpc")

STEPPED_SERVICES = frozenset({"pydfs.v1.Namespace"})
"""Their unary handlers run without a task of their own, which costs as much as a small handler.
They may await futures and coroutines, and not use what needs a task (asyncio.timeout, TaskGroup).
"""

REQUEST_ID_CHARACTERS_MAX = 64
DEADLINE_S_MAX = limits.DEADLINE_MS_MAX / 1000

Bytes = bytes | bytearray | memoryview
RawMessage = Bytes | Sequence[Bytes]


class ServerStream(Protocol):
    """The two directions of a streaming call, as its handler sees them."""

    async def receive(self) -> Any | None:
        """The caller's next message (raw methods: the bytes of `data`); None after its last one."""

    async def receive_only(self) -> Any | None:
        """Raw methods: the bytes of a caller that sends one message and says so with it.

        None, and nothing is taken, when it sends more or the transport cannot tell."""

    async def send(self, message: Any, *, end: bool = False) -> None:
        """Send a message (raw methods: bytes-like, or several that form one frame back to back).

        Waits while the caller has not consumed what was sent before (the stream's window is full).

        Args:
            end: the handler sends nothing more and is about to return without an error.
        """


UnaryHandler = Callable[[Any, CallContext], Awaitable[Any]]
StreamHandler = Callable[[Any, CallContext, ServerStream], Awaitable[None]]
Handler = Callable[..., Awaitable[Any]]
Handlers = Mapping[str, Handler]
"""Path to `UnaryHandler` or `StreamHandler`, as the method's shape says."""
OnInvariant = Callable[[BaseException], None]


class Route:
    """A method that this server serves, with everything a call needs bound."""

    __slots__ = (
        "answered", "handler", "head", "is_stepped", "is_unary", "method", "parse", "path",
        "request_bytes_max", "rpc", "seconds", "timeout_s",
    )  # fmt: skip

    def __init__(self, rpc: Rpc, handler: Handler, telemetry: ServerTelemetry) -> None:
        self.rpc = rpc
        self.method = rpc.method
        self.path = rpc.method.path
        self.handler = handler
        self.head = rpc.head
        self.parse = rpc.parse_request
        self.request_bytes_max = rpc.method.request_bytes_max
        self.is_unary = rpc.method.shape is Shape.UNARY
        self.is_stepped = self.is_unary and rpc.method.service in STEPPED_SERVICES
        deadline_ms = rpc.method.deadline_ms
        self.timeout_s = math.inf if deadline_ms is None else deadline_ms / 1000
        self.answered = telemetry.answered(self.path)
        self.seconds = telemetry.seconds(self.path)


class Dispatch:
    """The table of one server on one transport.

    Args:
        handlers: path to handler; each path must have a row that this role serves.
        role: the node's own role.
        telemetry: of the transport.
        on_invariant: told of an `InvariantViolation` in a handler; the node must stop (INV-STOP).
    """

    def __init__(
        self, handlers: Handlers, role: str, telemetry: ServerTelemetry,
        on_invariant: OnInvariant | None = None,
    ) -> None:  # fmt: skip
        self.telemetry = telemetry
        self.acting = Acting()
        self._on_invariant = on_invariant
        self.routes: dict[tuple[str, str], Route] = {}
        for path, handler in handlers.items():
            rpc = RPCS.get(path)
            if rpc is None:
                raise InvariantViolation(f"handler for {path}, which has no row in methods.py")
            invariant(role in rpc.method.served_by, f"{path} is not served by a {role}")
            key = (rpc.method.service, rpc.method.name)
            self.routes[key] = Route(rpc, handler, telemetry)
        self._allowed: dict[str, dict[tuple[str, str], Route]] = {}

    def allowed(self, identity: Identity) -> dict[tuple[str, str], Route]:
        """(service, method) to route, of what *identity* may call; kept per role."""
        found = self._allowed.get(identity.role)
        if found is None:
            found = {k: r for k, r in self.routes.items() if may_call(r.path, identity.role)}
            self._allowed[identity.role] = found
        return found

    def refusal(self, identity: Identity, service: str, name: str, peer: str) -> PydfsError:
        """Why a method is not among those allowed; logged and counted."""
        path = f"/{service}/{name}"[:256]
        if (service, name) in self.routes:
            self.telemetry.refused_call(identity, path, peer)
            return PermissionDenied(
                f"a {identity.role} may not call {path} ({identity}): "
                "use a certificate of a role that may ('pydfsnode certs issue --role')",
                method=path, role=identity.role,
            )  # fmt: skip
        self.telemetry.broken("method", identity.uri, peer, f"unknown method {path}")
        return UnknownMethod(f"this node has no method {path}", method=path)

    def refused_to_act(self, identity: Identity, named: str, route: Route, peer: str) -> None:
        """Count, log and tell that a gateway *named* a user whom it may not act for.

        Of what is no name nothing is told: it may be anything.
        """
        user = named if is_name(named) else ""
        self.telemetry.refused_call(identity, route.path, peer, "may_not_act_for", user)

    def check_size(self, route: Route, size: int) -> None:
        """Raise `MessageTooLarge` when *size* bytes are more than the method's row allows."""
        if size > route.method.request_bytes_max:
            raise MessageTooLarge(
                f"{route.path}: request of {size} bytes, at most {route.method.request_bytes_max}",
                method=route.path,
            )

    def timeout_s(self, route: Route, asked_s: float) -> float:
        """Seconds that a call may take: what the caller asked, within limits, else the row's."""
        if asked_s > 0:
            return asked_s if asked_s < DEADLINE_S_MAX else DEADLINE_S_MAX
        return route.timeout_s

    def failure(self, error: BaseException, route: Route, context: CallContext) -> PydfsError:
        """What the caller is told of *error*; bugs are logged here and hidden from the caller."""
        if isinstance(error, PydfsError) and not isinstance(error, InvariantViolation):
            told = error
        else:
            told = internal_error(context.request_id)
            _log.error(
                "handler failed", method=route.path, request_id=context.request_id,
                identity=context.identity.uri, exc_info=error,
            )  # fmt: skip
            if isinstance(error, InvariantViolation) and self._on_invariant is not None:
                self._on_invariant(error)
        self.telemetry.failed(route.path, told)
        return told

    def stopping(self, route: Route) -> PydfsError:
        """What a call gets that arrives while the node stops: nothing was done, ask another."""
        error = Unavailable(f"{route.path}: the node is stopping; ask another one")
        self.telemetry.failed(route.path, error)
        return error


def log_failure(task: asyncio.Task[Any]) -> None:
    """Done-callback of the transports' own tasks: an unexpected end is a bug and is told."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task failed", task=task.get_name(), exc_info=error)


def join_buffers(message: RawMessage) -> bytes:
    """A raw message as one bytes object, for transports that cannot send pieces."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, bytearray | memoryview):
        return bytes(message)
    return b"".join(message)
