"""What a handler knows about the call it serves."""

from __future__ import annotations

import math
from collections.abc import Callable

from pydfsnode.rpc.methods import Method
from pydfsnode.security.identity import Identity

FRAMED, GRPC = "framed", "grpc"


class CallContext:
    """One call: who calls, what, over which transport, and for how long the caller waits.

    Args:
        identity: the peer, from its certificate.
        method: the row of the method table.
        request_id: the caller's name for the request, or one that the server made.
        traceparent: W3C trace context of the caller's span.
        peer: "host:port" of the other end.
        transport: "framed" or "grpc".
        deadline: in seconds of *clock*; infinite when the call may live as long as its ends.
        clock: the event loop's time, in seconds.
    """

    __slots__ = (
        "_request_id", "_traceparent", "clock", "deadline", "identity", "method", "peer",
        "transport", "via",
    )  # fmt: skip

    def __init__(
        self,
        identity: Identity,
        method: Method,
        request_id: str = "",
        traceparent: str = "",
        peer: str = "",
        transport: str = FRAMED,
        deadline: float = math.inf,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.identity = identity
        self.method = method
        self._request_id = request_id
        self._traceparent = traceparent
        self.peer = peer
        self.transport = transport
        self.deadline = deadline
        self.clock = clock
        self.via: Identity | None = None
        """The gateway that acts for `identity`."""

    @property
    def request_id(self) -> str:
        """The request's id, in the log lines of every node it touches."""
        return self._request_id

    @property
    def traceparent(self) -> str:
        """W3C trace context to continue; "" when the caller sent none."""
        return self._traceparent

    @property
    def is_writable(self) -> bool:
        """Whether the caller takes answers: what it was sent before does not pile up here."""
        return True

    async def writable(self) -> None:
        """Wait until the caller takes answers, or is gone."""

    def remaining_ms(self) -> int | None:
        """Milliseconds until the caller gives up (0: it has), or None when it has no deadline."""
        if self.deadline == math.inf:
            return None
        return max(0, int((self.deadline - self.clock()) * 1000))
