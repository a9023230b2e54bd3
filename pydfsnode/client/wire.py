"""The masters' RPCs as methods on plain values: the `wire` modules alone know protobuf."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from pydfsnode._fast import client_requests
from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import (
    DIRECTORY,
    FILE,
    FileLocations,
    FileStatus,
    FoundPage,
    Freshness,
    Listing,
    Summary,
)
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire_asking import NAMESPACE, Asking, Router
from pydfsnode.client.wire_attributes import AttributeCalls
from pydfsnode.client.wire_cluster import ClusterCalls
from pydfsnode.client.wire_fleet import FleetCalls
from pydfsnode.client.wire_keys import KeyCalls
from pydfsnode.client.wire_security import SecurityCalls
from pydfsnode.client.wire_trees import TreeCalls
from pydfsnode.client.wire_values import (
    LIST,
    LOCATE,
    file_status,
    read_listing,
    read_locations,
    status_reader,
)
from pydfsnode.client.wire_writing import WritingCalls
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

_MKDIRS, _DELETE = NAMESPACE + "Mkdirs", NAMESPACE + "Delete"
_RENAME, _STAT = NAMESPACE + "Rename", NAMESPACE + "Stat"
_read_made, _read_renamed, _read_stat = map(status_reader, (_MKDIRS, _RENAME, _STAT))
_TYPES = {None: pb.NODE_TYPE_UNSPECIFIED, FILE: pb.FILE, DIRECTORY: pb.DIRECTORY}


class MasterCalls(WritingCalls):
    """One method for every RPC of the masters; each mutation carries one op id in all its attempts.

    All methods raise what the masters answered (errors.py), or `Unavailable`, `OutcomeUnknown` or
    `DeadlineExceeded` when no leader answered within `timeout_ms`.
    """

    def __init__(self, router: Router, session: OpSession, timeout_ms: int) -> None:
        self._router = router
        self._asking = Asking(router, session, timeout_ms)
        self.timeout_ms = timeout_ms
        self.cluster = ClusterCalls(router, timeout_ms)
        """What is asked about the masters themselves."""
        self.fleet = FleetCalls(router, self._asking)
        """What is ordered of the chunkservers."""
        self.security = SecurityCalls(router, self._asking)
        """Certificates: what is asked and ordered."""
        self.keys = KeyCalls(router, self._asking)
        """Keys that data is sealed with: what is asked and ordered."""
        self.attributes = AttributeCalls(self._asking)
        """What is asked about owners, modes, times, ACLs, quotas."""
        self.trees = TreeCalls(self._asking)
        """What is asked about the trash and snapshots."""

    @property
    def stalest(self) -> Freshness | None:
        """Of all answers so far, the one that promised least; None while all were linearizable."""
        return self._asking.stalest

    def waiting_because(self) -> str | None:
        """Why calls get no answer at the moment, None while all is well."""
        return self._router.waiting_because()

    def mkdirs(self, path: str, mode: int = 0) -> Coroutine[Any, Any, FileStatus]:
        """Make a directory and its missing parents; one that exists already is no error."""
        return self._asking.change(_MKDIRS, client_requests.mkdirs(path, mode), _read_made)

    def delete(self, path: str, *, recursive: bool) -> Coroutine[Any, Any, int]:
        """Delete a path; returns how many files and directories went."""
        return self._asking.change(_DELETE, client_requests.delete(path, recursive), _read_deleted)

    def rename(
        self, source: str, destination: str, *, overwrite: bool = False
    ) -> Coroutine[Any, Any, FileStatus]:
        """Move a path in one step; with *overwrite* a file takes the place of another."""
        fields = client_requests.rename(source, destination, overwrite)
        return self._asking.change(_RENAME, fields, _read_renamed)

    async def concat(self, target: str, sources: Sequence[str]) -> FileStatus:
        """Move the chunks of the files *sources* to the end of *target*; the sources disappear."""
        request = pb.ConcatRequest(target=target, sources=sources)
        return file_status((await self._asking.change_message("Concat", request)).status)

    # A consistency of None leaves it to the masters' configuration.

    def stat(
        self, path: str, consistency: Consistency | None = None
    ) -> Coroutine[Any, Any, FileStatus]:
        """What the namespace knows of a path."""
        asking = self._asking
        request = client_requests.look(path, asking.options(consistency))
        return asking.read(_STAT, request, consistency, self._read_status)

    def list_directory(
        self,
        path: str,
        start_after: str = "",
        limit: int = 0,
        consistency: Consistency | None = None,
    ) -> Coroutine[Any, Any, Listing]:
        """One page of a directory after the name `start_after`; a file lists itself."""
        asking = self._asking
        request = client_requests.list_page(path, start_after, limit, asking.options(consistency))
        return asking.read(LIST, request, consistency, self._read_listing)

    async def find(
        self,
        path: str,
        pattern: str = "",
        type: str | None = None,
        start_after: str = "",
        consistency: Consistency | None = None,
    ) -> FoundPage:
        """One step of a search below a path; it may find nothing and still have more to look at.

        Args:
            pattern: of the last name, as a shell's; "": all.
            type: FILE or DIRECTORY; None: both.
            start_after: `next` of the step before.
        """
        request = pb.FindRequest(
            path=path, pattern=pattern, type=_TYPES[type], start_after=start_after
        )
        answer = await self._asking.read_message("Find", request, consistency)
        freshness = self._asking.freshness(answer)
        entries = [file_status(entry, freshness) for entry in answer.entries]
        return FoundPage(entries, answer.next if answer.more else "")

    def locate(
        self, path: str, consistency: Consistency | None = None
    ) -> Coroutine[Any, Any, FileLocations]:
        """A file's chunks and where their replicas are; the status has the label."""
        asking = self._asking
        request = client_requests.look(path, asking.options(consistency))
        return asking.read(LOCATE, request, consistency, self._read_locations)

    async def summary(self, path: str, consistency: Consistency | None = None) -> Summary:
        """Totals of everything under a path, and its quotas."""
        answer = await self._asking.read_message(
            "Summary", pb.SummaryRequest(path=path), consistency
        )
        return Summary(
            int(answer.directories),
            int(answer.files),
            int(answer.bytes),
            int(answer.bytes_replicated),
            int(answer.names_quota),
            int(answer.space_quota),
            self._asking.freshness(answer),
        )

    async def report_bad_replica(self, chunk_id: int, node_id: str, reason: str) -> None:
        """Tell the leader that a replica failed verification, so that it is repaired (INV-SUM)."""
        request = pb.ReportBadReplicaRequest(chunk_id=chunk_id, node_id=node_id, reason=reason)
        await self._asking.ask_message("ReportBadReplica", request)

    def _read_status(self, answer: bytes) -> FileStatus:
        return self._labelled(_read_stat(answer))

    def _read_locations(self, answer: bytes) -> FileLocations:
        found = read_locations(answer)
        self._labelled(found.status)
        return found

    def _read_listing(self, answer: bytes) -> Listing:
        found = read_listing(answer)
        if found.freshness is not None:
            self._asking.labelled(found.freshness)
        return found

    def _labelled(self, status: FileStatus) -> FileStatus:
        if status.freshness is not None:
            self._asking.labelled(status.freshness)
        return status


def _read_deleted(answer: bytes) -> int:
    return int(rpc_of(_DELETE).parse_response(answer).inodes)
