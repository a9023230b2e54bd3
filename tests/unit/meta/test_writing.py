"""allocate, complete, abandon: what the one writer of a file may do."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    FileUnderConstruction,
    InvalidArgument,
    LeaseExpired,
    QuotaExceeded,
    StaleChunkVersion,
    UnknownChunk,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import WantedChunk
from tests.reference import crc32c as reference

from .harness import MIB, Harness


def done(chunk_id: int, length: int = 10, version: int = 1, crc: int = 7) -> ops.ChunkDone:
    return ops.ChunkDone(chunk_id, version, length, crc)


def open_file(harness: Harness) -> tuple[int, int]:
    """Inode id and the id of its one open chunk."""
    inode_id = harness.create("/f").inode_id
    return inode_id, harness.allocate(inode_id).chunk_id


def test_a_closed_file_has_the_size_and_checksum_of_its_content() -> None:
    harness = Harness()
    parts = [b"hello, ", b"distributed ", b"world"]
    inode_id = harness.create("/f").inode_id
    previous = None
    for part in parts:
        chunk = harness.allocate(inode_id, previous)
        previous = done(chunk.chunk_id, len(part), 1, reference.crc32c(part))
    harness.now_ms = 9000
    view = harness.complete(inode_id, previous)
    content = b"".join(parts)
    assert view.size == len(content)
    assert view.checksum == f"crc32c:{reference.crc32c(content):08x}"
    assert view.mtime_ms == 9000
    assert not view.under_construction
    located = queries.locate(harness.namespace, "/f", NOBODY_ASKS)[1]
    assert [(c.offset, c.length) for c in located] == [(0, 7), (7, 12), (19, 5)]


def test_an_empty_file_closes_without_any_chunk() -> None:
    harness = Harness()
    view = harness.complete(harness.create("/f").inode_id)
    assert (view.size, view.checksum) == (0, "crc32c:00000000")


def test_a_chunk_gets_a_new_id_and_the_targets_of_the_operation() -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    first = harness.allocate(inode_id, targets=("c9", "c2"))
    assert (first.version, first.targets) == (1, ("c9", "c2"))
    assert harness.allocate(inode_id, done(first.chunk_id)).chunk_id == first.chunk_id + 1


def test_a_reader_of_an_open_file_sees_the_finished_chunks_only() -> None:
    harness = Harness()
    inode_id, chunk_id = open_file(harness)
    assert queries.locate(harness.namespace, "/f", NOBODY_ASKS)[1] == []
    harness.allocate(inode_id, done(chunk_id, 10))
    view, located = queries.locate(harness.namespace, "/f", NOBODY_ASKS)
    assert [c.chunk_id for c in located] == [chunk_id]
    assert (view.size, view.under_construction) == (10, True)


def test_a_broken_chunk_without_content_is_dropped_and_freed() -> None:
    harness = Harness()
    inode_id, chunk_id = open_file(harness)
    second = harness.allocate(inode_id, abandon=chunk_id)
    assert harness.namespace.drain_freed() == [chunk_id]
    assert harness.complete(inode_id, abandon=second.chunk_id).size == 0
    assert harness.namespace.chunk_count == 0


def test_a_sealed_chunk_is_recorded_with_its_raised_version() -> None:
    harness = Harness()
    inode_id, chunk_id = open_file(harness)
    harness.complete(inode_id, done(chunk_id, 10, version=2))
    assert queries.locate(harness.namespace, "/f", NOBODY_ASKS)[1][0].version == 2


def test_a_chunk_reported_again_unchanged_is_no_error() -> None:
    harness = Harness()
    inode_id, first = open_file(harness)
    second = harness.allocate(inode_id, done(first)).chunk_id
    assert harness.complete(inode_id, done(first), abandon=second).size == 10


def test_only_the_holder_writes() -> None:
    harness = Harness()
    inode_id, chunk_id = open_file(harness)
    for kind, fields in (
        (ops.AllocateChunk, (inode_id, done(chunk_id), 0, ("c1",))),
        (ops.Complete, (inode_id, done(chunk_id), 0)),
        (ops.Abandon, (inode_id,)),
    ):
        assert isinstance(harness.refusal(kind, *fields, client=2), FileUnderConstruction)
    harness.complete(inode_id, done(chunk_id))
    for kind, fields in (
        (ops.AllocateChunk, (inode_id, None, 0, ("c1",))),
        (ops.Complete, (inode_id, None, 0)),
        (ops.Abandon, (inode_id,)),
    ):
        assert isinstance(harness.refusal(kind, *fields), LeaseExpired)
        assert isinstance(harness.refusal(kind, 999, *fields[1:]), LeaseExpired)
        assert isinstance(harness.refusal(kind, 1, *fields[1:]), LeaseExpired)


@pytest.mark.parametrize(
    ("report", "error"),
    [
        (done(2), UnknownChunk),
        (done(1, version=0), StaleChunkVersion),
        (done(1, version=2**63), InvalidArgument),
        (done(1, length=0), InvalidArgument),
        (done(1, length=-5), InvalidArgument),
        (done(1, length=MIB + 1), InvalidArgument),
        (done(1, crc=2**32), InvalidArgument),
        (done(1, crc=-1), InvalidArgument),
        (None, InvalidArgument),
    ],
)
def test_a_wrong_word_on_the_last_chunk_is_refused(
    report: ops.ChunkDone | None, error: type[Exception]
) -> None:
    harness = Harness()
    inode_id, chunk_id = open_file(harness)
    assert chunk_id == 1
    refused = harness.refusal(ops.AllocateChunk, inode_id, report, 0, ("c1",))
    assert type(refused) is error
    assert type(harness.refusal(ops.Complete, inode_id, report, 0)) is error


def test_another_word_on_a_finished_chunk_is_refused() -> None:
    harness = Harness()
    inode_id, first = open_file(harness)
    second = harness.allocate(inode_id, done(first)).chunk_id
    error = harness.refusal(ops.Complete, inode_id, done(first, 11), second)
    assert isinstance(error, StaleChunkVersion)


def test_a_chunk_of_another_file_is_unknown() -> None:
    harness = Harness()
    _, other = open_file(harness)
    mine = harness.create("/mine").inode_id
    assert isinstance(harness.refusal(ops.Complete, mine, done(other), 0), UnknownChunk)
    assert isinstance(harness.refusal(ops.Complete, mine, None, other), UnknownChunk)


def test_a_finished_chunk_cannot_be_abandoned() -> None:
    harness = Harness()
    inode_id, first = open_file(harness)
    error = harness.refusal(ops.AllocateChunk, inode_id, done(first), first, ("c1",))
    assert isinstance(error, InvalidArgument)
    second = harness.allocate(inode_id, done(first)).chunk_id
    assert isinstance(harness.refusal(ops.Complete, inode_id, done(second), first), InvalidArgument)


@pytest.mark.parametrize("targets", [(), ("c1", "c1"), tuple(f"c{n}" for n in range(17))])
def test_targets_are_distinct_and_within_bounds(targets: tuple[str, ...]) -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    error = harness.refusal(ops.AllocateChunk, inode_id, None, 0, targets)
    assert isinstance(error, InvalidArgument)


def test_a_file_cannot_have_more_chunks_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNKS_PER_FILE_MAX", 2)
    harness = Harness()
    inode_id, first = open_file(harness)
    second = harness.allocate(inode_id, done(first)).chunk_id
    error = harness.refusal(ops.AllocateChunk, inode_id, done(second), 0, ("c1",))
    assert isinstance(error, InvalidArgument)
    harness.allocate(inode_id, abandon=second)


def test_abandon_removes_the_file_and_frees_its_chunks() -> None:
    harness = Harness()
    inode_id, first = open_file(harness)
    second = harness.allocate(inode_id, done(first)).chunk_id
    assert harness.run(ops.Abandon, inode_id).inodes == 1
    assert sorted(harness.namespace.drain_freed()) == [first, second]
    assert queries.list_directory(harness.namespace, "/", NOBODY_ASKS).entries == []


def test_finished_chunks_are_told_once_with_who_wrote_them() -> None:
    harness = Harness()
    harness.write("/f", 10, 20, replication=2)
    targets = ("c1", "c2", "c3")
    told = harness.namespace.drain_changed_chunks()
    assert told == [WantedChunk(1, 1, 10, 2, targets), WantedChunk(2, 1, 20, 2, targets)]
    assert harness.namespace.drain_changed_chunks() == []
    wanted = list(harness.namespace.iter_wanted())
    assert wanted == [WantedChunk(1, 1, 10, 2), WantedChunk(2, 1, 20, 2)]


def test_a_chunk_finished_and_freed_before_the_drain_is_only_told_as_freed() -> None:
    harness = Harness()
    harness.write("/f", 10)
    harness.delete("/f")
    assert harness.namespace.drain_changed_chunks() == []
    assert harness.namespace.drain_freed() == [1]


def test_garbage_is_what_was_dropped_not_what_is_written_or_yet_to_come() -> None:
    harness = Harness()
    harness.write("/gone", 10)
    harness.delete("/gone")
    inode_id = harness.create("/f").inode_id
    open_chunk = harness.allocate(inode_id).chunk_id
    assert harness.namespace.is_garbage(1)
    assert not harness.namespace.is_garbage(open_chunk)
    assert not harness.namespace.is_garbage(open_chunk + 1)


def test_a_chunk_is_begun_only_when_all_of_it_fits_in_the_quota_beside_the_one_before() -> None:
    harness = Harness()
    harness.mkdirs("/q")
    harness.run(ops.SetQuota, "/q", -1, 3 * MIB + 9)
    inode_id = harness.create("/q/f", replication=1).inode_id
    finished = None
    for _ in range(3):
        finished = done(harness.allocate(inode_id, finished).chunk_id, MIB)
    error = harness.refusal(ops.AllocateChunk, inode_id, finished, 0, ("c1",))
    assert isinstance(error, QuotaExceeded)
    assert harness.complete(inode_id, finished).size == 3 * MIB
