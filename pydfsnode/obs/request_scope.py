"""Which request the running code works for: its id, its trace and until when it is wanted.

Servers enter the scope of the call that a task serves; a client enters one for an operation of
several calls. Calls that are made inside carry the same request id, a span below the same trace,
and no more time than is left; log lines that are written inside name the request. A new task is in
the scope of the one that made it. Outside of any scope each call is a request of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from os import urandom
from typing import NamedTuple, Protocol

from pydfsnode.obs.trace import TraceContext, continue_or_start, start_trace


class Received(Protocol):
    """A call that a server serves; see rpc/context.py."""

    deadline: float

    @property
    def request_id(self) -> str:
        """Of the request."""
        ...

    @property
    def traceparent(self) -> str:
        """Of the caller's span."""
        ...


class RequestScope(Protocol):
    """A request. `deadline` is in seconds of the event loop's clock."""

    @property
    def request_id(self) -> str:
        """The name of the request in the logs of every node that it touches."""
        ...

    @property
    def trace(self) -> TraceContext:
        """The span that the running code is."""
        ...

    @property
    def deadline(self) -> float:
        """After it nobody waits any more."""
        ...


class _OwnScope(NamedTuple):
    """Of a request that begins here."""

    request_id: str
    trace: TraceContext
    deadline: float = math.inf


class _ReceivedScope:
    """Of a request that came from elsewhere; most calls never ask what is looked up here."""

    __slots__ = ("_call", "_trace")

    def __init__(self, call: Received) -> None:
        self._call = call
        self._trace: TraceContext | None = None

    @property
    def request_id(self) -> str:
        return self._call.request_id

    @property
    def trace(self) -> TraceContext:
        if self._trace is None:
            self._trace = continue_or_start(self._call.traceparent, urandom(24))
        return self._trace

    @property
    def deadline(self) -> float:
        return self._call.deadline


current: ContextVar[RequestScope | None] = ContextVar("pydfsnode_request", default=None)
"""The scope of the running task, None outside of any."""


def traceparent_below(scope: RequestScope) -> str:
    """For a call that is made in *scope*: a new span of its trace."""
    return str(scope.trace.child(urandom(8)))


def enter(call: Received) -> Token[RequestScope | None]:
    """Be in the scope of *call*, to the task's end or until `leave`."""
    return current.set(_ReceivedScope(call))


def leave(token: Token[RequestScope | None]) -> None:
    """Be again where one was before `enter`."""
    current.reset(token)


@contextmanager
def request(request_id: str = "") -> Iterator[RequestScope]:
    """What is called inside is one request; its id is made when none is given.

    with request() as scope:
        fs.pipe_file("/a", b"...")
    # scope.request_id is in the log lines of every node that had to do with it
    """
    trace = start_trace(urandom(24))
    scope = _OwnScope(request_id or trace.trace_id[:16], trace)
    token = current.set(scope)
    try:
        yield scope
    finally:
        current.reset(token)
