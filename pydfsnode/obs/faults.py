"""What calls to other nodes meet with: a closed list of kinds, how grave each is, and counts.

A fault is what the network or the other node's state did to a call. That a file does not exist is
an answer and no fault. Clients count in a `FaultCounts` of their own; servers show the same counts
among their metrics and log them, each as grave as its kind.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from pydfsnode.errors import (
    ClusterError,
    DeadlineExceeded,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    PeerUnauthenticated,
    PydfsError,
    Retry,
)

FIELD = "fault"
"""The field of an error that names its kind, where the class alone does not say it."""
PEERS_MAX = 1024
"""Peers counted apart; more are counted as one (INV-BOUND)."""
OTHERS = "others"


class Fault(enum.StrEnum):
    """Kinds. What each leaves behind decides what a caller may do; see `errors.Retry`."""

    REFUSED = "refused"  # nobody listens there
    UNREACHABLE = "unreachable"  # no way there, or no such host
    RESET = "reset"  # the connection was cut
    TIMED_OUT = "timed_out"  # nothing came in time
    TLS_REFUSED = "tls_refused"  # one of both ends does not accept the other
    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"  # it answered that it cannot serve now
    OUTCOME_UNKNOWN = "outcome_unknown"  # it may have acted, and nobody knows
    BREAKER_OPEN = "breaker_open"  # not asked: it failed too often just before


SEVERITY: dict[Fault, str] = {
    Fault.REFUSED: "warning",
    Fault.UNREACHABLE: "warning",
    Fault.RESET: "info",
    Fault.TIMED_OUT: "warning",
    Fault.TLS_REFUSED: "error",
    Fault.NOT_LEADER: "debug",
    Fault.OVERLOADED: "info",
    Fault.UNAVAILABLE: "info",
    Fault.OUTCOME_UNKNOWN: "warning",
    Fault.BREAKER_OPEN: "debug",
}
"""Level of the log line. What heals by itself in every failover is no warning; what an operator
should look at is."""
_NAMES = frozenset(Fault)
_OF_REASON = {"timeout": Fault.TIMED_OUT, "lost": Fault.RESET}


def fault_of(error: PydfsError) -> Fault | None:
    """The kind of *error*; None when it is the other node's answer and no fault."""
    named = error.fields.get(FIELD)
    if named in _NAMES:
        return Fault(named)
    if isinstance(error, OutcomeUnknown):
        return _OF_REASON.get(str(error.fields.get("reason", "")), Fault.OUTCOME_UNKNOWN)
    if isinstance(error, NotLeader):
        return Fault.NOT_LEADER
    if isinstance(error, Overloaded):
        return Fault.OVERLOADED
    if isinstance(error, DeadlineExceeded):
        return Fault.TIMED_OUT
    if isinstance(error, PeerUnauthenticated):
        return Fault.TLS_REFUSED
    if isinstance(error, ClusterError) and error.retry is not Retry.NEVER:
        return Fault.OUTCOME_UNKNOWN if error.retry is Retry.SAME_OP_ID else Fault.UNAVAILABLE
    return None


class FaultCount(NamedTuple):
    """How often calls to *peer* met with *kind*."""

    peer: str
    kind: Fault
    times: int


class FaultCounts:
    """Counts by peer and kind, of one client or one node; for one thread.

    Args of the constructor:
        on_count: is told peer and kind of each.
    """

    def __init__(self, on_count: Callable[[str, Fault], None] | None = None) -> None:
        self._counts: dict[tuple[str, Fault], int] = {}
        self._peers: set[str] = set()
        self._on_count = on_count

    def count(self, peer: str, kind: Fault) -> int:
        """Count one; returns how many there are of it now."""
        if peer not in self._peers:
            if len(self._peers) >= PEERS_MAX:
                peer = OTHERS
            self._peers.add(peer)
        total = self._counts.get((peer, kind), 0) + 1
        self._counts[peer, kind] = total
        if self._on_count is not None:
            self._on_count(peer, kind)
        return total

    def of(self, peer: str, kind: Fault) -> int:
        """How often calls to *peer* met with *kind*."""
        return self._counts.get((peer, kind), 0)

    def of_peer(self, peer: str) -> dict[str, int]:
        """How often calls to *peer* met with each kind."""
        return {str(kind): n for (whom, kind), n in sorted(self._counts.items()) if whom == peer}

    def all(self) -> list[FaultCount]:
        """Everything counted, in order of peer and kind."""
        return [FaultCount(*key, times) for key, times in sorted(self._counts.items())]
