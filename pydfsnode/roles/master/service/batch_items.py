"""The items of one batch on their way: begun one after the other, then waited for together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from typing import Any, NamedTuple

from pydfsnode import limits
from pydfsnode.errors import InvariantViolation, MessageTooLarge, PydfsError, UnknownMethod
from pydfsnode.roles.master.auditing import CANCELLED, Auditing, outcome_of
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus, result_of
from pydfsnode.roles.master.service.quick import WEIGHT_MAX, QuickChange, QuickRead
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.status import status_of
from pydfsnode.runtime.turns import Turns

ANSWER_BYTES_MAX = 24 * limits.KIB
"""A larger answer is asked for again, alone: all together fit in a message."""


class Known(NamedTuple):
    """The ways of one method: the quick ones, if it has them, and its handler."""

    change: QuickChange | None
    read: QuickRead | None
    parse: Callable[[bytes], Any]
    handler: Callable[[Any, CallContext], Awaitable[Any]]


class BatchWay(NamedTuple):
    """What the items of all batches share.

    `turns`: so that ticks and other callers are not held up. `plain_barrier`: begins one for so
    many reads.
    """

    consensus: Consensus
    callers: Callers
    turns: Turns
    plain_barrier: Callable[[int], asyncio.Future[None]]
    auditing: Auditing | None = None


class BatchItems:
    """See the module.

    `responses` by position, encoded; where one is None, `errors` has an encoded ErrorInfo, and
    `outcomes` what the audit trail calls it.
    """

    __slots__ = (
        "_barrier", "_call", "_caller", "_changes", "_consensus", "_known", "_plain_barrier",
        "_reads", "_turns", "_works", "errors", "outcomes", "responses",
    )  # fmt: skip

    def __init__(
        self, count: int, call: CallContext, known: Mapping[str, Known], way: BatchWay
    ) -> None:
        self.responses: list[bytes | None] = [None] * count
        self.errors: dict[int, bytes] = {}
        self.outcomes: dict[int, str] = {}
        self._call = call
        self._known = known
        self._consensus = way.consensus
        self._turns = way.turns
        way.turns.note(call.peer)
        self._plain_barrier = way.plain_barrier
        self._caller = way.callers.of(call.identity)
        self._changes: list[tuple[int, QuickChange, asyncio.Future[object]]] = []
        self._reads: list[tuple[int, QuickRead, Any]] = []
        self._works: list[tuple[int, _Work]] = []
        self._barrier: asyncio.Future[None] | None = None

    async def begin(self, items: Iterable[pb.BatchItem]) -> None:
        """Propose, ask, and run handlers up to where they wait."""
        consensus, turns, call, known = self._consensus, self._turns, self._call, self._known
        user, at_ms = self._caller.text, consensus.wall_ms()
        submit = consensus.submit
        add_change, add_read = self._changes.append, self._reads.append
        weight = WEIGHT_MAX
        for position, item in enumerate(items):
            if weight >= WEIGHT_MAX:
                weight = 0
                if turns.is_over:
                    await turns.next(call.peer)
                    at_ms = consensus.wall_ms()
            weight += 1
            method = item.method
            try:
                ways = known.get(method)
                if ways is None:
                    raise UnknownMethod(f"{method!r} cannot be part of a batch of this caller")
                change, read, parse, handler = ways
                request = item.request
                if change is not None:
                    encoded = change.encode(request, at_ms, user)
                    if encoded is not None:
                        client_id, payload = encoded
                        add_change((position, change, submit(payload, client_id)))
                        continue
                elif read is not None:
                    asked = read.parse(request)
                    if asked is not None:
                        add_read((position, read, asked))
                        continue
                weight = WEIGHT_MAX
                work = _Work(handler(parse(request), call).__await__())
                self._works.append((position, work))
                self._step(position, work)
            except PydfsError as error:
                self._fail(position, error)
        if self._reads:
            self._ask()

    def _ask(self) -> None:
        """One barrier for all reads: each was asked before it begins (INV-LIN)."""
        try:
            self._barrier = self._plain_barrier(len(self._reads))
        except PydfsError as error:
            self._fail_reads(error)

    async def finish(self) -> None:
        """Wait for every item and take its answer."""
        if self._changes:
            await self._finish_changes()
        if self._barrier is not None:
            await self._finish_reads(self._barrier)
        for position, work in self._works:
            while work.waiting is not None:
                await _done(work.waiting)
                if self._turns.is_over:
                    await self._turns.next(self._call.peer)
                try:
                    self._step(position, work)
                except PydfsError as error:
                    self._fail(position, error)

    async def _finish_changes(self) -> None:
        turns, responses, weight = self._turns, self.responses, 0
        for position, change, outcome in self._changes:
            if not outcome.done():
                await _done(outcome)
                weight = WEIGHT_MAX
            if weight >= WEIGHT_MAX:
                weight = 0
                if turns.is_over:
                    await turns.next(self._call.peer)
            weight += 1
            try:
                responses[position] = change.answer(result_of(outcome.result(), change.result))
            except PydfsError as error:
                self._fail(position, error)

    async def _finish_reads(self, barrier: asyncio.Future[None]) -> None:
        await _done(barrier)
        try:
            barrier.result()
        except PydfsError as error:
            self._fail_reads(error)
            return
        turns, responses, weight = self._turns, self.responses, WEIGHT_MAX
        caller, namespace = self._caller.caller, self._consensus.namespace
        for position, read, asked in self._reads:
            if weight >= WEIGHT_MAX:
                weight = 0
                if turns.is_over:
                    await turns.next(self._call.peer)
            weight += read.weight
            try:
                response = read.answer(namespace, asked, caller)
                if len(response) > ANSWER_BYTES_MAX:
                    raise _too_large(response)
                responses[position] = response
            except PydfsError as error:
                self._fail(position, error)

    def _step(self, position: int, work: _Work) -> None:
        response = work.step()
        if response is not None:
            if len(response) > ANSWER_BYTES_MAX:
                raise _too_large(response)
            self.responses[position] = response

    def _fail_reads(self, error: PydfsError) -> None:
        for position, _, _ in self._reads:
            self._fail(position, error)

    def _fail(self, position: int, error: PydfsError) -> None:
        """The answer at *position* is *error*; what must stop the node goes on up (INV-STOP)."""
        if isinstance(error, InvariantViolation):
            raise error
        self.errors[position] = status_of(error).error_info
        self.outcomes[position] = outcome_of(error)

    def close(self) -> None:
        """End the handlers that were not run to their end."""
        for _, work in self._works:
            work.close()
        if self.responses.count(None) != len(self.errors):  # cancelled: who knows how far
            for position, response in enumerate(self.responses):
                if response is None and position not in self.errors:
                    self.outcomes[position] = CANCELLED


def _too_large(response: bytes) -> MessageTooLarge:
    return MessageTooLarge(f"an answer of {len(response)} bytes: ask for it alone")


class _Work:
    """A handler that runs up to where it waits, as often as it does."""

    __slots__ = ("_steps", "waiting")

    def __init__(self, steps: Generator[Any, None, Any]) -> None:
        self._steps = steps
        self.waiting: asyncio.Future[Any] | None = None
        """What it waits for; None before it began and after it ended."""

    def step(self) -> bytes | None:
        """Go on; the response, encoded, when this was its end. Raises what the handler raises."""
        self.waiting = None
        try:
            waiting = self._steps.send(None)
        except StopIteration as stop:
            response: bytes = stop.value.SerializeToString()
            return response
        waiting._asyncio_future_blocking = False  # others may wait for it as well
        self.waiting = waiting
        return None

    def close(self) -> None:
        """End it wherever it is."""
        self._steps.close()


class _done:
    """Await it: returns when *future* is done, and raises nothing of what it holds."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, None]:
        if not self._future.done():
            self._future._asyncio_future_blocking = True
            try:
                yield self._future
            except PydfsError:
                return  # a task raises here what the future holds
