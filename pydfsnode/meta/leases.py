"""Leases of writers: one writer a file, for as long as its client is heard of.

Every operation of a client renews all its leases. After the soft limit another client may take the
file over; after the hard one the masters close it. What its writer left of an open chunk is then
found on the chunkservers by the leader: `RecoverLease` or `ExpireLeases` take the file from the
writer (`RECOVERING`), `FinishRecovery` closes it with what was found, which is at least what the
writer had flushed.
"""

from __future__ import annotations

from pydfsnode._fast import Inode
from pydfsnode.errors import FileUnderConstruction
from pydfsnode.meta import paths
from pydfsnode.meta.inodes import OpenFile
from pydfsnode.meta.tree import Tree

SOFT_LEASE_MS = 60_000
"""Silent for so long, and another client may take the file."""
HARD_LEASE_MS = 600_000
"""Silent for so long, and the masters close the file."""


def is_soft_expired(tree: Tree, opened: OpenFile) -> bool:
    """Whether the writer was not heard of for SOFT_LEASE_MS of log time."""
    return _is_expired(tree, opened, tree.clock_ms, SOFT_LEASE_MS)


def is_hard_expired(tree: Tree, opened: OpenFile, now_ms: int) -> bool:
    """Whether at *now_ms* the writer was not heard of for HARD_LEASE_MS."""
    return _is_expired(tree, opened, now_ms, HARD_LEASE_MS)


def _is_expired(tree: Tree, opened: OpenFile, now_ms: int, limit_ms: int) -> bool:
    heard_ms = tree.last_heard_ms(opened.holder)
    # A session that sleeps was idle for longer than both limits.
    return heard_ms is None or now_ms - heard_ms > limit_ms


def require_free(tree: Tree, file: Inode, client_id: int, path: str) -> None:
    """Raise FileUnderConstruction while another client than *client_id* writes *file*.

    One whose soft limit is past does not count.
    """
    opened = tree.holder(file)
    if opened is None or opened.holder == client_id or is_soft_expired(tree, opened):
        return
    raise FileUnderConstruction(
        f"{paths.shown(path)} is being written by another client; it can be taken over "
        f"{SOFT_LEASE_MS // 1000} s after that one was last heard of",
        path=path,
    )


def recover(tree: Tree, file: Inode, path: str) -> None:
    """Take the lease of *file* from its writer, if it has one, and close it as it is recorded.

    Raises:
        FileUnderConstruction: it has an open chunk: that has to be recovered first.
    """
    opened = tree.holder(file)
    if opened is None:
        return
    if opened.chunk_id:
        raise FileUnderConstruction(
            f"{paths.shown(path)} is being recovered from a writer that is gone: try again",
            path=path,
        )
    tree.close(file)


def close_or_recover(tree: Tree, file: Inode) -> None:
    """Close *file*, if somebody writes it; with an open chunk, begin its recovery."""
    opened = tree.holder(file)
    if opened is None:
        return
    if opened.chunk_id:
        tree.begin_recovery(file)
    else:
        tree.close(file)


class LeaseScan:
    """Looks through all open files for leases past the hard limit, a part at each call.

    For the leader, outside of the log: what it finds it proposes (`ExpireLeases`).
    """

    def __init__(self) -> None:
        self._left: list[int] = []

    def expired(self, tree: Tree, now_ms: int, count: int) -> list[int]:
        """Ids of files to close among the next *count* open ones; after the last, from the start.

        Args:
            now_ms: log time as it would be if an operation came now.
        """
        if not self._left:
            self._left = list(tree.open_files.rows)
        looked_at, self._left = self._left[-count:], self._left[:-count]
        found: list[int] = []
        for inode_id in looked_at:
            opened = tree.open_files.get(inode_id)
            if opened is not None and is_hard_expired(tree, opened, now_ms):
                found.append(inode_id)
        return found
