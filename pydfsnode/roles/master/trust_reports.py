"""What nodes said of their certificates: who follows a change of the CA, and who lags."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydfsnode.meta.trust import REISSUING, TRUSTING, Authority

NODES_MAX = 10_000
HEARD_MS = 15_000
"""A live node that was silent for longer lags: nobody knows what it has."""
WARN_LIFETIME_SHARE = 6
"""A certificate in the last sixth of its life was not renewed in time."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """Of one node; times in milliseconds, `heard_ms` by the leader's monotonic clock."""

    serial: str
    signed_at_ms: int
    not_after_ms: int
    issuer_sha256: str
    root_pins: frozenset[str]
    revoked_count: int
    problem: str
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every node shall have, as the leader's state says it."""

    root_pins: frozenset[str]
    issuer_sha256: str
    revoked_count: int


class TrustReports:
    """By identity. A new leader begins with none: nodes report every second."""

    def __init__(self) -> None:
        self._reports: dict[str, NodeReport] = {}

    def note(self, identity: str, report: NodeReport) -> None:
        """*identity* has said how it stands."""
        if identity in self._reports or len(self._reports) < NODES_MAX:
            self._reports[identity] = report

    def get(self, identity: str) -> NodeReport | None:
        """What it said last."""
        return self._reports.get(identity)

    def behind(
        self, identity: str, authority: Authority | None, wanted: Wanted, now_ms: int
    ) -> str:
        """What *identity* lacks before the next step may be taken; "" when nothing."""
        report = self._reports.get(identity)
        if report is None or now_ms - report.heard_ms > HEARD_MS:
            return "has not said what it has"
        trouble = f" ({report.problem})" if report.problem else ""
        if not wanted.root_pins <= report.root_pins:
            return f"does not believe every root yet{trouble}"
        if authority is None:
            return ""
        if authority.phase == "" and report.root_pins != wanted.root_pins:
            return f"still believes a root that is gone{trouble}"
        if report.signed_at_ms < renew_before_ms(authority, identity):
            return f"has not renewed its certificate yet{trouble}"
        if authority.phase == REISSUING and report.issuer_sha256 != wanted.issuer_sha256:
            return f"has a certificate of the old CA{trouble}"
        return ""

    def expiring(self, live: Iterable[str], wall_ms: int) -> list[tuple[str, int]]:
        """(identity, ms left, negative when over) of live nodes that were not renewed in time."""
        found = []
        for identity in live:
            report = self._reports.get(identity)
            if report is None:
                continue
            left_ms = report.not_after_ms - wall_ms
            lifetime_ms = report.not_after_ms - report.signed_at_ms
            if left_ms * WARN_LIFETIME_SHARE < lifetime_ms:
                found.append((identity, left_ms))
        return sorted(found, key=lambda pair: pair[1])


def renew_before_ms(authority: Authority | None, identity: str) -> int:
    """A certificate of *identity* signed before is to be renewed; a whole second, 0: none.

    Certificates say when they were signed in seconds.
    """
    if authority is None:
        return 0
    asked_ms = max(authority.renew_ms, dict(authority.renew_nodes).get(identity, 0))
    return asked_ms // 1000 * 1000


def next_step(authority: Authority) -> str:
    """The step that a change of the CA takes next, "" when none is under way."""
    return {TRUSTING: "reissue", REISSUING: "drop"}.get(authority.phase, "")
