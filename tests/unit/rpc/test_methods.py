"""The table of methods equals the schema, and says of every role what it may call."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import InvariantViolation, PermissionDenied, UnknownMethod
from pydfsnode.rpc.methods import ANYONE, METHODS, Method, Shape, may_call
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.schema import RPCS, rpc_of
from pydfsnode.rpc.server import Dispatch
from pydfsnode.rpc.telemetry import ServerTelemetry
from pydfsnode.security.identity import ROLES, Identity

# What each role may call, written out a second time: a change here is a change of who is trusted.
NAMESPACE = {
    f"/pydfs.v1.Namespace/{name}"
    for name in [
        "Mkdirs",
        "Create",
        "AllocateChunk",
        "RecordChunk",
        "ResumeChunk",
        "Complete",
        "Abandon",
        "Delete",
        "Rename",
        "Stat",
        "List",
        "Locate",
        "Summary",
        "ReportBadReplica",
        "Append",
        "Batch",
        "Truncate",
        "Concat",
        "CompleteInline",
        "RenewLease",
        "RecoverLease",
        "SetReplication",
        "SetOwner",
        "SetMode",
        "SetTimes",
        "SetXattr",
        "RemoveXattr",
        "SetAcl",
        "SetQuota",
        "MoveToTrash",
        "EmptyTrash",
        "RestoreTrash",
        "CreateSnapshot",
        "DeleteSnapshot",
        "RenameSnapshot",
        "Find",
        "GetXattrs",
        "GetAcl",
        "ListSnapshots",
        "SnapshotDiff",
    ]
}
CLIENT_PATHS = NAMESPACE | {
    "/pydfs.v1.Cluster/Status",
    "/pydfs.v1.Cluster/Members",
    "/pydfs.v1.Chunk/WriteChunk",
    "/pydfs.v1.Chunk/ReadChunk",
    "/pydfs.v1.Chunk/SealChunk",
    "/pydfs.v1.Chunk/ChunkState",
    "/pydfs.v1.Node/Ping",
    "/pydfs.v1.Node/Links",
    "/pydfs.v1.Security/FollowTrust",
    "/pydfs.v1.Security/Sign",
}
OPERATOR_PATHS = {
    "/pydfs.v1.Cluster/FleetState",
    "/pydfs.v1.Cluster/SetDuty",
    "/pydfs.v1.Cluster/SetBalance",
    "/pydfs.v1.Cluster/SetSafeMode",
    "/pydfs.v1.Cluster/Fsck",
    "/pydfs.v1.Cluster/AddServer",
    "/pydfs.v1.Cluster/RemoveServer",
    "/pydfs.v1.Cluster/TransferLeadership",
    "/pydfs.v1.Cluster/Backup",
    "/pydfs.v1.Keys/Rotate",
    "/pydfs.v1.Keys/RotateKek",
    "/pydfs.v1.Keys/State",
    "/pydfs.v1.Security/AddJoinToken",
    "/pydfs.v1.Security/RevokeCertificates",
    "/pydfs.v1.Security/SetAuthority",
    "/pydfs.v1.Security/TrustState",
    "/pydfs.v1.Security/AuditCheckpoints",
}
ALLOWED = {
    "user": CLIENT_PATHS,
    "admin": CLIENT_PATHS | OPERATOR_PATHS,
    "gateway": CLIENT_PATHS,
    "master": {
        "/pydfs.v1.Raft/Stream",
        "/pydfs.v1.Raft/Hello",
        "/pydfs.v1.Keys/OwnKeys",
        "/pydfs.v1.Security/Join",
        "/pydfs.v1.Security/RecordAuditCheckpoint",
        "/pydfs.v1.Raft/InstallSnapshot",
        "/pydfs.v1.Chunk/SealChunk",
        "/pydfs.v1.Chunk/ChunkState",
        "/pydfs.v1.Node/Ping",
        "/pydfs.v1.Security/FollowTrust",
        "/pydfs.v1.Security/Sign",
    },
    "chunkserver": {
        "/pydfs.v1.Fleet/Heartbeat",
        "/pydfs.v1.Fleet/FullReport",
        "/pydfs.v1.Fleet/ChunkKeys",
        "/pydfs.v1.Fleet/FileKeys",
        "/pydfs.v1.Chunk/WriteChunk",
        "/pydfs.v1.Chunk/ReadChunk",
        "/pydfs.v1.Chunk/ChunkState",
        "/pydfs.v1.Node/Ping",
        "/pydfs.v1.Security/FollowTrust",
        "/pydfs.v1.Security/RecordAuditCheckpoint",
        "/pydfs.v1.Security/Sign",
    },
}


def schema() -> dict[str, Any]:
    return {
        f"/{service.full_name}/{rpc.name}": rpc
        for service in dfs_pb2.DESCRIPTOR.services_by_name.values()
        for rpc in service.methods
    }


def test_every_rpc_of_the_schema_has_a_row_and_every_row_an_rpc() -> None:
    assert set(schema()) == set(METHODS) == set(RPCS)


@pytest.mark.parametrize("path", METHODS)
def test_the_rows_shape_is_the_schemas(path: str) -> None:
    rpc, row = schema()[path], METHODS[path]
    streaming = (rpc.client_streaming, rpc.server_streaming)
    assert (
        streaming
        == {
            Shape.UNARY: (False, False),
            Shape.SERVER_STREAM: (False, True),
            Shape.BIDIRECTIONAL: (True, True),
        }[row.shape]
    )


@pytest.mark.parametrize("path", METHODS)
def test_the_row_is_whole(path: str) -> None:
    row = METHODS[path]
    assert row.path == path
    assert row.callers
    assert row.served_by
    assert row.callers | row.served_by <= ANYONE == set(ROLES)
    assert 0 < row.request_bytes_max <= limits.MESSAGE_BYTES_MAX
    if row.shape is Shape.UNARY:
        assert row.deadline_ms is not None
        assert 0 < row.deadline_ms <= limits.DEADLINE_MS_MAX
        assert not row.raw_request
        assert not row.raw_response


@pytest.mark.parametrize("path", METHODS)
def test_raw_messages_have_a_field_for_the_bytes(path: str) -> None:
    row, rpc = METHODS[path], rpc_of(path)
    for raw, message in ((row.raw_request, rpc.request), (row.raw_response, rpc.response)):
        if raw:
            described = message.DESCRIPTOR.fields_by_name["data"]
            assert described.type == described.TYPE_BYTES


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", METHODS)
def test_each_role_may_call_what_it_is_trusted_with_and_nothing_else(path: str, role: str) -> None:
    assert may_call(path, role) == (path in ALLOWED[role])


@pytest.mark.parametrize("role", ROLES)
def test_a_method_without_a_row_may_be_called_by_nobody(role: str) -> None:
    assert not may_call("/pydfs.v1.Namespace/Format", role)
    with pytest.raises(UnknownMethod, match="Format"):
        rpc_of("/pydfs.v1.Namespace/Format")


async def _never(request: object, context: object) -> object:
    raise AssertionError("not called")


def _dispatch(node_role: str) -> Dispatch:
    handlers = {p: _never for p, row in METHODS.items() if node_role in row.served_by}
    return Dispatch(handlers, node_role, ServerTelemetry("framed"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("node_role", ["master", "chunkserver"])
def test_a_server_routes_each_role_to_exactly_its_methods(node_role: str, role: str) -> None:
    dispatch = _dispatch(node_role)
    identity = Identity("c", role, "x")
    allowed = {route.path for route in dispatch.allowed(identity).values()}
    served = {p for p, row in METHODS.items() if node_role in row.served_by}
    assert allowed == served & ALLOWED[role]
    for path in served - allowed:
        service, _, name = path[1:].rpartition("/")
        error = dispatch.refusal(identity, service, name, "peer")
        assert isinstance(error, PermissionDenied)
        assert identity.uri in error.message
    for path in set(METHODS) - served:
        service, _, name = path[1:].rpartition("/")
        assert isinstance(dispatch.refusal(identity, service, name, "peer"), UnknownMethod)


def test_a_handler_for_what_the_role_does_not_serve_is_a_bug() -> None:
    with pytest.raises(InvariantViolation, match="not served by a chunkserver"):
        Dispatch({"/pydfs.v1.Namespace/Stat": _never}, "chunkserver", ServerTelemetry("framed"))
    with pytest.raises(InvariantViolation, match="no row"):
        Dispatch({"/pydfs.v1.Namespace/Format": _never}, "master", ServerTelemetry("framed"))


def test_a_caller_may_shorten_or_lengthen_a_deadline_within_the_limit() -> None:
    dispatch = _dispatch("master")
    stat = dispatch.routes["pydfs.v1.Namespace", "Stat"]
    row: Method = stat.method
    assert row.deadline_ms is not None
    assert dispatch.timeout_s(stat, 0) == row.deadline_ms / 1000
    assert dispatch.timeout_s(stat, -5) == row.deadline_ms / 1000
    assert dispatch.timeout_s(stat, 0.25) == 0.25
    assert dispatch.timeout_s(stat, 1e9) == limits.DEADLINE_MS_MAX / 1000
    raft = dispatch.routes["pydfs.v1.Raft", "Stream"]
    assert dispatch.timeout_s(raft, 0) == float("inf")
