"""One row for every RPC: who may call it, is a retry safe, its deadline and its largest message.

Authorization, the client's retries, deadlines and size limits all read this table. An RPC without
a row is denied. `tests/unit/rpc/test_methods.py` compares the table with the schema and the
handlers.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pydfsnode import limits

MASTER, CHUNKSERVER, GATEWAY, USER, ADMIN = "master", "chunkserver", "gateway", "user", "admin"
CLIENTS = frozenset({USER, ADMIN, GATEWAY})
OPERATORS = frozenset({ADMIN})
ANYONE = frozenset({MASTER, CHUNKSERVER, GATEWAY, USER, ADMIN})


class Shape(enum.Enum):
    """Unary, server-streaming or bidirectional."""

    UNARY = "unary"
    SERVER_STREAM = "server_stream"
    BIDIRECTIONAL = "bidirectional"


@dataclass(frozen=True, slots=True)
class Method:
    """A row. `raw_request`/`raw_response`: Data frames carry the bare value of the field `data`."""

    service: str  # full name, "pydfs.v1.Namespace"
    name: str
    served_by: frozenset[str]
    callers: frozenset[str]
    idempotent: bool
    deadline_ms: int | None  # of a call without one; None: a stream that lives as long as its ends
    request_bytes_max: int
    shape: Shape = Shape.UNARY
    raw_request: bool = False
    raw_response: bool = False

    @property
    def path(self) -> str:
        """ "/service/method", as gRPC writes it."""
        return f"/{self.service}/{self.name}"


def _namespace(name: str, *, idempotent: bool = True, bytes_max: int = 64 * limits.KIB) -> Method:
    # Mutations are idempotent too: the op id makes a retry take effect once (INV-ONCE).
    return Method(
        "pydfs.v1.Namespace", name, frozenset({MASTER}), CLIENTS, idempotent, 30_000, bytes_max
    )


def _chunk(name: str, shape: Shape, *, callers: frozenset[str], idempotent: bool,
           raw_request: bool = False, raw_response: bool = False) -> Method:  # fmt: skip
    return Method(
        "pydfs.v1.Chunk", name, frozenset({CHUNKSERVER}), callers, idempotent,
        30_000 if shape is Shape.UNARY else None,
        limits.MESSAGE_BYTES_MAX, shape, raw_request, raw_response,
    )  # fmt: skip


def _security(name: str, callers: frozenset[str]) -> Method:
    return Method(
        "pydfs.v1.Security", name, frozenset({MASTER}), callers, True, 10_000, 64 * limits.KIB
    )


def _keys(name: str, callers: frozenset[str], deadline_ms: int) -> Method:
    return Method(
        "pydfs.v1.Keys", name, frozenset({MASTER}), callers, True, deadline_ms, 64 * limits.KIB
    )


_TABLE = (
    _namespace("Batch", bytes_max=2 * limits.MIB),
    _namespace("Mkdirs"),
    _namespace("Create"),
    _namespace("AllocateChunk"),
    _namespace("Complete"),
    _namespace("Abandon"),
    _namespace("Delete"),
    _namespace("Rename"),
    _namespace("Stat"),
    _namespace("List"),
    _namespace("Locate"),
    _namespace("Summary"),
    _namespace("ReportBadReplica"),
    _namespace("Append"),
    _namespace("Truncate"),
    _namespace("Concat", bytes_max=3 * limits.MIB),
    _namespace("CompleteInline"),
    _namespace("RenewLease"),
    _namespace("RecoverLease"),
    _namespace("SetReplication"),
    _namespace("SetOwner"),
    _namespace("SetMode"),
    _namespace("SetTimes"),
    _namespace("SetXattr"),
    _namespace("RemoveXattr"),
    _namespace("SetAcl"),
    _namespace("SetQuota"),
    _namespace("MoveToTrash"),
    _namespace("EmptyTrash"),
    _namespace("RestoreTrash"),
    _namespace("CreateSnapshot"),
    _namespace("DeleteSnapshot"),
    _namespace("RenameSnapshot"),
    _namespace("Find"),
    _namespace("GetXattrs"),
    _namespace("GetAcl"),
    _namespace("ListSnapshots"),
    _namespace("SnapshotDiff"),
    _namespace("RecordChunk"),
    _namespace("ResumeChunk"),
    Method("pydfs.v1.Cluster", "Status", frozenset({MASTER}), CLIENTS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "Members", frozenset({MASTER}), CLIENTS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "FleetState", frozenset({MASTER}), OPERATORS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "SetDuty", frozenset({MASTER}), OPERATORS, True, 60_000,
           256 * limits.KIB),
    Method("pydfs.v1.Cluster", "SetBalance", frozenset({MASTER}), OPERATORS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "SetSafeMode", frozenset({MASTER}), OPERATORS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "Fsck", frozenset({MASTER}), OPERATORS, True, 30_000,
           64 * limits.KIB),
    # Naming the end that is wanted, a membership change may be repeated.
    Method("pydfs.v1.Cluster", "AddServer", frozenset({MASTER}), OPERATORS, True, 120_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "RemoveServer", frozenset({MASTER}), OPERATORS, True, 60_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "TransferLeadership", frozenset({MASTER}), OPERATORS, True, 10_000,
           64 * limits.KIB),
    Method("pydfs.v1.Cluster", "Backup", frozenset({MASTER}), OPERATORS, True, None,
           64 * limits.KIB, Shape.SERVER_STREAM, False, True),
    Method("pydfs.v1.Raft", "Hello", frozenset({MASTER}), frozenset({MASTER}), True, 2_000,
           64 * limits.KIB),
    Method("pydfs.v1.Raft", "InstallSnapshot", frozenset({MASTER}), frozenset({MASTER}), False,
           None, limits.MESSAGE_BYTES_MAX, Shape.BIDIRECTIONAL),
    Method("pydfs.v1.Raft", "Stream", frozenset({MASTER}), frozenset({MASTER}), False, None,
           limits.MESSAGE_BYTES_MAX, Shape.BIDIRECTIONAL, True, True),
    Method("pydfs.v1.Fleet", "Heartbeat", frozenset({MASTER}), frozenset({CHUNKSERVER}), True,
           5_000, limits.MESSAGE_BYTES_MAX),
    Method("pydfs.v1.Fleet", "FullReport", frozenset({MASTER}), frozenset({CHUNKSERVER}), True,
           30_000, limits.MESSAGE_BYTES_MAX),
    Method("pydfs.v1.Fleet", "ChunkKeys", frozenset({MASTER}), frozenset({CHUNKSERVER}), True,
           5_000, 64 * limits.KIB),
    Method("pydfs.v1.Fleet", "FileKeys", frozenset({MASTER}), frozenset({CHUNKSERVER}), True,
           5_000, 64 * limits.KIB),
    _chunk("WriteChunk", Shape.BIDIRECTIONAL, callers=CLIENTS | {CHUNKSERVER}, idempotent=False,
           raw_request=True),
    _chunk("ReadChunk", Shape.SERVER_STREAM, callers=CLIENTS | {CHUNKSERVER}, idempotent=True,
           raw_response=True),
    # Masters end the chunks of writers that are gone.
    _chunk("SealChunk", Shape.UNARY, callers=CLIENTS | {MASTER}, idempotent=True),
    _chunk("ChunkState", Shape.UNARY, callers=CLIENTS | {CHUNKSERVER, MASTER}, idempotent=True),
    _security("FollowTrust", ANYONE),
    _security("Sign", ANYONE),
    _security("Join", frozenset({MASTER})),  # another master has it from its HTTPS listener
    _security("AddJoinToken", OPERATORS),
    _security("RevokeCertificates", OPERATORS),
    _security("SetAuthority", OPERATORS),
    _security("TrustState", OPERATORS),
    _security("RecordAuditCheckpoint", frozenset({MASTER, CHUNKSERVER})),
    _security("AuditCheckpoints", OPERATORS),
    _keys("Rotate", OPERATORS, 30_000),
    _keys("RotateKek", OPERATORS, 120_000),
    _keys("State", OPERATORS, 10_000),
    _keys("OwnKeys", frozenset({MASTER}), 100_000),
    Method("pydfs.v1.Node", "Ping", frozenset({MASTER, CHUNKSERVER, GATEWAY}), ANYONE, True, 5_000,
           limits.MESSAGE_BYTES_MAX),
    Method("pydfs.v1.Node", "Links", frozenset({MASTER, CHUNKSERVER}), CLIENTS, True, 5_000,
           64 * limits.KIB),
)  # fmt: skip

METHODS: dict[str, Method] = {row.path: row for row in _TABLE}
"""Path ("/pydfs.v1.Namespace/Stat") to row."""


def may_call(path: str, role: str) -> bool:
    """Whether a peer of *role* may call *path*; a path without a row may be called by nobody."""
    row = METHODS.get(path)
    return row is not None and role in row.callers
