"""Two generations of the state's tables: one is live, a snapshot is staged in the other.

A state table's number on disk is its own in generation 0, and `GENERATION_STEP` more in 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydfsnode.errors import invariant
from pydfsnode.storage.sealed import TABLE_MEMBERSHIP, TABLE_STATE_FIRST, Row

TABLE_STATE_LAST = 79
GENERATION_STEP = 96


def disk_table(table: int, generation: int) -> int:
    """The number on disk of *table* of the state, or of the membership, which has one only."""
    if table == TABLE_MEMBERSHIP:
        return table
    invariant(
        TABLE_STATE_FIRST <= table <= TABLE_STATE_LAST, "not a table of the state", table=table
    )
    return table + GENERATION_STEP * generation


def disk_rows(rows: Sequence[Row], generation: int) -> list[Row]:
    """*rows* of the state with their tables' numbers on disk."""
    numbers = {table: disk_table(table, generation) for table in {row[0] for row in rows}}
    return [(numbers[table], key, value) for table, key, value in rows]


def disk_span(generation: int) -> tuple[bytes, bytes]:
    """The keys on disk, first and end, of all tables of *generation*."""
    first = disk_table(TABLE_STATE_FIRST, generation)
    return bytes([first]), bytes([disk_table(TABLE_STATE_LAST, generation) + 1])
