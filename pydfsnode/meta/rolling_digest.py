"""A digest that goes through all of the state, a slice after the other, with the log's time.

What masters compare of an interval of the log is what changed in it. A row that nothing changes
would never be compared: one that was lost in memory, or that somebody with the disk of a stopped
master replaced by an older one, whose seal is as good. So in each window of the log's time masters
compare the next slice of everything that they hold in memory. Which one that is follows from the
time and the state alone, so that it does not matter who was started when. Slices are a power of
two: their number changes seldom while the state grows. What is missed because something changed
there, comes in the next round.

Contents of small files are not in memory. A content's id is never given out twice, so that under a
key there was only one; its length and checksum are in its file's inode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydfsnode.meta import id_spans
from pydfsnode.meta.history_rows import TABLE_PAST_ENTRY, TABLE_PAST_INODE
from pydfsnode.meta.tables import KEY, AnyTable, encode

if TYPE_CHECKING:
    from pydfsnode.meta.sessions import SessionTable
    from pydfsnode.meta.tree import Tree

WINDOW_MS = 1000
"""Of the log's time: a slice's turn."""
WINDOWS_MAX = 32
"""Slices at once, when for so long nothing was written (each master signs its audit trail twice a
minute); of a longer pause the last ones."""
PAGES_PER_TURN = 4
"""Full pages of a file that has its turn; it takes a large file some rounds."""
PAST_PER_SLICE = 1024
"""Ids of past entries and past inodes."""
SMALL_EVERY = 16
"""Windows from one slice of what has no dense ids to the next."""
ROWS_PER_SLICE = 1024
"""Of each of these, on average."""

_BY_PAST_ID = (TABLE_PAST_ENTRY, TABLE_PAST_INODE)


def slices(bound: int, per_slice: int) -> int:
    """How many slices of *per_slice* it takes up to *bound*: a power of two."""
    return 1 << (max(0, bound - 1) // per_slice).bit_length()


def update_slices(
    digest: hashlib._Hash, tree: Tree, sessions: SessionTable, after_ms: int, now_ms: int
) -> None:
    """Add what had its turn since the log's time *after_ms*, up to *now_ms*, and all counts."""
    last = now_ms // WINDOW_MS
    digest.update(encode(_counts(tree, sessions)))
    for window in range(max(after_ms // WINDOW_MS, last - WINDOWS_MAX) + 1, last + 1):
        _update_inodes(digest, tree, window)
        _update_past(digest, tree, window)
        if window % SMALL_EVERY == 0:
            turn = window // SMALL_EVERY
            _update_small(digest, tree, turn)
            _update_sessions(digest, sessions, turn)


def _counts(tree: Tree, sessions: SessionTable) -> tuple[int, ...]:
    """A row too many or too few shows at once."""
    table = tree.table
    return (
        table.file_count, table.directory_count, table.chunk_count, len(tree.open_chunks),
        sessions.client_count(), sessions.outcome_count, len(sessions.dormant),
        *(len(rare.rows) for rare in tree.tables),
    )  # fmt: skip


def _update_inodes(digest: hashlib._Hash, tree: Tree, window: int) -> None:
    """A span of ids, with what tables of rare rows hold by them."""
    count, size = slices(len(tree.spans), 1), id_spans.IDS_PER_SPAN
    first, turn = tree.spans.first_id(window % count), window // count
    if first is not None:
        digest.update(tree.table.encode_span(first, size, PAGES_PER_TURN, turn))
        for rare in tree.tables_by_inode:
            _update_range(digest, rare, first, first + size)


def _update_past(digest: hashlib._Hash, tree: Tree, window: int) -> None:
    first = window % slices(tree.history.next_past_id, PAST_PER_SLICE) * PAST_PER_SLICE
    for rare in tree.history.tables:
        if rare.number in _BY_PAST_ID:
            _update_range(digest, rare, first, first + PAST_PER_SLICE)


def _update_range(digest: hashlib._Hash, rare: AnyTable, first: int, end: int) -> None:
    held = rare.rows
    if not held:
        return
    keys: Iterable[int] = held if len(held) < end - first else range(first, end)
    _update_rows(digest, rare, sorted(key for key in keys if first <= key < end and key in held))


def _update_small(digest: hashlib._Hash, tree: Tree, turn: int) -> None:
    """The tables that are mostly small; keys from 1 on, or nearly."""
    for rare in tree.tables:
        if rare.number not in _BY_PAST_ID and rare not in tree.tables_by_inode:
            count = slices(len(rare.rows), ROWS_PER_SLICE)
            keys = sorted(key for key in rare.rows if key % count == turn % count)
            _update_rows(digest, rare, keys)


def _update_rows(digest: hashlib._Hash, rare: AnyTable, keys: list[int]) -> None:
    digest.update(encode((rare.number, [(key, rare.rows[key]) for key in keys])))


def _update_sessions(digest: hashlib._Hash, sessions: SessionTable, turn: int) -> None:
    asleep = sessions.dormant
    most = max(sessions.outcome_count, sessions.client_count() + len(asleep))
    count = slices(most, ROWS_PER_SLICE)
    chosen = turn % count
    for client_id in sorted(key for key in sessions.clients() if key % count == chosen):
        digest.update(KEY.pack(client_id))
        digest.update(encode(sessions.rows_of(client_id)))
    keys = sorted(key for key in asleep if key % count == chosen)
    digest.update(encode([(key, asleep[key]) for key in keys]))
