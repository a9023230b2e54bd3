"""What this master records in its audit trail: every answer it gives, and what befalls it.

Calls are recorded where they are answered, on both transports alike, by what is wrapped around
their handlers; those that came in a batch by the batch. A call that another master shall answer is
recorded there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from pydfsnode._fast import only_text
from pydfsnode.errors import AccessDenied, NotLeader, PydfsError, SecurityError
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master.audited_calls import AUDITED, Audited, audited
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.server import Handler, Handlers
from pydfsnode.rpc.telemetry import Denial
from pydfsnode.security.audit.record import OK, RAFT, SECURITY, Fields, What, Who
from pydfsnode.security.audit.trail import Trail

STRANGERS_PER_S = 100
"""Refused connections that have records of their own; of more in a second the number is told."""
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


class Auditing:
    """See the module.

    Args of the constructor:
        reads: which reads that were allowed are recorded: "none", "open" or "all".
        monotonic_ms: the clock.
    """

    def __init__(self, trail: Trail, reads: str, monotonic_ms: Callable[[], int]) -> None:
        self._trail = trail
        self._reads = reads
        self._now_ms = monotonic_ms
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
        self._strangers_since_ms = self._strangers = 0
        self.admit = trail.admit
        _export(trail)

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
                if outcome and (tells_success or outcome in _DENIALS):
                    self._record(row, request, call, outcome)
            return answer

        return answered

    def _tells(self, row: Audited) -> bool:
        """Whether calls that were allowed are recorded."""
        return (
            not row.is_read or self._reads == "all" or (self._reads == "open" and not row.is_glance)
        )

    def _record(self, row: Audited, request: Any, call: CallContext, outcome: str) -> None:
        allowed = outcome not in _DENIALS
        src, dst, detail = row.describe(request)
        what = What(row.cmd, src, dst, allowed, outcome, detail)
        is_urgent = row.kind != "namespace" or not allowed
        self._trail.append(row.kind, _who(call), [what], is_urgent)

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
            allowed = outcome not in _DENIALS
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
            self._trail.append("namespace", _who(call), told)

    # ---- refused peers and calls

    def denied(self, denial: Denial) -> None:
        """A connection or a call was refused before any handler saw it (INV-WHO)."""
        if not denial.role:
            now_ms = self._now_ms()
            if now_ms - self._strangers_since_ms >= 1000:
                self._tell_suppressed()
                self._strangers_since_ms, self._strangers = now_ms, 0
            self._strangers += 1
            if self._strangers > STRANGERS_PER_S:
                return
        who = Who(denial.user, denial.role, denial.peer, denial.transport)
        what = What(denial.cmd, denial.method, None, False, denial.reason, denial.detail[:500])
        self._trail.append(SECURITY, who, [what], is_urgent=self._strangers <= 1)

    def _tell_suppressed(self) -> None:
        more = self._strangers - STRANGERS_PER_S
        if more > 0:
            self.event(SECURITY, "connect", outcome="more", allowed=False, more=more)

    # ---- what befalls this master

    def event(
        self, kind: str, cmd: str, *, user: str = "", outcome: str = OK, allowed: bool = True,
        **more: object,
    ) -> None:  # fmt: skip
        """Record what is no call: a key or certificate changed, and the like. Never a secret."""
        detail = msgspec.json.encode(more).decode() if more else ""
        what = What(cmd, None, None, allowed, outcome, detail)
        self._trail.append(kind, Who(user), [what], is_urgent=True)

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

    def certificate_changed(self, serial: str) -> None:
        """This master shows another certificate, or believes others, from now on."""
        self.event(SECURITY, "certificatesReloaded", serial=serial)

    def finish(self) -> None:
        """Record what waits."""
        self._record_batches()


def outcome_of(error: PydfsError) -> str:
    """The word of the trail for *error*; "": another master's to record."""
    return "" if isinstance(error, NotLeader) else type(error).__name__


def _all_below(kind: type[PydfsError]) -> Iterable[type[PydfsError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all_below(each)


_DENIALS = frozenset(
    each.__name__ for kind in (AccessDenied, SecurityError) for each in _all_below(kind)
)


def _who(call: CallContext) -> Who:
    identity, trace = call.identity, call.traceparent
    return Who(
        identity.name, identity.role, call.peer, call.transport, call.request_id, trace[3:35]
    )


def _export(trail: Trail) -> None:
    table = metrics()
    table.follow("audit_records_total", lambda: trail.appended)
    table.follow("audit_dropped_total", lambda: trail.dropped)
    table.follow("audit_failures_total", lambda: trail.failures)
    table.gauge("audit_queued_count").set_function(lambda: trail.queued)
    table.gauge("audit_failing_boolean").set_function(lambda: 1 if trail.problem else 0)
