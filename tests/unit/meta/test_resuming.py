"""Chunks that continue others, go on after a failure, count before the file is closed."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
    FileUnderConstruction,
    InvalidArgument,
    LeaseExpired,
    PydfsError,
    QuotaExceeded,
    UnknownChunk,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import WantedChunk

from .harness import MIB, Harness


def chunks(harness: Harness, path: str) -> list[tuple[int, int]]:
    found = queries.locate(harness.namespace, path, NOBODY_ASKS)[1]
    return [(chunk.chunk_id, chunk.length) for chunk in found]


def reloads(harness: Harness) -> None:
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before


def reopened(harness: Harness, *lengths: int) -> int:
    """/f with chunks of these lengths, open for client 1."""
    inode_id = harness.write("/f", *lengths).inode_id
    harness.run(ops.Append, "/f")
    return inode_id


def test_a_partly_filled_chunk_is_continued_and_stays_until_the_new_one_is_finished() -> None:
    harness = Harness()
    inode_id = reopened(harness, MIB, 10)
    made = harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    assert (made.chunk_id, made.base_id, made.base_version, made.base_length) == (3, 2, 1, 10)
    assert made.base_crc32c == 0x1002
    assert chunks(harness, "/f") == [(1, MIB), (2, 10)]
    reloads(harness)
    harness.namespace.drain_freed()
    harness.namespace.drain_changed_chunks()
    view = harness.complete(inode_id, ops.ChunkDone(3, 1, 15, 7))
    assert (view.size, chunks(harness, "/f")) == (MIB + 15, [(1, MIB), (3, 15)])
    assert harness.namespace.drain_freed() == [2]
    assert harness.namespace.drain_changed_chunks() == [WantedChunk(3, 1, 15, 3, ("c1",))]
    reloads(harness)


@pytest.mark.parametrize("lengths", [(), (MIB,), (10, MIB)])
def test_a_full_chunk_is_not_continued(lengths: tuple[int, ...]) -> None:
    harness = Harness()
    inode_id = reopened(harness, *lengths)
    made = harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    assert made.base_id == 0
    harness.complete(inode_id, ops.ChunkDone(made.chunk_id, 1, 15, 7))
    assert len(chunks(harness, "/f")) == len(lengths) + 1


def test_what_continues_another_has_at_least_its_bytes() -> None:
    harness = Harness()
    inode_id = reopened(harness, 10)
    harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    short = harness.refusal(ops.Complete, inode_id, ops.ChunkDone(2, 1, 9, 7), 0)
    assert isinstance(short, InvalidArgument)
    assert harness.complete(inode_id, abandon=2).size == 10
    assert chunks(harness, "/f") == [(1, 10)]


def test_a_chunk_that_continues_another_is_no_tail_of_a_cut() -> None:
    harness = Harness()
    inode_id = reopened(harness, 10)
    harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    refused = harness.refusal(ops.Truncate, "/f", 5, ops.ChunkDone(2, 1, 5, 7))
    assert isinstance(refused, InvalidArgument)


def test_a_snapshot_keeps_the_chunk_that_was_continued() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    inode_id = harness.write("/d/f", 10).inode_id
    harness.run(ops.CreateSnapshot, "/d", "s")
    harness.run(ops.Append, "/d/f")
    harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    harness.complete(inode_id, ops.ChunkDone(2, 1, 15, 7))
    assert chunks(harness, "/d/f") == [(2, 15)]
    assert chunks(harness, "/d/.snapshot/s/f") == [(1, 10)]
    assert harness.namespace.drain_freed() == []
    reloads(harness)


def test_only_what_is_added_counts_in_the_quota() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    inode_id = harness.write("/d/f", MIB - 10, replication=1).inode_id
    harness.run(ops.SetQuota, "/d", -1, MIB)
    harness.run(ops.Append, "/d/f")
    refused = harness.refusal(ops.AllocateChunk, inode_id, None, 0, ("c1",))
    assert isinstance(refused, QuotaExceeded)
    harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    harness.complete(inode_id, ops.ChunkDone(2, 1, MIB, 7))


def test_a_resumed_chunk_has_the_next_version_and_other_servers() -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    chunk = harness.allocate(inode_id)
    made = harness.run(ops.ResumeChunk, inode_id, chunk.chunk_id, ("c1", "c4"))
    assert (made.chunk_id, made.version, made.targets) == (1, 2, ("c1", "c4"))
    assert harness.namespace.chunk(1).targets == ("c1", "c4")
    reloads(harness)
    stale = harness.refusal(ops.Complete, inode_id, ops.ChunkDone(1, 1, 5, 7), 0)
    assert "version 2" in stale.message
    harness.complete(inode_id, ops.ChunkDone(1, 2, 5, 7))


@pytest.mark.parametrize(
    ("fields", "client", "error"),
    [
        ((1, ("c1",)), 2, FileUnderConstruction),
        ((9, ("c1",)), 1, UnknownChunk),
        ((0, ("c1",)), 1, UnknownChunk),
        ((1, ()), 1, InvalidArgument),
        ((1, ("c1", "c1")), 1, InvalidArgument),
    ],
)
def test_what_cannot_be_resumed(
    fields: tuple[int, tuple[str, ...]], client: int, error: type[PydfsError]
) -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    harness.allocate(inode_id)
    refused = harness.refusal(ops.ResumeChunk, inode_id, *fields, client=client)
    assert type(refused) is error


def test_a_recorded_chunk_counts_and_the_file_stays_open() -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    chunk = harness.allocate(inode_id)
    harness.now_ms += 50
    done = ops.ChunkDone(chunk.chunk_id, 1, 10, 7)
    view = harness.run(ops.RecordChunk, inode_id, done)
    assert (view.size, view.under_construction, view.mtime_ms) == (10, True, harness.now_ms)
    assert harness.run(ops.RecordChunk, inode_id, done).size == 10
    reloads(harness)
    assert harness.complete(inode_id).size == 10
    assert isinstance(harness.refusal(ops.RecordChunk, inode_id, done), LeaseExpired)


def test_a_recovered_file_has_what_was_found() -> None:
    harness = Harness()
    inode_id = reopened(harness, 10)
    harness.run(ops.AllocateChunk, inode_id, None, 0, ("c1",), True)
    view = harness.run(ops.RecoverLease, "/f")
    assert (view.size, view.under_construction) == (10, True)
    harness.run(ops.RecoverLease, "/f")  # again: it is being recovered
    assert harness.namespace.chunk(2).version == 2
    for kind, fields in ((ops.Complete, (None, 2)), (ops.AllocateChunk, (None, 2, ("c1",)))):
        refused = harness.refusal(kind, inode_id, *fields)
        assert isinstance(refused, FileUnderConstruction)
    found = ops.ChunkDone(2, 2, 12, 7)
    denied = harness.refusal(ops.FinishRecovery, inode_id, found, user="bob")
    assert isinstance(denied, AccessDenied)
    reloads(harness)
    view = harness.run(ops.FinishRecovery, inode_id, found)
    assert (view.size, view.under_construction) == (12, False)
    assert harness.run(ops.FinishRecovery, inode_id, found) == view
    harness.run(ops.Append, "/f")
    assert isinstance(harness.refusal(ops.FinishRecovery, inode_id, None), LeaseExpired)
    harness.complete(inode_id)
    harness.delete("/f")
    assert isinstance(harness.refusal(ops.FinishRecovery, inode_id, None), LeaseExpired)
