"""Which calls the audit trail tells of, under which name, and what of their requests.

Names are HDFS's where it has one. Only the fields named here are ever taken from a request: no
content, no token, no key can come into the trail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from pydfsnode.rpc.schema import rpc_of
from pydfsnode.security.audit.record import ADMIN, DETAIL_CHARACTERS_MAX, NAMESPACE, SECURITY

Describe = Callable[[Any], tuple[str | None, str | None, str]]
"""Source, destination and detail of a request."""


class Audited(NamedTuple):
    """How calls of a method are recorded. `is_read`: only if reads are, unless it was denied.

    `is_glance`: a read that programs make all the time, and that tells no content.

    `only_path`: a request that is nothing but its first field, a text, names the path with it.
    """

    kind: str
    cmd: str
    is_read: bool
    parse: Callable[[bytes], Any]
    describe: Describe
    only_path: bool = False
    is_glance: bool = False


def _path(request: Any) -> tuple[str | None, str | None, str]:
    return request.path, None, ""


def _inode(request: Any) -> tuple[str | None, str | None, str]:
    return f"inode:{request.inode_id}", None, ""


def _rename(request: Any) -> tuple[str | None, str | None, str]:
    return request.source, request.destination, ""


def _concat(request: Any) -> tuple[str | None, str | None, str]:
    return ",".join(request.sources), request.target, ""


def _nothing(_: Any) -> tuple[str | None, str | None, str]:
    return None, None, ""


def _with(*names: str, source: str = "") -> Describe:
    """The fields *names* as detail; *source* is the field that names the path, if one does."""

    def describe(request: Any) -> tuple[str | None, str | None, str]:
        found = {name: _shown(getattr(request, name)) for name in names}
        told = msgspec.json.encode(found).decode()
        return getattr(request, source) if source else None, None, _cut(told)

    return describe


def _join(request: Any) -> tuple[str | None, str | None, str]:
    # What stands behind the point is the secret.
    return None, None, msgspec.json.encode({"token_id": request.token[:16]}).decode()


def _shown(value: Any) -> str | int | list[str]:
    if isinstance(value, bool | int | str):
        return value
    return [str(each) for each in value]


def _cut(text: str) -> str:
    return text if len(text) <= DETAIL_CHARACTERS_MAX else f"{text[:DETAIL_CHARACTERS_MAX]}..."


_CHANGES: dict[str, tuple[str, Describe]] = {
    "Mkdirs": ("mkdirs", _path),
    "Create": ("create", _path),
    "AllocateChunk": ("getAdditionalBlock", _inode),
    "RecordChunk": ("recordBlock", _inode),
    "ResumeChunk": ("updatePipeline", _inode),
    "Complete": ("completeFile", _inode),
    "CompleteInline": ("completeFile", _inode),
    "Abandon": ("abandonFile", _inode),
    "Delete": ("delete", _path),
    "Rename": ("rename", _rename),
    "ReportBadReplica": ("reportBadBlocks", _with("chunk_id", "node_id")),
    "Append": ("append", _path),
    "Truncate": ("truncate", _path),
    "Concat": ("concat", _concat),
    "RecoverLease": ("recoverLease", _path),
    "SetReplication": ("setReplication", _with("replication", source="path")),
    "SetOwner": ("setOwner", _with("owner", "group", source="path")),
    "SetMode": ("setPermission", _with("mode", source="path")),
    "SetTimes": ("setTimes", _path),
    "SetXattr": ("setXAttr", _with("name", source="path")),
    "RemoveXattr": ("removeXAttr", _with("name", source="path")),
    "SetAcl": ("setAcl", _with("change", "entries", source="path")),
    "SetQuota": ("setQuota", _with("names_max", "bytes_max", source="path")),
    "MoveToTrash": ("moveToTrash", _path),
    "EmptyTrash": ("emptyTrash", _nothing),
    "RestoreTrash": ("restoreTrash", _path),
    "CreateSnapshot": ("createSnapshot", _with("name", source="path")),
    "DeleteSnapshot": ("deleteSnapshot", _with("name", source="path")),
    "RenameSnapshot": ("renameSnapshot", _with("old_name", "new_name", source="path")),
}
_READS: dict[str, tuple[str, Describe]] = {
    "Stat": ("getfileinfo", _path),
    "List": ("listStatus", _path),
    "Locate": ("open", _path),
    "Summary": ("contentSummary", _path),
    "Find": ("find", _path),
    "GetXattrs": ("getXAttrs", _path),
    "GetAcl": ("getAclStatus", _path),
    "ListSnapshots": ("listSnapshots", _path),
    "SnapshotDiff": ("computeSnapshotDiff", _with("from_name", "to_name", source="path")),
    "RenewLease": ("renewLease", _nothing),
}
"""`RenewLease` says only that a writer lives: several times a minute, of each."""
_GLANCES = frozenset({"Namespace/Stat", "Namespace/List", "Namespace/RenewLease"})
_ADMINISTRATION: dict[str, tuple[str, Describe]] = {
    "Cluster/SetDuty": ("setDuty", _with("node_ids", "state", "for_ms")),
    "Cluster/SetBalance": ("setBalance", _with("threshold_ppm", "bytes_per_s")),
    "Cluster/SetSafeMode": ("setSafeMode", _with("on")),
    "Cluster/Fsck": ("fsck", _path),
    "Cluster/AddServer": ("addServer", _with("node_id", "listen", "learner_only")),
    "Cluster/RemoveServer": ("removeServer", _with("node_id", "force")),
    "Cluster/TransferLeadership": ("transferLeadership", _with("to")),
    "Cluster/Backup": ("backup", _nothing),
}
_CERTIFICATES: dict[str, tuple[str, Describe]] = {
    "Security/Sign": ("signCertificate", _nothing),
    "Security/Join": ("joinNode", _join),
    "Security/AddJoinToken": ("addJoinToken", _with("token_id", "role", "name", "hosts")),
    "Security/RevokeCertificates": ("revokeCertificates", _with("serials", "reason")),
    "Security/SetAuthority": ("setAuthority", _with("step", "nodes")),
    "Keys/Rotate": ("rotateKeys", _nothing),
    "Keys/RotateKek": ("rotateKek", _nothing),
}
_ASKED_BY_ADMINISTRATORS = (
    "Cluster/FleetState", "Security/TrustState", "Security/AuditCheckpoints", "Keys/State",
)  # fmt: skip


def _rows() -> dict[str, Audited]:
    found: dict[str, Audited] = {}

    def add(path: str, kind: str, cmd: str, is_read: bool, describe: Describe) -> None:
        whole = f"/pydfs.v1.{path}"
        only_path = is_read and describe is _path
        parse = rpc_of(whole).parse_request
        is_glance = path in _GLANCES
        found[whole] = Audited(kind, cmd, is_read, parse, describe, only_path, is_glance)

    for name, (cmd, describe) in _CHANGES.items():
        add(f"Namespace/{name}", NAMESPACE, cmd, False, describe)
    for name, (cmd, describe) in _READS.items():
        add(f"Namespace/{name}", NAMESPACE, cmd, True, describe)
    for path, (cmd, describe) in _ADMINISTRATION.items():
        add(path, ADMIN, cmd, False, describe)
    for path, (cmd, describe) in _CERTIFICATES.items():
        add(path, SECURITY, cmd, False, describe)
    for path in _ASKED_BY_ADMINISTRATORS:
        name = path.rpartition("/")[2]
        add(path, ADMIN, name[0].lower() + name[1:], True, _nothing)
    return found


AUDITED = _rows()
"""By path."""


def audited(path: str) -> Audited | None:
    """How calls of *path* are recorded, without a row by their name alone; None: they are not."""
    row = AUDITED.get(path)
    if row is not None or path in NOT_RECORDED:
        return row
    service, _, name = path.rpartition("/")
    cmd = f"{service.rpartition('.')[2].lower()}{name}"
    return Audited(ADMIN, cmd, False, rpc_of(path).parse_request, _nothing)


NOT_RECORDED = frozenset(
    f"/pydfs.v1.{path}"
    for path in (
        "Namespace/Batch", "Cluster/Status", "Cluster/Members", "Raft/Hello",
        "Raft/InstallSnapshot", "Raft/Stream", "Fleet/Heartbeat", "Fleet/FullReport",
        "Fleet/ChunkKeys", "Fleet/FileKeys", "Security/FollowTrust",
        "Security/RecordAuditCheckpoint", "Node/Ping", "Keys/OwnKeys", "Node/Links",
    )
)  # fmt: skip
"""What nodes say to each other all the time; a batch by its items. Refusals of all are recorded."""
