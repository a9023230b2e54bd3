"""FileStatus messages by protobuf itself, field by field."""

from __future__ import annotations

from pydfsnode.meta.results import FileView
from pydfsnode.rpc.pb import dfs_pb2 as pb


def message_of(view: FileView) -> pb.FileStatus:
    """The message that tells *view*."""
    return pb.FileStatus(
        path=view.path,
        type=pb.FILE if view.type == "file" else pb.DIRECTORY,
        size=view.size,
        replication=view.replication,
        owner=view.owner,
        group=view.group,
        mode=view.mode,
        mtime_ms=view.mtime_ms,
        inode_id=view.inode_id,
        chunk_bytes=view.chunk_bytes,
        under_construction=view.under_construction,
        child_count=view.child_count,
        checksum=view.checksum,
        ctime_ms=view.ctime_ms,
        atime_ms=view.atime_ms,
        has_acl=view.has_acl,
        inline=view.inline,
    )


def messages_in_field_1(messages: list[pb.FileStatus], more: bool = False) -> bytes:
    """A page of a directory; without `more` also the answer to stat, with one status."""
    return pb.ListResponse(entries=messages, more=more).SerializeToString()
