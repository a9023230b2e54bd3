"""The cluster's health as named checks: each says what is wrong and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydfsnode.raft.configuration import member_name
from pydfsnode.raft.types import PeerView

OK, WARN, ERROR = "OK", "WARN", "ERROR"
NOTE = "NOTE"
"""Of a check: worth knowing, and no reason to call the cluster anything but OK."""
LEARNER_LAG_ENTRIES_MAX = 1_000
"""More than a learner that follows is behind under load."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `code` is stable; scripts may rely on it."""

    code: str
    severity: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Condition:
    """What the checks look at. `voters` counts the leader too, `peers` are the other members."""

    voters: int
    peers: list[PeerView]
    fsync: str
    live_chunkservers: int
    dead_chunkservers: list[str]
    chunks: int
    under_replicated: int
    missing: int
    replication: int
    warming_up: bool = False
    read_only_by: str = ""
    poor_chunkservers: Sequence[tuple[str, str]] = ()
    """Live ones that are avoided, and why."""
    failed_disks: Sequence[tuple[str, int, int]] = ()
    """Live ones with disks that failed: how many, of how many."""
    expiring: Sequence[tuple[str, int]] = ()
    """Certificates that were not renewed in time, and their ms left; negative: expired."""
    last_index: int = 0
    changing: bool = False
    audit_problem: str = ""
    """Why the leader cannot write its audit trail."""
    audit_failing: Sequence[tuple[str, str]] = ()
    """Live chunkservers that cannot write theirs, and why."""
    kek_with_data: str = ""
    """The leader's KEK file, when it lies on a disk of the data that it opens."""


def overall(checks: list[Check]) -> str:
    """The worst severity among *checks*."""
    severities = {check.severity for check in checks}
    return ERROR if ERROR in severities else WARN if WARN in severities else OK


def check(condition: Condition) -> list[Check]:
    """Everything that is not as it should be, the worst first."""
    found = [*_masters(condition), *_chunkservers(condition), *_chunks(condition)]
    if condition.expiring:
        found.append(_expiring(condition))
    if condition.read_only_by:
        found.append(
            Check(
                "SAFE_MODE",
                WARN,
                f"{condition.read_only_by} ordered safe mode: the namespace takes no changes, and "
                "nothing is repaired",
                "'pydfsnode cluster safemode leave' ends it",
            )
        )
    if condition.audit_problem:
        found.append(
            Check(
                "AUDIT_FAILING",
                ERROR,
                f"the leader cannot write its audit trail: {condition.audit_problem}",
                "make room there; until then records wait in memory (docs/audit.md)",
            )
        )
    if condition.kek_with_data:
        found.append(
            Check(
                "KEK_WITH_DATA",
                NOTE,
                f"{condition.kek_with_data}: the leader's key-encryption key lies on a disk of the "
                "data that it opens: who gets the disk can read it",
                "'pydfsnode keys status' names all masters' keys; move them by kek_file, kek_env "
                "or kek_command (docs/security.md)",
            )
        )
    return sorted(found, key=lambda c: c.severity != ERROR)


def _expiring(condition: Condition) -> Check:
    told = [
        f"{who}: expired" if left_ms < 0 else f"{who}: {left_ms // 86_400_000} days left"
        for who, left_ms in condition.expiring
    ]
    return Check(
        "CERT_EXPIRING",
        ERROR if condition.expiring[0][1] < 86_400_000 else WARN,
        f"certificates were not renewed in time: {'; '.join(told)}",
        "'pydfsnode certs status' says why; 'pydfsnode certs install' lets the masters renew, a "
        "new CA comes by 'pydfsnode certs issuer' or 'pydfsnode certs rotate --ca trust'",
    )


def _masters(condition: Condition) -> list[Check]:
    found = [*_voters(condition), *_learners(condition)]
    if condition.changing:
        found.append(
            Check(
                "MEMBERSHIP_CHANGING",
                WARN,
                "the voting masters are being changed: the old and the new ones must agree",
                "wait; when it lasts, start the masters that are silent ('pydfsnode cluster "
                "members')",
            )
        )
    if condition.fsync != "always":
        found.append(
            Check(
                "FSYNC_UNSAFE",
                WARN,
                f"fsync is '{condition.fsync}': a power loss can lose acknowledged writes",
                'set fsync = "always" in the masters\' configuration and restart them in turn',
            )
        )
    return found


def _voters(condition: Condition) -> list[Check]:
    silent = sorted(member_name(p.node_id) for p in condition.peers if p.voter and not p.active)
    if not silent:
        return []
    allowed = (condition.voters - 1) // 2
    spare = max(0, allowed - len(silent))
    found = [
        Check(
            "MASTER_DOWN",
            WARN,
            f"{', '.join(silent)} not heard from; {spare} more may fail",
            "start it again ('pydfsnode serve --role master'), its log says why it stopped",
        )
    ]
    if allowed and not spare:
        found.append(
            Check(
                "CLUSTER_FRAGILE",
                WARN,
                f"{len(silent)} of {condition.voters} voting masters silent: with one more, "
                "nothing can be written or read",
                f"start {', '.join(silent)}; one that is lost for good: 'pydfsnode cluster "
                "remove-master', then 'pydfsnode cluster add-master' another",
            )
        )
    return found


def _learners(condition: Condition) -> list[Check]:
    lagging = sorted(
        member_name(peer.node_id)
        for peer in condition.peers
        if not peer.voter
        and (
            not peer.active
            or peer.state == "snapshot"
            or condition.last_index - peer.match_index > LEARNER_LAG_ENTRIES_MAX
        )
    )
    if not lagging:
        return []
    return [
        Check(
            "LEARNER_LAGGING",
            WARN,
            f"{', '.join(lagging)} does not hold the log yet and cannot become a voter",
            "wait while it catches up ('pydfsnode cluster members'); start it when it is silent",
        )
    ]


def _chunkservers(condition: Condition) -> list[Check]:
    found = []
    if condition.live_chunkservers == 0:
        found.append(
            Check(
                "NO_CHUNKSERVERS",
                ERROR,
                "no chunkserver reports to the masters: no file can be written or read",
                "start chunkservers ('pydfsnode serve --role chunkserver')",
            )
        )
    elif condition.live_chunkservers < condition.replication:
        found.append(
            Check(
                "FEW_CHUNKSERVERS",
                WARN,
                f"{condition.live_chunkservers} chunkservers live, files want "
                f"{condition.replication} replicas",
                "start more chunkservers",
            )
        )
    if condition.dead_chunkservers:
        found.append(
            Check(
                "CHUNKSERVER_DOWN",
                WARN,
                f"{', '.join(condition.dead_chunkservers)} not heard from",
                "start it again, or leave it: its chunks are copied elsewhere",
            )
        )
    if condition.failed_disks:
        found.append(_failed_disks(condition))
    if condition.audit_failing:
        found.append(_audit_failing(condition))
    if condition.poor_chunkservers:
        found.append(
            Check(
                "CHUNKSERVER_AVOIDED",
                WARN,
                "; ".join(f"{name}: {why}" for name, why in condition.poor_chunkservers)
                + ": new replicas and readers go elsewhere",
                "look at its disks and its log; take it out for good with 'pydfsnode cluster "
                "decommission'",
            )
        )
    return found


def _failed_disks(condition: Condition) -> Check:
    servers = [f"{name}: {failed} of {all_} disks" for name, failed, all_ in condition.failed_disks]
    return Check(
        "DISK_FAILED",
        WARN,
        f"{'; '.join(servers)} failed: not used any more, what was there is made again elsewhere",
        "its log ('a disk failed') and its page /chunks/state name the directory: replace the "
        "disk, or take it out of data_dirs, and restart that chunkserver",
    )


def _audit_failing(condition: Condition) -> Check:
    servers = "; ".join(f"{name}: {problem}" for name, problem in condition.audit_failing)
    return Check(
        "CHUNKSERVER_AUDIT_FAILING",
        WARN,
        f"audit trails of chunkservers cannot be written: {servers}",
        "make room there; until then records wait in memory, and with fail_closed what would be "
        "recorded is refused (docs/audit.md)",
    )


def _chunks(condition: Condition) -> list[Check]:
    found = []
    if condition.warming_up and (condition.missing or condition.under_replicated):
        message = "this leader started lately and does not know all replicas yet"
        return [Check("WARMING_UP", WARN, message, "wait until the chunkservers have reported")]
    if condition.missing:
        found.append(
            Check(
                "MISSING_CHUNKS",
                ERROR,
                f"{condition.missing} of {condition.chunks} chunks have no live replica",
                "start the chunkservers that hold them",
            )
        )
    if condition.under_replicated:
        found.append(
            Check(
                "UNDER_REPLICATED",
                WARN,
                f"{condition.under_replicated} of {condition.chunks} chunks have too few replicas",
                "wait while they are copied; start chunkservers when there are too few",
            )
        )
    return found
