"""append, truncate, concat: what changes a file that was closed."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    AccessDenied,
    FileUnderConstruction,
    InvalidArgument,
    IsADirectory,
    NotFound,
    PydfsError,
    QuotaExceeded,
    UnknownChunk,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.results import WantedChunk

from .harness import MIB, Harness


def lengths(harness: Harness, path: str) -> list[int]:
    return [chunk.length for chunk in queries.locate(harness.namespace, path, NOBODY_ASKS)[1]]


def reloads(harness: Harness) -> None:
    """What is in the rows is what is in memory."""
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before


# ---- append


def test_append_reopens_a_closed_file_for_its_caller() -> None:
    harness = Harness()
    old = harness.write("/f", 10, 20)
    appended = harness.run(ops.Append, "/f", client=2)
    assert (appended.content_id, appended.view.size) == (0, 30)
    assert appended.view.under_construction
    inode_id = old.inode_id
    chunk = harness.allocate(inode_id, client=2)
    view = harness.complete(inode_id, ops.ChunkDone(chunk.chunk_id, 1, 5, 9), client=2)
    assert (view.inode_id, view.size) == (inode_id, 35)
    assert lengths(harness, "/f") == [10, 20, 5]
    reloads(harness)


def test_append_without_anything_changes_no_content() -> None:
    harness = Harness()
    old = harness.write("/f", 10)
    harness.run(ops.Append, "/f")
    assert harness.complete(old.inode_id).checksum == old.checksum


@pytest.mark.parametrize("client", [1, 2])
def test_a_file_that_is_written_cannot_be_appended_to(client: int) -> None:
    harness = Harness()
    harness.create("/f")
    assert isinstance(harness.refusal(ops.Append, "/f", client=client), FileUnderConstruction)


def test_append_needs_a_file_and_the_right_to_write_it() -> None:
    harness = Harness()
    harness.write("/f", 10)
    harness.mkdirs("/d")
    assert isinstance(harness.refusal(ops.Append, "/f", user="bob"), AccessDenied)
    assert isinstance(harness.refusal(ops.Append, "/d"), IsADirectory)
    assert isinstance(harness.refusal(ops.Append, "/none"), NotFound)


def test_a_retried_append_gets_the_first_answer() -> None:
    harness = Harness()
    harness.write("/f", 10)
    op = ops.Append(9, 1, 1, 5_000, "root", "/f")
    assert harness.apply(op) == harness.apply(op)


# ---- truncate


def test_truncate_at_the_edge_of_a_chunk_drops_those_behind() -> None:
    harness = Harness()
    harness.write("/f", 10, 20, 30)
    harness.namespace.drain_freed()
    harness.now_ms = 7_000
    view = harness.run(ops.Truncate, "/f", 10, None)
    assert (view.size, view.mtime_ms, view.under_construction) == (10, 7_000, False)
    assert view.checksum == "crc32c:00001001"
    assert sorted(harness.namespace.drain_freed()) == [2, 3]
    assert harness.run(ops.Truncate, "/f", 0, None).checksum == "crc32c:00000000"
    reloads(harness)


def test_truncate_to_the_size_that_it_has_changes_nothing() -> None:
    harness = Harness()
    old = harness.write("/f", 10)
    harness.now_ms = 7_000
    assert harness.run(ops.Truncate, "/f", 10, None) == old


def test_a_cut_inside_a_chunk_takes_what_is_kept_as_a_new_one() -> None:
    harness = Harness()
    inode_id = harness.write("/f", 10, 20, 30).inode_id
    harness.run(ops.Append, "/f")
    tail = harness.allocate(inode_id)
    harness.namespace.drain_freed()
    view = harness.run(ops.Truncate, "/f", 15, ops.ChunkDone(tail.chunk_id, 1, 5, 0x77))
    assert (view.size, view.under_construction) == (15, False)
    assert lengths(harness, "/f") == [10, 5]
    assert sorted(harness.namespace.drain_freed()) == [2, 3]
    assert harness.namespace.tree.table.chunks(harness.namespace.tree.table.get(inode_id))[1] == (
        tail.chunk_id, 1, 5, 0x77,
    )  # fmt: skip
    reloads(harness)


@pytest.mark.parametrize(
    ("size", "tail", "error"),
    [
        (-1, None, InvalidArgument),
        (61, None, InvalidArgument),  # larger than it is
        (61, (4, 1), InvalidArgument),
        (15, None, InvalidArgument),  # inside a chunk, and no tail
        (15, (4, 6), InvalidArgument),  # a tail of another length
        (15, (1, 5), InvalidArgument),  # a chunk that is finished
        (15, (9, 5), InvalidArgument),  # a chunk that is not there
        (10, (4, 5), InvalidArgument),  # a tail where none is needed
        (10, None, InvalidArgument),  # the open chunk would stay
    ],
)
def test_a_cut_that_does_not_fit_is_refused(
    size: int, tail: tuple[int, int] | None, error: type[PydfsError]
) -> None:
    harness = Harness()
    inode_id = harness.write("/f", 10, 20, 30).inode_id
    harness.run(ops.Append, "/f")
    assert harness.allocate(inode_id).chunk_id == 4
    done = None if tail is None else ops.ChunkDone(tail[0], 1, tail[1], 7)
    assert type(harness.refusal(ops.Truncate, "/f", size, done)) is error


def test_a_cut_inside_a_chunk_needs_the_file_held() -> None:
    harness = Harness()
    harness.write("/f", 10, 20)
    done = ops.ChunkDone(2, 1, 5, 7)
    assert isinstance(harness.refusal(ops.Truncate, "/f", 15, done), InvalidArgument)
    harness.run(ops.Append, "/f", client=2)
    assert isinstance(harness.refusal(ops.Truncate, "/f", 10, None), FileUnderConstruction)


def test_truncate_needs_the_right_to_write() -> None:
    harness = Harness()
    harness.write("/f", 10)
    assert isinstance(harness.refusal(ops.Truncate, "/f", 0, None, user="bob"), AccessDenied)


def test_a_small_file_is_cut_by_writing_it_anew() -> None:
    harness = Harness()
    harness.run(ops.CreateInline, "/f", 3, MIB, 0, False, False, b"hello")
    error = harness.refusal(ops.Truncate, "/f", 2, None)
    assert isinstance(error, InvalidArgument)
    assert "complete it with its first 2 bytes" in error.message
    inode_id = harness.run(ops.Append, "/f").view.inode_id
    assert harness.run(ops.Truncate, "/f", 5, None).size == 5
    harness.run(ops.Append, "/f")
    assert harness.run(ops.CompleteInline, inode_id, b"he").size == 2
    harness.run(ops.Append, "/f")
    view = harness.run(ops.Truncate, "/f", 0, None)
    assert (view.size, view.inline, harness.namespace.tree.inline.total_bytes) == (0, False, 0)
    reloads(harness)


def test_truncate_of_a_file_with_full_pages_of_chunks() -> None:
    harness = Harness()
    harness.write("/f", *[10] * 200)
    harness.drain()
    assert harness.run(ops.Truncate, "/f", 650, None).size == 650
    reloads(harness)
    assert lengths(harness, "/f") == [10] * 65
    assert harness.run(ops.Truncate, "/f", 630, None).size == 630
    reloads(harness)


# ---- concat


def concat_files(harness: Harness) -> list[int]:
    """Three files in /d; their chunks' ids."""
    harness.mkdirs("/d")
    harness.write("/d/a", 10, 20)
    harness.write("/d/b", 30)
    harness.write("/d/c", 40, 50, replication=2)
    harness.namespace.drain_changed_chunks()
    return [1, 2, 3, 4, 5]


def test_concat_moves_the_chunks_and_the_sources_disappear() -> None:
    harness = Harness()
    chunks = concat_files(harness)
    crcs = [0x1000 + chunk_id for chunk_id in chunks]
    whole = Harness().write("/w", 10, 20, 30, 40, 50)
    harness.now_ms = 8_000
    view = harness.run(ops.Concat, "/d/a", ("/d/b", "/d/c"))
    assert (view.size, view.mtime_ms, view.checksum) == (150, 8_000, whole.checksum)
    file = harness.namespace.tree.table.get(view.inode_id)
    assert [(c[0], c[3]) for c in harness.namespace.tree.table.chunks(file)] == list(
        zip(chunks, crcs, strict=True)
    )
    assert harness.names("/d") == ["a"]
    assert harness.namespace.drain_freed() == []
    assert harness.namespace.drain_changed_chunks() == [
        WantedChunk(4, 1, 40, 3), WantedChunk(5, 1, 50, 3),
    ]  # fmt: skip
    summary = queries.summary(harness.namespace, "/d", NOBODY_ASKS)
    assert (summary.files, summary.bytes, summary.bytes_replicated) == (1, 150, 450)
    reloads(harness)


def test_concat_takes_empty_files_on_both_sides() -> None:
    harness = Harness()
    harness.write("/empty")
    harness.write("/nothing")
    harness.write("/f", 10)
    assert harness.run(ops.Concat, "/empty", ("/nothing", "/f")).size == 10
    assert harness.names("/") == ["empty"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (("/d/a", ()), InvalidArgument),
        (("/d/a", ("/d/a",)), InvalidArgument),
        (("/d/a", ("/d/b", "/d/b")), InvalidArgument),
        (("/d/a", ("/elsewhere",)), InvalidArgument),
        (("/d/a", ("/d/small",)), InvalidArgument),
        (("/d/small", ("/d/b",)), InvalidArgument),
        (("/d/a", ("/d/large",)), InvalidArgument),
        (("/d/a", ("/d/b", "/d/open")), FileUnderConstruction),
        (("/d/open", ("/d/b",)), FileUnderConstruction),
        (("/d/a", ("/d/b", "/d/none")), NotFound),
        (("/d", ("/d/b",)), IsADirectory),
        (("/d/a", ("/d/sub",)), IsADirectory),
    ],
)
def test_files_that_cannot_be_joined_are_refused(fields: Any, error: type[PydfsError]) -> None:
    harness = Harness()
    concat_files(harness)
    harness.mkdirs("/d/sub")
    harness.write("/elsewhere", 10)
    harness.write("/d/large", 10, chunk_bytes=2 * MIB)
    harness.run(ops.CreateInline, "/d/small", 3, MIB, 0, False, False, b"hello")
    harness.create("/d/open")
    assert type(harness.refusal(ops.Concat, *fields)) is error


def test_concat_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = Harness()
    concat_files(harness)
    monkeypatch.setattr(limits, "CHUNKS_PER_FILE_MAX", 4)
    error = harness.refusal(ops.Concat, "/d/a", ("/d/b", "/d/c"))
    assert isinstance(error, InvalidArgument)
    monkeypatch.setattr(limits, "CONCAT_SOURCES_MAX", 1)
    error = harness.refusal(ops.Concat, "/d/a", ("/d/b", "/d/c"))
    assert isinstance(error, InvalidArgument)
    harness.run(ops.Concat, "/d/a", ("/d/b",))


def test_more_replicas_of_the_joined_count_in_the_quota() -> None:
    harness = Harness()
    concat_files(harness)
    used = queries.summary(harness.namespace, "/d", NOBODY_ASKS).bytes_replicated
    harness.run(ops.SetQuota, "/d", -1, used + 89)
    assert isinstance(harness.refusal(ops.Concat, "/d/a", ("/d/c",)), QuotaExceeded)
    harness.run(ops.SetQuota, "/d", -1, used + 90)
    harness.run(ops.Concat, "/d/a", ("/d/c",))


def test_concat_needs_the_rights_to_write_read_and_remove() -> None:
    harness = Harness()
    concat_files(harness)
    refused = harness.refusal(ops.Concat, "/d/a", ("/d/b",), user="bob")
    assert isinstance(refused, AccessDenied)
    harness.run(ops.SetMode, "/d/a", 0o666)
    assert isinstance(
        harness.refusal(ops.Concat, "/d/a", ("/d/b",), user="bob"), AccessDenied
    )  # of the directory
    harness.run(ops.SetMode, "/d", 0o1777)
    assert isinstance(
        harness.refusal(ops.Concat, "/d/a", ("/d/b",), user="bob"), AccessDenied
    )  # sticky
    harness.run(ops.SetMode, "/d", 0o777)
    harness.run(ops.SetMode, "/d/b", 0o600)
    assert isinstance(harness.refusal(ops.Concat, "/d/a", ("/d/b",), user="bob"), AccessDenied)
    harness.run(ops.SetMode, "/d/b", 0o604)
    harness.run(ops.SetMode, "/d/a", 0o644)
    assert isinstance(harness.refusal(ops.Concat, "/d/a", ("/d/b",), user="bob"), AccessDenied)
    harness.run(ops.SetMode, "/d/a", 0o646)
    assert harness.run(ops.Concat, "/d/a", ("/d/b",), user="bob").size == 60


def test_a_chunk_of_a_joined_file_is_the_targets() -> None:
    harness = Harness()
    concat_files(harness)
    inode_id = harness.run(ops.Concat, "/d/a", ("/d/b",)).inode_id
    other = harness.run(ops.Append, "/d/c").view.inode_id
    assert isinstance(
        harness.refusal(ops.Complete, other, ops.ChunkDone(3, 1, 30, 0x1003), 0), UnknownChunk
    )
    assert harness.namespace.chunk(3).inode_id == inode_id


# ---- and snapshots


@pytest.mark.parametrize("kind", ["truncate", "concat", "append"])
def test_a_snapshot_keeps_what_it_saw_until_it_is_deleted(kind: str) -> None:
    harness = Harness()
    concat_files(harness)
    harness.run(ops.CreateInline, "/d/small", 3, MIB, 0, False, False, b"hello")
    harness.run(ops.CreateSnapshot, "/d", "s")
    if kind == "truncate":
        harness.run(ops.Truncate, "/d/a", 10, None)
    elif kind == "concat":
        harness.run(ops.Concat, "/d/a", ("/d/b", "/d/c"))
        harness.run(ops.Truncate, "/d/a", 100, None)  # drops what was the last chunk of c
    else:
        inode_id = harness.run(ops.Append, "/d/small").view.inode_id
        harness.run(ops.CompleteInline, inode_id, b"hello, world")
    reloads(harness)
    assert harness.namespace.drain_freed() == []
    assert lengths(harness, "/d/.snapshot/s/a") == [10, 20]
    assert lengths(harness, "/d/.snapshot/s/c") == [40, 50]
    assert lengths(harness, "/d/.snapshot/s/small") == [5]
    harness.run(ops.DeleteSnapshot, "/d", "s")
    harness.run(ops.Reclaim, 100, user="root")
    dropped = {"truncate": [2], "concat": [5], "append": []}
    assert harness.namespace.drain_freed() == dropped[kind]
    assert harness.namespace.tree.inline.total_bytes == (12 if kind == "append" else 5)
    reloads(harness)


def test_giving_up_an_append_leaves_the_file_as_it_is() -> None:
    harness = Harness()
    harness.write("/f", 100)
    before = harness.stat("/f")
    opened = harness.run(ops.Append, "/f").view
    chunk = harness.allocate(opened.inode_id)
    assert harness.run(ops.Abandon, opened.inode_id).inodes == 0
    after = harness.stat("/f")
    assert (after.size, after.checksum, after.inode_id) == (100, before.checksum, before.inode_id)
    assert harness.namespace.drain_freed() == [chunk.chunk_id]
