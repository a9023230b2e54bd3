"""The RPCs about attributes of files and directories."""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import Acl, FileStatus
from pydfsnode.client.wire_asking import Asking
from pydfsnode.client.wire_values import file_status
from pydfsnode.rpc.pb import dfs_pb2 as pb

KEEP = -1
"""As a time or a quota: what it is already."""


class AttributeCalls:
    """Reached through `MasterCalls.attributes`; errors as there."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def set_replication(self, path: str, replication: int) -> FileStatus:
        """How many replicas a file's chunks shall have."""
        request = pb.SetReplicationRequest(path=path, replication=replication)
        return file_status((await self._asking.change_message("SetReplication", request)).status)

    async def set_owner(self, path: str, owner: str, group: str) -> FileStatus:
        """Owner and group; "" keeps."""
        request = pb.SetOwnerRequest(path=path, owner=owner, group=group)
        return file_status((await self._asking.change_message("SetOwner", request)).status)

    async def set_mode(self, path: str, mode: int) -> FileStatus:
        """Permission bits."""
        request = pb.SetModeRequest(path=path, mode=mode)
        return file_status((await self._asking.change_message("SetMode", request)).status)

    async def set_times(self, path: str, mtime_ms: int, atime_ms: int) -> FileStatus:
        """Times of modification and access; KEEP keeps."""
        request = pb.SetTimesRequest(path=path, mtime_ms=mtime_ms, atime_ms=atime_ms)
        return file_status((await self._asking.change_message("SetTimes", request)).status)

    async def set_xattr(
        self, path: str, name: str, value: bytes, *, create: bool, replace: bool
    ) -> FileStatus:
        """One extended attribute."""
        request = pb.SetXattrRequest(
            path=path, name=name, value=value, create=create, replace=replace
        )
        return file_status((await self._asking.change_message("SetXattr", request)).status)

    async def remove_xattr(self, path: str, name: str) -> FileStatus:
        """Without one extended attribute."""
        request = pb.RemoveXattrRequest(path=path, name=name)
        return file_status((await self._asking.change_message("RemoveXattr", request)).status)

    async def set_acl(self, path: str, entries: Sequence[str], change: str) -> FileStatus:
        """Entries of an ACL; *change* as in meta/ops/set_acl.py."""
        request = pb.SetAclRequest(path=path, entries=entries, change=change)
        return file_status((await self._asking.change_message("SetAcl", request)).status)

    async def set_quota(self, path: str, names_max: int, bytes_max: int) -> FileStatus:
        """What a directory may hold; 0: no limit, KEEP keeps."""
        request = pb.SetQuotaRequest(path=path, names_max=names_max, bytes_max=bytes_max)
        return file_status((await self._asking.change_message("SetQuota", request)).status)

    async def xattrs(self, path: str, consistency: Consistency | None = None) -> dict[str, bytes]:
        """Extended attributes by name."""
        answer = await self._asking.read_message(
            "GetXattrs", pb.GetXattrsRequest(path=path), consistency
        )
        self._asking.freshness(answer)
        return {xattr.name: xattr.value for xattr in answer.xattrs}

    async def acl(self, path: str, consistency: Consistency | None = None) -> Acl:
        """Who may do what."""
        answer = await self._asking.read_message("GetAcl", pb.GetAclRequest(path=path), consistency)
        self._asking.freshness(answer)
        return Acl(
            answer.owner,
            answer.group,
            answer.mode,
            tuple(answer.entries),
            tuple(answer.default_entries),
        )
