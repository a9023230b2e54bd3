"""Several calls of the Namespace service in one message: one frame, one wait, one answer.

What callers ask at the same time enters the same group of the log anyway; this saves what each
call by itself costs on the way in and out (docs/adr/0007).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any, cast

from pydfsnode import limits
from pydfsnode._fast import messages_in_field_1
from pydfsnode.errors import InvalidArgument, MessageTooLarge, PydfsError, UnknownMethod
from pydfsnode.roles.master.service.conversions import Encoded
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import may_call
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.server import Handlers
from pydfsnode.rpc.status import status_of
from pydfsnode.runtime.turns import Turns

Parse = Callable[[bytes], Any]
Handler = Callable[[Any, CallContext], Awaitable[Any]]
Calls = Mapping[str, tuple[Parse, Handler]]
"""What may be asked, by the name of the method."""
ANSWER_BYTES_MAX = 24 * limits.KIB
"""A larger answer is asked for again, alone: all together fit in a message."""


class Batching:
    """Answers `Batch` with the handlers of the other methods.

    Args of the constructor:
        handlers: path to unary handler; what is missing cannot be batched.
        turns: so that ticks and other callers are not held up.
    """

    def __init__(self, handlers: Handlers, turns: Turns) -> None:
        self._turns = turns
        self._handlers = handlers
        self._calls: dict[str, Calls] = {}  # by the role of the caller

    async def batch(self, request: pb.BatchRequest, call: CallContext) -> pb.BatchResponse:
        """Run every item as if it had been called by itself; each has its own answer or error.

        Raises:
            InvalidArgument: too many items.
        """
        items = request.items
        if len(items) > limits.BATCH_ITEMS_MAX:
            raise InvalidArgument(
                f"a batch of {len(items)} calls: at most {limits.BATCH_ITEMS_MAX}"
            )
        works: list[_Work] = []
        turns, calls = self._turns, self._calls_of(call.identity.role)
        try:
            for item in items:
                if turns.is_over:
                    await turns.next(call.peer)
                work = _Work()
                works.append(work)
                _begin(work, item, call, calls)
            for work in works:
                while work.waiting is not None:
                    await _done(work.waiting)
                    if turns.is_over:
                        await turns.next(call.peer)
                    work.step()
        finally:
            for work in works:
                work.close()
        # BatchResponse has its answers in field 1, and BatchAnswer its response.
        encoded = messages_in_field_1([work.answer for work in works])
        return cast(pb.BatchResponse, Encoded(pb.BatchResponse, encoded))

    def _calls_of(self, role: str) -> Calls:
        known = self._calls.get(role)
        if known is None:
            known = self._calls[role] = {
                path.rpartition("/")[2]: (rpc_of(path).parse_request, handler)
                for path, handler in self._handlers.items()
                if may_call(path, role)
            }
        return known


def _begin(work: _Work, item: pb.BatchItem, call: CallContext, calls: Calls) -> None:
    method = item.method
    known = calls.get(method)
    try:
        if known is None:
            raise UnknownMethod(f"{method!r} cannot be part of a batch of this caller")
        parse, handler = known
        work.run(handler(parse(item.request), call).__await__())
    except PydfsError as error:
        work.fail(error)


class _Work:
    """One item: a handler that runs up to where it waits, as often as it does."""

    __slots__ = ("_steps", "answer", "waiting")

    def __init__(self) -> None:
        self.answer = b""
        """A BatchAnswer, encoded."""
        self.waiting: asyncio.Future[Any] | None = None
        self._steps: Generator[Any, None, Any] | None = None

    def run(self, steps: Generator[Any, None, Any]) -> None:
        """Begin."""
        self._steps = steps
        self.step()

    def step(self) -> None:
        """Go on up to where it waits next; `waiting` is None when it has its answer."""
        assert self._steps is not None
        try:
            self.waiting = self._steps.send(None)
        except StopIteration as stop:
            response = stop.value.SerializeToString()
            if len(response) > ANSWER_BYTES_MAX:
                self.fail(MessageTooLarge(f"an answer of {len(response)} bytes: ask for it alone"))
                return
            self.answer = messages_in_field_1([response])
            self.waiting = self._steps = None
        except PydfsError as error:
            self.fail(error)

    def fail(self, error: PydfsError) -> None:
        """The answer is *error*."""
        self.answer = pb.BatchAnswer(error=status_of(error).error_info).SerializeToString()
        self.waiting = self._steps = None

    def close(self) -> None:
        """End a handler that was not run to its end."""
        if self._steps is not None:
            self._steps.close()


class _done:
    """Await it: returns when *future* is done, and raises nothing of what it holds."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, None]:
        if not self._future.done():
            self._future._asyncio_future_blocking = True
            yield self._future
