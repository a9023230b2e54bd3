"""Rebuild the namespace from the rows of the state table, and refuse a table with holes."""

from __future__ import annotations

from sys import intern

from pydfsnode.errors import CorruptionError
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import rows
from pydfsnode.meta.inodes import Directory, File
from pydfsnode.meta.sessions import SessionTable
from pydfsnode.meta.tree import Tree


class Loader:
    """Takes rows in any order into an empty tree and table; `finish` links and checks them."""

    def __init__(self, tree: Tree, sessions: SessionTable) -> None:
        self._tree = tree
        self._sessions = sessions
        self._head: rows.Head | None = None
        tree.inodes.clear()
        tree.entries.clear()

    def load(self, table: int, key: bytes, value: bytes) -> None:
        """Take one row. Raises CorruptionError when it cannot be read or is of no known table."""
        if table == rows.TABLE_INODE:
            inode = rows.decode_inode(key, value)
            inode.owner, inode.group = intern(inode.owner), intern(inode.group)
            self._tree.inodes[inode.inode_id] = inode
            if type(inode) is File:
                self._tree.file_count += 1
            else:
                self._tree.entries[inode.inode_id] = {}
        elif table == rows.TABLE_CHUNK:
            chunk = rows.decode_chunk(key, value)
            self._tree.chunks[chunk.chunk_id] = chunk
        elif table == rows.TABLE_SESSION:
            self._sessions.load(*rows.decode_session(key, value))
        elif table == rows.TABLE_HEAD:
            self._head = rows.decode_head(key, value)
        else:
            raise rows.broken(table, key, "belongs to no table of the namespace")

    def finish(self) -> int:
        """Link everything; returns the applied index.

        Raises:
            CorruptionError: the head, the root, an inode's parent or a file's chunk is missing,
                a chunk has no file, or an id was not given out yet.
        """
        head, tree = self._head, self._tree
        if head is None:
            raise CorruptionError(
                "the state table has no head row: restore this master from its peers"
            )
        if type(tree.inodes.get(ROOT_INODE_ID)) is not Directory:
            raise rows.broken(rows.TABLE_INODE, rows.ID.pack(ROOT_INODE_ID), "is not the root")
        self._link_inodes(head)
        self._check_chunks(head)
        tree.next_inode_id, tree.next_chunk_id = head.next_inode_id, head.next_chunk_id
        tree.clock_ms = head.clock_ms
        self._sessions.forgotten_count = head.forgotten_sessions
        self._sessions.finish_load()
        tree.touched_inodes.clear()
        tree.touched_chunks.clear()
        return head.applied_index

    def _link_inodes(self, head: rows.Head) -> None:
        entries = self._tree.entries
        for inode_id, inode in self._tree.inodes.items():
            if inode_id == ROOT_INODE_ID:
                continue
            siblings = entries.get(inode.parent_id)
            if siblings is None or inode.name in siblings or inode_id >= head.next_inode_id:
                raise rows.broken(
                    rows.TABLE_INODE, rows.ID.pack(inode_id),
                    f"does not fit: parent {inode.parent_id} is missing, has that name twice, "
                    "or the id was never given out",
                )  # fmt: skip
            siblings[inode.name] = inode_id

    def _check_chunks(self, head: rows.Head) -> None:
        tree = self._tree
        held = 0
        for inode in tree.inodes.values():
            if type(inode) is not File:
                continue
            for chunk_id in inode.chunks:
                held += 1
                chunk = tree.chunks.get(chunk_id)
                if chunk is None or chunk.inode_id != inode.inode_id:
                    raise rows.broken(
                        rows.TABLE_INODE,
                        rows.ID.pack(inode.inode_id),
                        f"lacks its chunk {chunk_id}",
                    )
        if held != len(tree.chunks) or max(tree.chunks, default=0) >= head.next_chunk_id:
            raise CorruptionError(
                f"the state table has {len(tree.chunks)} chunks, its files hold {held}: "
                "restore this master from its peers"
            )
