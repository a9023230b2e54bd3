"""What a group does to the log: the bounds after it, and the rows that it removes.

Pure functions; `RaftLog` writes what they give.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

from pydfsnode.errors import invariant
from pydfsnode.raft.effects import Install, Persist
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.log_recovery import entry_crc
from pydfsnode.storage.sealed import TABLE_ENTRY, Row, numbered_key

_INDEX_AND_TERM = struct.Struct("<QQ")
_INDEX_OFFSET = 8

ReadEntry = Callable[[int], bytes]
"""The encoded entry at an index, from the log as it is before the change."""


def removed(indexes: Iterable[int]) -> list[Row]:
    """Rows that remove the entries at *indexes*."""
    return [(TABLE_ENTRY, numbered_key(index), None) for index in indexes]


def entry_term(index: int, entry: bytes) -> int:
    """The term in *entry*, which must be the one at *index*."""
    found, term = _INDEX_AND_TERM.unpack_from(entry, _INDEX_OFFSET)
    invariant(found == index, "an entry's index is not its place", index=found, place=index)
    return int(term)


def kept_index(bounds: LogBounds, persist: Persist) -> int:
    """The last index that *persist* leaves in the log before its entries are added."""
    kept = bounds.last_index
    if persist.truncate_from is not None:
        kept = min(kept, persist.truncate_from - 1)
        invariant(kept >= bounds.first_index - 1, "a truncation below the log", kept=kept)
    if persist.entries:
        invariant(
            persist.first_index == kept + 1,
            "a group's entries do not continue the log",
            first_index=persist.first_index,
            last_index=kept,
        )
    return kept


def after_entries(
    bounds: LogBounds, kept: int, entries: Sequence[bytes], read: ReadEntry
) -> LogBounds:
    """*bounds* when entries up to *kept* stay and *entries* follow them."""
    last = kept + len(entries)
    if entries:
        tail = entries[-1]
    elif kept == bounds.last_index:
        return bounds
    elif kept < bounds.first_index:
        return bounds._replace(last_index=kept, last_term=bounds.prev_term, last_crc=0)
    else:
        tail = read(kept)
    term = entry_term(last, tail)
    return bounds._replace(last_index=last, last_term=term, last_crc=entry_crc(tail))


def after_compaction(bounds: LogBounds, through: int, through_term: int) -> LogBounds:
    """*bounds* when entries up to *through*, of *through_term*, are gone from the head."""
    bounds = bounds._replace(first_index=through + 1, prev_term=through_term)
    if bounds.last_index > through:
        return bounds
    return bounds._replace(last_index=through, last_term=through_term, last_crc=0)


def after_install(bounds: LogBounds, install: Install, read: ReadEntry) -> LogBounds:
    """*bounds* when the staged state replaced the live one and the log up to it (trap F4)."""
    index, term = install.index, install.index_term
    invariant(index >= bounds.state_index, "a snapshot older than the state", index=index)
    if install.keep_log:
        invariant(
            bounds.first_index - 1 <= index <= bounds.last_index,
            "a log kept behind a snapshot does not hold its entry",
            index=index,
        )
        here = bounds.prev_term if index < bounds.first_index else entry_term(index, read(index))
        invariant(here == term, "a kept log disagrees with the snapshot", index=index, term=here)
        bounds = after_compaction(bounds, index, term)
    else:
        bounds = after_compaction(bounds._replace(last_index=index), index, term)
    return bounds._replace(state_index=index, generation=1 - bounds.generation)
