"""What this master records in its audit trail: every answer it gives, and what befalls it.

Calls are recorded where they are answered, on both transports alike, by what is wrapped around
their handlers; those that came in a batch by the batch. A call that another master shall answer is
recorded there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pydfsnode._fast import only_text
from pydfsnode.errors import NotLeader, PydfsError
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.audit.recording import DENIALS, Recording, who_of
from pydfsnode.roles.master.audited_calls import AUDITED, Audited, audited
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.server import Handler, Handlers
from pydfsnode.security.audit.record import OK, RAFT, Fields, What
from pydfsnode.security.audit.trail import Trail

CANCELLED = "Cancelled"
"""Outcome of what nobody waited for until it was answered: it may have been done."""


class BatchItem(Protocol):
    """A call in a batch."""

    @property
    def method(self) -> str:
        """Its name."""
        ...

    @property
    def request(self) -> bytes:
        """Encoded."""
        ...


class Auditing(Recording):
    """See the module.

    Args of the constructor:
        reads: which reads that were allowed are recorded: "none", "open" or "all".
        monotonic_ms: the clock.
    """

    def __init__(self, trail: Trail, reads: str, monotonic_ms: Callable[[], int]) -> None:
        super().__init__(trail, monotonic_ms)
        self._reads = reads
        self._of_batch = {
            path.rpartition("/")[2]: row
            for path, row in AUDITED.items()
            if path.startswith("/pydfs.v1.Namespace/")
        }
        self._silent = frozenset(
            name for name, row in self._of_batch.items() if not self._tells(row)
        )
        self._batches: list[tuple[Sequence[BatchItem], Mapping[int, str], CallContext]] = []
        self._led = False
        self._members: Configuration | None = None
        self.admit = trail.admit

    # ---- calls

    def around(self, handlers: Handlers) -> dict[str, Handler]:
        """*handlers*, those that are recorded with what records them."""
        return {
            path: self._around(row, handler) if (row := audited(path)) is not None else handler
            for path, handler in handlers.items()
        }

    def _around(self, row: Audited, handler: Handler) -> Handler:
        tells_success = self._tells(row)

        async def answered(request: Any, call: CallContext, *stream: Any) -> Any:
            if tells_success:
                self._trail.admit()
            outcome = CANCELLED
            try:
                answer = await handler(request, call, *stream)
                outcome = OK
            except PydfsError as error:
                outcome = outcome_of(error)
                raise
            finally:
                if outcome and (tells_success or outcome in DENIALS):
                    self._record(row, request, call, outcome)
            return answer

        return answered

    def _tells(self, row: Audited) -> bool:
        """Whether calls that were allowed are recorded."""
        return (
            not row.is_read or self._reads == "all" or (self._reads == "open" and not row.is_glance)
        )

    def _record(self, row: Audited, request: Any, call: CallContext, outcome: str) -> None:
        allowed = outcome not in DENIALS
        src, dst, detail = row.describe(request)
        what = What(row.cmd, src, dst, allowed, outcome, detail)
        is_urgent = row.kind != "namespace" or not allowed
        self._trail.append(row.kind, who_of(call), [what], is_urgent)

    def batch(
        self, items: Sequence[BatchItem], outcomes: Mapping[int, str], call: CallContext
    ) -> None:
        """Record the calls of a batch, once its answer is on its way.

        Args:
            outcomes: by position, of those that were not done: as `outcome_of` says.
        """
        if not self._batches:
            asyncio.get_running_loop().call_soon(self._record_batches)
        self._batches.append((items, outcomes, call))

    def _record_batches(self) -> None:
        batches, self._batches = self._batches, []
        for items, outcomes, call in batches:
            self._record_batch(items, outcomes, call)

    def _record_batch(
        self, items: Sequence[BatchItem], outcomes: Mapping[int, str], call: CallContext
    ) -> None:
        known, silent = self._of_batch, self._silent
        told: list[Fields] = []
        for position, item in enumerate(items):
            method = item.method
            row = known.get(method)
            outcome = outcomes.get(position, OK) if outcomes else OK
            if row is None or not outcome:
                continue
            allowed = outcome not in DENIALS
            if allowed and method in silent:
                continue
            if row.only_path and (path := only_text(item.request)):
                told.append((row.cmd, path, None, allowed, outcome, ""))
                continue
            try:
                src, dst, detail = row.describe(row.parse(item.request))
            except PydfsError:  # it could not be read by the handler either
                src = dst = None
                detail = ""
            told.append((row.cmd, src, dst, allowed, outcome, detail))
        if told:
            self._trail.append("namespace", who_of(call), told)

    # ---- what befalls this master

    def role_changed(self, role: str, term: int) -> None:
        """This master became *role* in *term*."""
        leads = role == "leader"
        if leads != self._led:
            self._led = leads
            self.event(RAFT, "becomeLeader" if leads else "leaveLeadership", term=term)

    def members_changed(self, members: Configuration) -> None:
        """The masters are *members* from now on, as this one's log says."""
        before, self._members = self._members, members
        if before is not None and before != members:
            self.event(
                RAFT, "members", voters=list(members.voters), outgoing=list(members.outgoing),
                learners=list(members.learners),
            )  # fmt: skip

    def finish(self) -> None:
        """Record what waits."""
        self._record_batches()


def outcome_of(error: PydfsError) -> str:
    """The word of the trail for *error*; "": another master's to record."""
    return "" if isinstance(error, NotLeader) else type(error).__name__
