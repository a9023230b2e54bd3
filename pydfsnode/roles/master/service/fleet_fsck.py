"""`cluster fsck`: one bounded step of a walk that compares the namespace with the chunkservers."""

from __future__ import annotations

from collections.abc import Iterator

from pydfsnode.fleet import fsck
from pydfsnode.meta import queries
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.find import find
from pydfsnode.meta.inodes import INLINE
from pydfsnode.meta.results import FileView
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.rpc.pb import dfs_pb2 as pb

INODES_PER_STEP = 128
CHUNKS_PER_STEP = 256
"""A step takes one to three milliseconds of the leader's loop, however large the file system is."""
FATAL = (fsck.MISSING, fsck.CORRUPT)
_COUNT_OF = {
    fsck.MISSING: "missing",
    fsck.CORRUPT: "corrupt",
    fsck.UNDER_REPLICATED: "under_replicated",
    fsck.OVER_REPLICATED: "over_replicated",
    fsck.MISPLACED: "misplaced",
    fsck.IN_MAINTENANCE: "in_maintenance",
}


class Step:
    """Fills one `response`. Snapshots below the path are not looked into."""

    def __init__(self, namespace: Namespace, fleet: Fleet, caller: Caller) -> None:
        self._namespace = namespace
        self._caller = caller
        self._examiner = fleet.examiner()
        self._chunks_left = CHUNKS_PER_STEP
        self._done = ""
        self.response = pb.FsckResponse(safe_mode=fleet.warming_up)

    def run(self, path: str, after: pb.FsckCursor) -> pb.FsckResponse:
        """Go on behind *after*, of which a file may have chunks left.

        Raises:
            NotFound, NotADirectory, InvalidPath: of *path*.
        """
        self._done = after.path
        if after.chunk and not self._rest_of(after):
            return self.response
        found = find(
            self._namespace, path, self._caller, start_after=after.path, limit=INODES_PER_STEP
        )
        for view in found.entries:
            if not self._chunks_left:
                self._go_on(True, self._done, 0)
                return self.response
            if not self._look(view):
                return self.response
            self._done = view.path
        self._go_on(found.more, found.next, 0)
        return self.response

    def _go_on(self, more: bool, path: str, chunk: int) -> None:
        self.response.more = more
        self.response.next.path = path
        self.response.next.chunk = chunk

    def _rest_of(self, at: pb.FsckCursor) -> bool:
        """Whether the file that was begun is done; gone meanwhile, it is."""
        found = self._namespace.tree.deepest(at.path, self._caller)
        if found[1] or not found[0].is_file:
            return True
        view = queries.stat(self._namespace, at.path, self._caller)
        return self._look_at_chunks(view, at.chunk)

    def _look(self, view: FileView) -> bool:
        counts = self.response.counts
        if view.type == "directory":
            counts.directories += 1
            return True
        counts.files += 1
        counts.bytes += view.size
        counts.inline_files += view.inline
        if view.under_construction:
            counts.open_files += 1
            self._find(view.path, "open", 0, 0)
        return self._look_at_chunks(view, 0)

    def _look_at_chunks(self, view: FileView, first: int) -> bool:
        """Look at the chunks of a file from *first* on; returns whether it came to the end."""
        counts = self.response.counts
        found: dict[str, list[int]] = {}
        for at, (chunk_id, length) in enumerate(self._chunks(view, first), first):
            if not self._chunks_left:
                self._tell(view.path, found)
                self._go_on(True, view.path, at)
                return False
            self._chunks_left -= 1
            condition = self._examiner.look(chunk_id, view.replication)
            counts.chunks += 1
            counts.replicas += condition.replicas
            counts.replicas_wanted += view.replication
            counts.corrupt_replicas += condition.bad
            if condition.problem:
                name = _COUNT_OF[condition.problem]
                setattr(counts, name, getattr(counts, name) + 1)
                so_far = found.setdefault(condition.problem, [0, 0])
                so_far[0] += 1
                so_far[1] += length
        self._tell(view.path, found)
        return True

    def _chunks(self, view: FileView, first: int) -> Iterator[tuple[int, int]]:
        """(id, length) of the chunks on chunkservers."""
        table = self._namespace.tree.table
        file = None if queries.is_past(view.path) else table.get(view.inode_id)
        if file is not None:
            for position in range(first, file.chunk_count):
                chunk_id, version, length, _ = table.chunk(file, position)
                if version != INLINE:
                    yield chunk_id, length
            return
        for chunk in queries.locate(self._namespace, view.path, self._caller)[1][first:]:
            if chunk.version != INLINE:
                yield chunk.chunk_id, chunk.length

    def _tell(self, path: str, found: dict[str, list[int]]) -> None:
        for problem, (chunks, size) in sorted(found.items()):
            self._find(path, problem, chunks, size)

    def _find(self, path: str, problem: str, chunks: int, size: int) -> None:
        self.response.findings.add(path=path, problem=problem, chunks=chunks, bytes=size)
