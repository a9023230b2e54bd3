"""The position of one master: numbered batches, frozen until acknowledged; full reports."""

import pytest

from pydfsnode.roles.chunkserver import reports
from pydfsnode.roles.chunkserver.reports import ReportCursor
from pydfsnode.storage import chunk_index
from pydfsnode.storage.chunk_index import ChunkIndex, Replica


@pytest.fixture
def index() -> ChunkIndex:
    return ChunkIndex(lambda: None)


@pytest.fixture
def cursor(index: ChunkIndex) -> ReportCursor:
    """Of a master that has just taken a full report of nothing."""
    made = ReportCursor(index)
    made.full_acknowledged(made.full()[0])
    return made


EPOCH = 3


def _replica(chunk_id: int, version: int = 1) -> Replica:
    return Replica(chunk_id, version, 10)


def test_changes_are_told_only_behind_a_full_report(index: ChunkIndex) -> None:
    cursor = ReportCursor(index)
    index.put(_replica(1))
    assert cursor.wants_full
    assert cursor.next_batch(EPOCH).is_empty
    position, pages = cursor.full()
    assert [(page.first, page.last, page.replicas) for page in pages] == [
        (True, True, [_replica(1)])
    ]
    cursor.full_acknowledged(position)
    assert not cursor.wants_full
    assert cursor.next_batch(EPOCH).is_empty


def test_what_changed_while_the_pages_were_sent_follows_them(index: ChunkIndex) -> None:
    cursor = ReportCursor(index)
    index.put(_replica(1))
    position, _ = cursor.full()
    index.put(_replica(2))
    cursor.full_acknowledged(position)
    assert cursor.is_behind
    assert cursor.next_batch(EPOCH).added == [_replica(2)]


def test_a_batch_stays_the_same_until_it_is_acknowledged(
    index: ChunkIndex, cursor: ReportCursor
) -> None:
    index.put(_replica(1))
    batch = cursor.next_batch(EPOCH)
    index.put(_replica(2))
    index.remove(_replica(1))
    cursor.failed()
    assert cursor.next_batch(EPOCH) == batch
    cursor.acknowledged(batch)
    following = cursor.next_batch(EPOCH)
    assert (following.number, following.added, following.removed) == (
        batch.number + 1, [_replica(2)], [1],
    )  # fmt: skip


def test_nothing_to_tell_repeats_the_number_and_holds_nothing_back(
    index: ChunkIndex, cursor: ReportCursor
) -> None:
    index.put(_replica(1))
    first = cursor.next_batch(EPOCH)
    cursor.acknowledged(first)
    empty = cursor.next_batch(EPOCH)
    assert (empty.is_empty, empty.number) == (True, first.number)
    cursor.failed()
    index.put(_replica(2))
    assert cursor.next_batch(EPOCH).added == [_replica(2)]


def test_a_chunk_is_told_once_a_batch_as_it_is_now(index: ChunkIndex, cursor: ReportCursor) -> None:
    for version in (1, 2, 3):
        index.put(_replica(1, version))
    index.put(_replica(2))
    index.remove(_replica(2))
    batch = cursor.next_batch(EPOCH)
    assert (batch.added, batch.removed) == ([_replica(1, 3)], [2])


def test_batches_and_pages_are_bounded(
    index: ChunkIndex, cursor: ReportCursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "BATCH_CHANGES_MAX", 3)
    for chunk_id in range(7):
        index.put(_replica(chunk_id))
    sizes = []
    while cursor.is_behind:
        batch = cursor.next_batch(EPOCH)
        sizes.append(len(batch.added))
        cursor.acknowledged(batch)
    assert sizes == [3, 3, 1]
    pages = cursor.full()[1]
    assert [len(page.replicas) for page in pages] == [3, 3, 1]
    assert [page.first for page in pages] == [True, False, False]
    assert [page.last for page in pages] == [False, False, True]


def test_a_master_that_was_away_for_too_long_gets_a_full_report(
    index: ChunkIndex, cursor: ReportCursor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_index, "CHANGES_MAX", 4)
    for chunk_id in range(20):
        index.put(_replica(chunk_id))
    assert cursor.next_batch(EPOCH).is_empty
    assert cursor.wants_full
    assert len(cursor.full()[1][0].replicas) == 20


def test_a_batch_told_again_keeps_the_epoch_of_when_it_was_collected() -> None:
    index = ChunkIndex(lambda: None)
    cursor = ReportCursor(index)
    cursor.full_acknowledged(cursor.full()[0])
    index.put(_replica(1))
    assert cursor.next_batch(3).epoch == 3
    cursor.failed()
    assert cursor.next_batch(4).epoch == 3
    cursor.acknowledged(cursor.next_batch(4))
    assert cursor.next_batch(4).epoch == 4
