"""Responses to requests for reading, made of the namespace in one step."""

from __future__ import annotations

from typing import cast

from pydfsnode._fast import messages_in_field_1
from pydfsnode.meta import attributes, queries, snapshot_queries
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.find import find as find_in
from pydfsnode.meta.snapshot_diff import diff as diff_between
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.service.conversions import (
    STATUSES,
    Encoded,
    answer_bytes,
    fill,
    type_name,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb


def stat(namespace: Namespace, request: pb.StatRequest, caller: Caller) -> pb.StatResponse:
    """What lies at a path."""
    encoded = Encoded(pb.StatResponse, stat_bytes(namespace, request.path, caller))
    return cast(pb.StatResponse, encoded)


def stat_bytes(namespace: Namespace, path: str, caller: Caller) -> bytes:
    """As `stat`, encoded."""
    if queries.is_past(path):
        return answer_bytes(queries.stat(namespace, path, caller))
    # The hot path: no view in between.
    inode = namespace.tree.walk(path, caller)
    return messages_in_field_1([STATUSES.of_inode(inode, path)])


def list_directory(
    namespace: Namespace, request: pb.ListRequest, caller: Caller
) -> pb.ListResponse:
    """One page of a directory."""
    path = request.path
    if queries.is_past(path):
        past = queries.list_directory(namespace, path, caller, request.start_after, request.limit)
        statuses, more = [STATUSES.of_view(view) for view in past.entries], past.more
    else:
        inode, page, more = queries.list_inodes(
            namespace, path, caller, request.start_after, request.limit
        )
        encode = STATUSES.of_inode
        if inode.is_file:
            statuses = [encode(inode, path) for inode in page]
        else:
            prefix = "/" if path == "/" else path + "/"
            statuses = [encode(entry, prefix + entry.name) for entry in page]
    return cast(pb.ListResponse, Encoded(pb.ListResponse, messages_in_field_1(statuses, more)))


def summary(namespace: Namespace, request: pb.SummaryRequest, caller: Caller) -> pb.SummaryResponse:
    """Counts, bytes and quotas of a subtree."""
    found = queries.summary(namespace, request.path, caller)
    return pb.SummaryResponse(
        directories=found.directories,
        files=found.files,
        bytes=found.bytes,
        bytes_replicated=found.bytes_replicated,
        names_quota=found.names_max,
        space_quota=found.bytes_max,
    )


def find(namespace: Namespace, request: pb.FindRequest, caller: Caller) -> pb.FindResponse:
    """One step of a search by name."""
    found = find_in(
        namespace,
        request.path,
        caller,
        request.pattern,
        type_name(request.type),
        request.start_after,
        request.limit,
    )
    response = pb.FindResponse(more=found.more, next=found.next)
    for view in found.entries:
        fill(response.entries.add(), view)
    return response


def get_xattrs(
    namespace: Namespace, request: pb.GetXattrsRequest, caller: Caller
) -> pb.GetXattrsResponse:
    """Extended attributes, by name."""
    found = attributes.get_xattrs(namespace, request.path, caller)
    return pb.GetXattrsResponse(
        xattrs=[pb.Xattr(name=name, value=found[name]) for name in sorted(found)]
    )


def get_acl(namespace: Namespace, request: pb.GetAclRequest, caller: Caller) -> pb.GetAclResponse:
    """Who may do what."""
    found = attributes.get_acl(namespace, request.path, caller)
    return pb.GetAclResponse(
        owner=found.owner,
        group=found.group,
        mode=found.mode,
        entries=found.entries,
        default_entries=found.default_entries,
    )


def list_snapshots(
    namespace: Namespace, request: pb.ListSnapshotsRequest, caller: Caller
) -> pb.ListSnapshotsResponse:
    """The snapshots of a directory."""
    response = pb.ListSnapshotsResponse()
    for found in snapshot_queries.snapshots(namespace, request.path, caller):
        response.snapshots.add(name=found.name, created_ms=found.created_ms)
    return response


def snapshot_diff(
    namespace: Namespace, request: pb.SnapshotDiffRequest, caller: Caller
) -> pb.SnapshotDiffResponse:
    """What changed between two snapshots of a directory, or since one."""
    response = pb.SnapshotDiffResponse()
    for found in diff_between(namespace, request.path, request.from_name, request.to_name, caller):
        response.differences.add(kind=found.kind, path=found.path, target=found.target)
    return response
