"""Queues of chunks in trouble: their order, and what they cost afterwards."""

from __future__ import annotations

import pytest

from pydfsnode import _fast as fast
from pydfsnode.fleet.queues import ChunkQueues, trimmed


@pytest.fixture
def queues() -> ChunkQueues:
    """Chunks 0 to 999 are known."""
    table = fast.ReplicaTable()
    for chunk_id in range(1000):
        table.want(chunk_id, 1, 1, 3)
    return ChunkQueues(table)


def test_missing_chunks_are_counted_and_found(queues: ChunkQueues) -> None:
    for chunk_id in range(10):
        queues.set_wanted(chunk_id, 0, is_surplus=False)
    queues.set_wanted(3, 2, is_surplus=False)
    queues.set_unwanted(4, None)
    queues.defer(5)
    assert queues.short_count(0) == 8
    assert sorted(queues.short(0, 99)) == [0, 1, 2, 5, 6, 7, 8, 9]
    assert len(queues.short(0, 3)) == 3


def test_a_chunk_that_changes_its_level_stands_last_there(queues: ChunkQueues) -> None:
    for chunk_id, level in ((1, 1), (2, 2), (3, 2), (1, 2), (3, 2)):
        queues.set_wanted(chunk_id, level, is_surplus=False)
    assert queues.short(2, 9) == [2, 3, 1]
    assert queues.short(1, 9) == []
    queues.defer(2)
    assert queues.short(2, 2) == [3, 1]
    queues.set_wanted(3, None, is_surplus=True)
    assert (queues.short(2, 9), queues.surplus(9)) == ([1, 2], [3])


def test_wanted_and_unwanted_exclude_each_other(queues: ChunkQueues) -> None:
    queues.set_wanted(1, 2, is_surplus=True)
    queues.set_unwanted(1, 77)
    assert (queues.short(2, 9), queues.surplus(9), queues.orphans(9)) == ([], [], [(1, 77)])
    assert queues.orphan_since_ms(1) == 77
    queues.set_wanted(1, None, is_surplus=False)
    assert queues.orphans(9) == []
    assert queues.orphan_since_ms(1) is None


def test_a_dictionary_that_was_long_is_copied_in_its_order() -> None:
    entries = dict.fromkeys(range(10_000))
    assert trimmed(entries) is entries
    for key in range(9_990):
        del entries[key]
    copy = trimmed(entries)
    assert list(copy) == list(range(9_990, 10_000))
    assert copy.__sizeof__() < 2000 < entries.__sizeof__()
    assert trimmed(copy) is copy


def test_trimming_keeps_what_is_queued(queues: ChunkQueues) -> None:
    for chunk_id in range(1000):
        queues.set_wanted(chunk_id, 1, is_surplus=True)
    for chunk_id in range(3, 1000):
        queues.set_unwanted(chunk_id, chunk_id)
    queues.trim()
    assert (queues.short(1, 9), queues.surplus(9)) == ([0, 1, 2], [0, 1, 2])
    assert queues.orphans(2) == [(3, 3), (4, 4)]
