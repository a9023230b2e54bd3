"""What any node records in its audit trail: refused peers and calls, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from pydfsnode.errors import AccessDenied, PydfsError, SecurityError
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.telemetry import Denial
from pydfsnode.security.audit.record import OK, SECURITY, What, Who
from pydfsnode.security.audit.trail import Trail

STRANGERS_PER_S = 100
"""Refused connections that have records of their own; of more in a second the number is told."""


class Recording:
    """Base of what each role records.

    Args of the constructor:
        monotonic_ms: the clock.
    """

    def __init__(self, trail: Trail, monotonic_ms: Callable[[], int]) -> None:
        self._trail = trail
        self._now_ms = monotonic_ms
        self._strangers_since_ms = self._strangers = 0
        _export(trail)

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
        who = Who(denial.user, denial.role, denial.peer, denial.transport, via=denial.via)
        what = What(denial.cmd, denial.method, None, False, denial.reason, denial.detail[:500])
        self._trail.append(SECURITY, who, [what], is_urgent=self._strangers <= 1)

    def _tell_suppressed(self) -> None:
        more = self._strangers - STRANGERS_PER_S
        if more > 0:
            self.event(SECURITY, "connect", outcome="more", allowed=False, more=more)

    def event(
        self, kind: str, cmd: str, *, user: str = "", outcome: str = OK, allowed: bool = True,
        **more: object,
    ) -> None:  # fmt: skip
        """Record what is no call: a key or certificate changed, and the like. Never a secret."""
        what = What(cmd, None, None, allowed, outcome, detail_of(more))
        self._trail.append(kind, Who(user), [what], is_urgent=True)

    def certificate_changed(self, serial: str) -> None:
        """This node shows another certificate, or believes others, from now on."""
        self.event(SECURITY, "certificatesReloaded", serial=serial)

    def finish(self) -> None:
        """Record what waits."""


def detail_of(fields: dict[str, object]) -> str:
    """As JSON; "" of none."""
    return msgspec.json.encode(fields).decode() if fields else ""


def who_of(call: CallContext) -> Who:
    """Who made *call*: the user, and the gateway if one acts for him."""
    identity, via, trace = call.identity, call.via, call.traceparent
    return Who(
        identity.name, identity.role, call.peer, call.transport, call.request_id, trace[3:35],
        "" if via is None else f"{via.role}/{via.name}",
    )  # fmt: skip


def _all_below(kind: type[PydfsError]) -> Iterable[type[PydfsError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all_below(each)


DENIALS = frozenset(
    each.__name__ for kind in (AccessDenied, SecurityError) for each in _all_below(kind)
)
"""Errors that mean: it was not allowed."""


def _export(trail: Trail) -> None:
    table = metrics()
    table.follow("audit_records_total", lambda: trail.appended)
    table.follow("audit_dropped_total", lambda: trail.dropped)
    table.follow("audit_failures_total", lambda: trail.failures)
    table.gauge("audit_queued_count").set_function(lambda: trail.queued)
    table.gauge("audit_failing_boolean").set_function(lambda: 1 if trail.problem else 0)
