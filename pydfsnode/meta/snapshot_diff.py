"""What changed in a directory between two of its snapshots, or since one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import paths
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.history_reading import Seen, SeenTree
from pydfsnode.meta.ops.create_snapshot import required_seq
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import Tree

DIFFERENCES_MAX = 10_000
"""In one answer."""
ENTRIES_SCANNED_MAX = 500_000
"""Entries of changed directories that one question looks at: some 100 ms."""

Kind = Literal["+", "-", "M", "R"]


class Difference(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Made (+), deleted (-), modified (M) or renamed (R, to `target`), as HDFS reports it.

    `path` is from the directory on ("." itself, "./a/b"): where it was in the first snapshot, of
    what was made where it is in the second. What is in a made or deleted directory goes unsaid.
    """

    path: str
    kind: Kind
    target: str = ""


def diff(
    namespace: Namespace, path: str, from_name: str, to_name: str, caller: Caller
) -> list[Difference]:
    """The differences, by path.

    Args:
        from_name, to_name: snapshots of the directory *path*; "": as it is now. The second may be
            the older one.

    Raises:
        InvalidPath.
        NotFound, NotADirectory: no directory is there, or it has no such snapshot.
        AccessDenied: needs the owner: it shows names below directories that others may not read.
        InvalidArgument: there is too much to look at or to tell.
    """
    tree = namespace.tree
    directory = tree.walk_directory(path, caller)
    tree.require_owner(directory, caller, path)
    seqs = [
        required_seq(tree, directory, path, name) if name else tree.history.sequence + 1
        for name in (from_name, to_name)
    ]
    older, newer = (SeenTree(tree, seq) for seq in sorted(seqs))
    found = _Comparison(tree, directory.inode_id, older, newer, path).differences()
    if seqs[0] > seqs[1]:
        found = [_reversed(difference) for difference in found]
    return sorted(Difference(one.path, "M") if one.kind == "M" else one for one in found)


_OPPOSITE: dict[Kind, Kind] = {"+": "-", "-": "+", "M": "M", "R": "R"}


def _reversed(one: Difference) -> Difference:
    return Difference(one.target or one.path, _OPPOSITE[one.kind], one.target and one.path)


class _Comparison:
    """Only inodes that changed are looked at: of each, what it was is kept as a past inode."""

    def __init__(
        self, tree: Tree, top_id: int, older: SeenTree, newer: SeenTree, path: str
    ) -> None:
        self._tree, self._top_id, self._path = tree, top_id, path
        self._older, self._newer = older, newer
        self._scanned = 0

    def differences(self) -> list[Difference]:
        """All of them; M with both paths."""
        found: list[Difference] = []
        for inode_id in self._changed():
            for difference in self._of_inode(inode_id):
                found.append(difference)
                if len(found) > DIFFERENCES_MAX:
                    raise InvalidArgument(
                        f"there are over {DIFFERENCES_MAX} differences in "
                        f"{paths.shown(self._path)}: compare snapshots that are closer",
                        path=self._path,
                    )
        return found

    def _changed(self) -> Iterator[int]:
        """Inodes that changed after the older and before the newer snapshot."""
        older, newer = self._older.seq, self._newer.seq
        for inode in self._tree.history.index.inodes.rows.values():
            if inode.since < older <= inode.until < newer:
                yield inode.inode_id

    def _of_inode(self, inode_id: int) -> Iterator[Difference]:
        before = self._shown(self._older, inode_id)
        if before is None:
            return
        after = self._shown(self._newer, inode_id)
        was = self._older.inode(inode_id)
        if after is not None and self._differs(was, self._newer.inode(inode_id)):
            yield Difference(before, "M", after)
        if was.is_directory:
            yield from self._gone(inode_id, before, after is not None)
            if after is not None:
                yield from self._made(inode_id, after)

    def _gone(self, directory_id: int, before: str, is_left: bool) -> Iterator[Difference]:
        """Entries of a directory that are no longer there."""
        for entry in self._tree.history.index.entries_after(directory_id, ""):
            if not entry.is_seen_by(self._older.seq):
                continue
            if self._newer.place(entry.inode_id) == (directory_id, entry.name):
                continue
            target = self._shown(self._newer, entry.inode_id)
            if target is not None:
                yield Difference(f"{before}/{entry.name}", "R", target)
            elif is_left:
                yield Difference(f"{before}/{entry.name}", "-")

    def _made(self, directory_id: int, after: str) -> Iterator[Difference]:
        """Entries of a directory that are new and were nowhere before."""
        directory = self._tree.table.get(directory_id)
        self._scanned += 0 if directory is None else directory.child_count
        if self._scanned > ENTRIES_SCANNED_MAX:
            raise InvalidArgument(
                f"the changed directories in {paths.shown(self._path)} have over "
                f"{ENTRIES_SCANNED_MAX} entries: too many to compare",
                path=self._path,
            )
        for name, inode_id in self._newer.made_since(self._older.seq, directory_id):
            if self._shown(self._older, inode_id) is None:
                yield Difference(f"{after}/{name}", "+")

    def _shown(self, seen: SeenTree, inode_id: int) -> str | None:
        names = seen.names_from(self._top_id, inode_id)
        return None if names is None else "/".join([".", *names])

    def _differs(self, was: Seen, now: Seen) -> bool:
        """Whether more than its place changed: a move alone only sets ctime."""

        def compared(inode: Seen, seen: SeenTree) -> tuple[object, ...]:
            return (
                inode.mode, inode.owner, inode.group, inode.mtime_ms, inode.replication,
                seen.extras(inode), () if inode.is_directory else seen.chunks(inode),
            )  # fmt: skip

        return compared(was, self._older) != compared(now, self._newer)
