"""When what a snapshot needed is freed: with the last one that needs it, bit by bit."""

from __future__ import annotations

import pytest

from pydfsnode.meta import history, ops, tree

from .harness import Harness
from .snapshot_asking import chunk_ids, create, delete, lengths, past_rows, prepared


@pytest.fixture
def harness() -> Harness:
    return prepared()


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1)])
def test_the_last_snapshot_that_needs_a_chunk_frees_it(
    harness: Harness, order: tuple[int, ...]
) -> None:
    needed = chunk_ids(harness, "/d/g")
    for number in (1, 2, 3):
        create(harness, "/d", f"s{number}")
        harness.run(ops.SetMode, "/d/g", 0o600 + number)
    harness.delete("/d/g")
    for number in order:
        assert harness.namespace.drain_freed() == []
        assert not harness.namespace.is_garbage(needed[0])
        delete(harness, "/d", f"s{number}")
    assert harness.namespace.drain_freed() == needed
    assert harness.namespace.is_garbage(needed[0])
    assert past_rows(harness) == (0, 0)


def told(harness: Harness) -> dict[int, int]:
    """The replicas that are wanted otherwise than before, by chunk."""
    return {w.chunk_id: w.replication for w in harness.namespace.drain_changed_chunks()}


def wanted(harness: Harness, chunk_id: int) -> int:
    return {w.chunk_id: w.replication for w in harness.namespace.iter_wanted()}[chunk_id]


def test_a_chunk_is_wanted_as_often_as_a_snapshot_wants_it(harness: Harness) -> None:
    kept = chunk_ids(harness, "/d/g")[0]
    create(harness, "/d", "s")
    told(harness)
    for fewer, more in ((1, 3), (2, 3), (5, 5), (1, 3)):
        harness.run(ops.SetReplication, "/d/g", fewer)
        assert (told(harness), wanted(harness, kept)) == ({kept: more}, more)
    harness.delete("/d/g")
    assert (told(harness), wanted(harness, kept)) == ({}, 3)
    harness.restart()
    assert wanted(harness, kept) == 3
    assert harness.namespace.chunk(kept) is None


def test_without_the_snapshot_a_chunk_is_wanted_as_the_file_wants_it(harness: Harness) -> None:
    kept = chunk_ids(harness, "/d/g")[0]
    create(harness, "/d", "s")
    harness.run(ops.SetReplication, "/d/g", 1)
    told(harness)
    delete(harness, "/d", "s")
    assert (told(harness), wanted(harness, kept)) == ({kept: 1}, 1)
    harness.run(ops.SetReplication, "/d/g", 2)
    create(harness, "/d", "t")
    harness.run(ops.SetReplication, "/d/g", 4)
    told(harness)
    delete(harness, "/d", "t")  # it wanted fewer: nothing changes
    assert (told(harness), wanted(harness, kept)) == ({}, 4)
    assert harness.namespace.drain_freed() == []


def test_a_chunk_that_moves_is_wanted_as_often_as_a_snapshot_wants_it(harness: Harness) -> None:
    """Its file was joined to one that wants fewer replicas."""
    moved = chunk_ids(harness, "/d/g")[0]
    harness.write("/d/target", 5)
    harness.run(ops.SetReplication, "/d/target", 1)
    create(harness, "/d", "s")
    told(harness)
    harness.run(ops.Concat, "/d/target", ("/d/g",))
    assert (told(harness), wanted(harness, moved)) == ({moved: 3}, 3)
    delete(harness, "/d", "s")
    assert (told(harness), wanted(harness, moved)) == ({moved: 1}, 1)


def test_what_is_cut_off_a_file_is_wanted_as_before(harness: Harness) -> None:
    kept = chunk_ids(harness, "/d/sub/f")
    create(harness, "/d", "s")
    told(harness)
    harness.run(ops.SetReplication, "/d/sub/f", 4)
    assert told(harness) == dict.fromkeys(kept, 4)
    harness.run(ops.Truncate, "/d/sub/f", 10)
    assert told(harness) == {kept[1]: 3}


def test_the_most_careful_snapshot_decides_how_often_a_chunk_is_kept(harness: Harness) -> None:
    kept = chunk_ids(harness, "/d/g")[0]
    create(harness, "/d", "careful")
    harness.run(ops.SetReplication, "/d/g", 1)
    create(harness, "/d", "careless")
    harness.delete("/d/g")
    for replication in (3, 1):
        assert told(harness)[kept] == replication
        assert wanted(harness, kept) == replication
        if replication == 3:
            delete(harness, "/d", "careful")


def test_without_a_snapshot_that_sees_it_nothing_is_kept(harness: Harness) -> None:
    harness.mkdirs("/o")
    harness.write("/o/f", 4)
    create(harness, "/d", "s")
    harness.run(ops.SetMode, "/o/f", 0o600)
    freed = chunk_ids(harness, "/o/f")
    harness.delete("/o", recursive=True)
    assert harness.namespace.drain_freed() == freed
    assert past_rows(harness) == (0, 0)


def test_a_snapshot_older_than_an_entry_does_not_see_it(harness: Harness) -> None:
    """What lay elsewhere when `d1` was made is not kept for it, wherever it has been since."""
    harness.mkdirs("/e")
    harness.write("/e/x", 10, 20)
    cut = chunk_ids(harness, "/e/x")[1]
    create(harness, "/e", "e")
    create(harness, "/d", "d1")
    harness.run(ops.Truncate, "/e/x", 10)
    harness.rename("/e/x", "/d/x")
    create(harness, "/d", "d2")
    harness.rename("/d/x", "/x")
    delete(harness, "/e", "e")
    assert harness.namespace.drain_freed() == [cut]
    assert lengths(harness, "/d/.snapshot/d2/x") == [10]


def test_much_goes_bit_by_bit(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "RECLAIMED_AT_ONCE_MAX", 4)
    monkeypatch.setattr(history, "PURGED_AT_ONCE_MAX", 4)
    for number in range(10):
        harness.write(f"/d/sub/f{number}", 1)
    create(harness, "/d", "s")
    harness.delete("/d/sub", recursive=True)
    reclaim(harness, 5, 5)
    assert len(harness.names("/d/.snapshot/s/sub")) == 11, "half of it is reclaimed"
    harness.restart()
    reclaim(harness, 100, 7)
    assert len(harness.names("/d/.snapshot/s/sub")) == 11
    assert harness.namespace.drain_freed() == []
    delete(harness, "/d", "s")
    assert harness.namespace.tree.history.is_purging
    left = sum(past_rows(harness))
    harness.restart()
    while harness.namespace.tree.history.is_purging:
        left -= 3
        harness.run(ops.Reclaim, 3)
        assert sum(past_rows(harness)) == max(left, 0)
    assert len(harness.namespace.drain_freed()) == 12


def reclaim(harness: Harness, count: int, gone: int) -> None:
    assert harness.run(ops.Reclaim, count).inodes == gone
