"""Rebuild the namespace from the rows of the state table, and refuse a table with holes."""

from __future__ import annotations

from collections.abc import Iterable

from pydfsnode._fast import InodeTable
from pydfsnode.errors import CorruptionError
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import rows
from pydfsnode.meta.file_keys import TABLE_FILE_KEY, seals_by_file
from pydfsnode.meta.history_rows import TABLE_SNAPSHOT
from pydfsnode.meta.id_spans import IdSpans
from pydfsnode.meta.inodes import HAS_ACL, HAS_EXTRAS, HAS_SNAPSHOTS, IS_OPEN
from pydfsnode.meta.sessions import SessionTable
from pydfsnode.meta.tree import Tree


class Loader:
    """Takes rows in any order into a new tree and table; `finish` links and checks them."""

    def __init__(self, tree: Tree, sessions: SessionTable) -> None:
        self._tree = tree
        self._sessions = sessions
        self._head: rows.Head | None = None
        self._tables = {table.number: table for table in tree.tables}
        tree.table = InodeTable()

    def load(self, table: int, key: bytes, value: bytes) -> None:
        """Take one row. Raises CorruptionError when it cannot be read or is of no known table."""
        rare = self._tables.get(table)
        if table == rows.TABLE_BLOCK:
            self._load_block(key, value)
        elif rare is not None:
            rare.load(key, value)
        elif table == rows.TABLE_SESSION:
            self._sessions.load(*rows.decode_session(key, value))
        elif table == rows.TABLE_PAGE:
            inode_id, page = rows.two_numbers(table, key)
            try:
                self._tree.table.load_page(inode_id, page, value)
            except ValueError as error:
                raise rows.broken(table, key, f"cannot be read ({error})") from None
        elif table == rows.TABLE_HEAD:
            self._head = rows.decode_head(key, value)
        else:
            raise rows.broken(table, key, "belongs to no table of the namespace")

    def _load_block(self, key: bytes, value: bytes) -> None:
        block = rows.number(rows.TABLE_BLOCK, key)
        try:
            self._tree.table.load_block(block, value)
        except ValueError as error:
            raise rows.broken(rows.TABLE_BLOCK, key, f"cannot be read ({error})") from None

    def finish(self) -> int:
        """Link everything; returns the applied index.

        Raises:
            CorruptionError: the head or a row that another one needs is missing, or does not fit.
        """
        head, tree = self._head, self._tree
        if head is None:
            raise CorruptionError(
                "the state table has no head row: restore this master from its peers"
            )
        try:
            detached = tree.table.finish_load(ROOT_INODE_ID, head.next_inode_id, head.next_chunk_id)
        except ValueError as error:
            raise CorruptionError(
                f"the state table does not fit together: {error}: restore this master from its "
                "peers"
            ) from None
        tree.spans = IdSpans(tree.table.inode_ids())
        tree.next_inode_id, tree.next_chunk_id = head.next_inode_id, head.next_chunk_id
        tree.clock_ms = head.clock_ms
        tree.inline.total_bytes = head.inline_bytes
        tree.history.sequence = head.snapshot_sequence
        tree.history.next_past_id = head.next_past_id
        self._sessions.forgotten_count = head.forgotten_sessions
        self._sessions.finish_load()
        tree.touched.clear()
        self._check_flags(IS_OPEN, tree.open_files.rows, rows.TABLE_OPEN)
        self._check_flags(HAS_EXTRAS, tree.extras.rows, rows.TABLE_EXTRAS)
        extras = tree.extras.rows.items()
        with_acl = [inode_id for inode_id, held in extras if held.acl or held.default_acl]
        self._check_flags(HAS_ACL, with_acl, rows.TABLE_EXTRAS)
        self._derive(head)
        tree.history.finish_load()
        self._check_flags(HAS_SNAPSHOTS, tree.history.index.of_directory, TABLE_SNAPSHOT)
        self._check_keys()
        for inode_id in detached:
            if inode_id not in tree.doomed.rows:
                raise rows.broken(
                    rows.TABLE_BLOCK, rows.KEY.pack(inode_id), "is linked nowhere and not deleted"
                )
        return head.applied_index

    def _check_flags(self, flag: int, held: Iterable[int], table: int) -> None:
        """Raise CorruptionError unless the inodes with *flag* are those that *held* tells of."""
        flagged, told = set(self._tree.table.flagged(flag)), set(held)
        for inode_id in sorted(told - flagged):
            raise rows.broken(table, rows.KEY.pack(inode_id), "belongs to no inode that has it")
        for inode_id in sorted(flagged - told):
            raise CorruptionError(
                f"inode {inode_id} lacks its row of table {table}: the state table is damaged; "
                "restore this master from its peers"
            )

    def _check_keys(self) -> None:
        """Raise CorruptionError when a key is of no file that is there or that a snapshot sees."""
        tree = self._tree
        for inode_id in tree.file_keys.keys.rows:
            file = tree.table.get(inode_id)
            if not (tree.history.index.sees(inode_id) if file is None else file.is_file):
                raise rows.broken(TABLE_FILE_KEY, rows.KEY.pack(inode_id), "belongs to no file")

    def _is_last_chunk(self, inode_id: int, chunk_id: int) -> bool:
        table = self._tree.table
        file = table.get(inode_id)
        if file is None or not file.is_file or not file.chunk_count:
            return False
        return bool(table.chunk(file, file.chunk_count - 1)[0] == chunk_id)

    def _derive(self, head: rows.Head) -> None:
        tree = self._tree
        for inode_id, opened in tree.open_files.rows.items():
            if opened.chunk_id:
                is_known = 0 < opened.chunk_id < head.next_chunk_id
                if not is_known or tree.table.holder_of(opened.chunk_id):
                    raise rows.broken(
                        rows.TABLE_OPEN, rows.KEY.pack(inode_id), "holds a chunk that is another's"
                    )
                tree.open_chunks[opened.chunk_id] = inode_id
            if opened.replaces and not self._is_last_chunk(inode_id, opened.replaces):
                raise rows.broken(
                    rows.TABLE_OPEN, rows.KEY.pack(inode_id), "continues a chunk that is another's"
                )
        tree.file_keys.keyed_directories = sum(
            1
            for inode_id, extras in tree.extras.rows.items()
            if seals_by_file(extras)
            and (inode := tree.table.get(inode_id)) is not None
            and inode.is_directory
        )
        tree.quota_count = sum(
            1 for extras in tree.extras.rows.values() if extras.names_max or extras.bytes_max
        )
