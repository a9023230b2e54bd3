"""Small files: made with their content at once, and what becomes of that content."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    FileUnderConstruction,
    InvalidArgument,
    LeaseExpired,
    QuotaExceeded,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from tests.reference.crc32c import crc32c

from .harness import MIB, Harness


def make(harness: Harness, path: str, content: bytes, overwrite: bool = False, **who: object):
    fields = (path, 3, MIB, 0, overwrite, False, content)
    return harness.run(ops.CreateInline, *fields, **who)


def content_of(harness: Harness, path: str) -> bytes:
    _, located = queries.locate(harness.namespace, path, NOBODY_ASKS)
    assert [chunk.version for chunk in located] in ([], [0])
    return b"".join(harness.read_inline(chunk.chunk_id) or b"?" for chunk in located)


def test_one_operation_makes_a_closed_file_with_its_content() -> None:
    harness = Harness()
    view = make(harness, "/f", b"hello")
    assert (view.size, view.under_construction, view.inline) == (5, False, True)
    assert view.checksum == f"crc32c:{crc32c(b'hello'):08x}"
    assert content_of(harness, "/f") == b"hello"
    assert harness.namespace.drain_changed_chunks() == []  # nothing for chunkservers
    harness.restart()
    assert content_of(harness, "/f") == b"hello"


def test_an_empty_content_is_an_empty_file() -> None:
    harness = Harness()
    view = make(harness, "/f", b"")
    assert (view.size, view.inline, view.checksum) == (0, False, "crc32c:00000000")


def test_the_content_goes_with_the_file() -> None:
    harness = Harness()
    make(harness, "/f", b"hello")
    content_id = queries.locate(harness.namespace, "/f", NOBODY_ASKS)[1][0].chunk_id
    harness.drain()
    assert harness.read_inline(content_id) == b"hello"
    harness.delete("/f")
    harness.drain()
    assert harness.read_inline(content_id) is None
    assert harness.namespace.tree.inline.total_bytes == 0
    assert harness.namespace.drain_freed() == []


def test_overwrite_replaces_the_content() -> None:
    harness = Harness()
    make(harness, "/f", b"hello")
    assert isinstance(
        harness.refusal(ops.CreateInline, "/f", 3, MIB, 0, False, False, b"x"), AlreadyExists
    )
    make(harness, "/f", b"other", overwrite=True)
    assert content_of(harness, "/f") == b"other"
    assert harness.namespace.tree.inline.total_bytes == 5


def test_more_than_the_most_is_refused() -> None:
    harness = Harness()
    make(harness, "/most", bytes(limits.INLINE_BYTES_MAX))
    too_much = bytes(limits.INLINE_BYTES_MAX + 1)
    error = harness.refusal(ops.CreateInline, "/f", 3, MIB, 0, False, False, too_much)
    assert isinstance(error, InvalidArgument)
    inode_id = harness.create("/f").inode_id
    assert isinstance(harness.refusal(ops.CompleteInline, inode_id, too_much), InvalidArgument)


def test_creating_needs_the_right_to() -> None:
    harness = Harness()
    fields = ("/f", 3, MIB, 0, False, False, b"x")
    assert isinstance(harness.refusal(ops.CreateInline, *fields, user="bob"), AccessDenied)


def test_a_content_counts_in_quotas_with_every_replica() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    harness.run(ops.SetQuota, "/d", -1, 30)
    make(harness, "/d/f", b"0123456789")
    fields = ("/d/g", 3, MIB, 0, False, False, b"x")
    assert isinstance(harness.refusal(ops.CreateInline, *fields), QuotaExceeded)
    held = harness.run(ops.Append, "/d/f").view
    error = harness.refusal(ops.CompleteInline, held.inode_id, b"0123456789x")
    assert isinstance(error, QuotaExceeded)
    assert harness.run(ops.CompleteInline, held.inode_id, b"012").size == 3
    make(harness, "/d/g", b"x")


def test_a_retry_gets_the_first_answer() -> None:
    harness = Harness()
    op = ops.CreateInline(9, 1, 1, 5_000, "root", "/f", 3, MIB, 0, False, False, b"hello")
    first = harness.apply(op)
    assert harness.apply(op) == first
    assert harness.namespace.tree.inline.total_bytes == 5


def test_an_open_file_that_stayed_small_is_closed_with_its_content() -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    view = harness.run(ops.CompleteInline, inode_id, b"small")
    assert (view.path, view.size, view.under_construction) == ("/f", 5, False)
    assert content_of(harness, "/f") == b"small"
    assert isinstance(harness.refusal(ops.CompleteInline, inode_id, b"x"), LeaseExpired)


def test_only_the_writer_of_a_file_without_chunks_closes_it_so() -> None:
    harness = Harness()
    inode_id = harness.create("/f").inode_id
    error = harness.refusal(ops.CompleteInline, inode_id, b"x", client=2)
    assert isinstance(error, FileUnderConstruction)
    chunk = harness.allocate(inode_id)
    assert isinstance(harness.refusal(ops.CompleteInline, inode_id, b"x"), InvalidArgument)
    harness.complete(inode_id, ops.ChunkDone(chunk.chunk_id, 1, 10, 7))
    harness.run(ops.Append, "/f")
    assert isinstance(harness.refusal(ops.CompleteInline, inode_id, b"x"), InvalidArgument)


def test_appending_to_a_small_file_replaces_its_content_at_the_close() -> None:
    harness = Harness()
    make(harness, "/f", b"hello")
    appended = harness.run(ops.Append, "/f")
    assert harness.read_inline(appended.content_id) == b"hello"
    assert appended.view.under_construction
    assert content_of(harness, "/f") == b"hello"  # readers see the old content meanwhile
    view = harness.run(ops.CompleteInline, appended.view.inode_id, b"hello, world")
    assert view.size == 12
    assert content_of(harness, "/f") == b"hello, world"
    assert harness.namespace.tree.inline.total_bytes == 12
    harness.drain()
    assert harness.read_inline(appended.content_id) is None


@pytest.mark.parametrize("restarted", [False, True])
def test_a_small_file_that_grows_becomes_chunks_when_the_first_is_finished(restarted: bool) -> None:
    harness = Harness()
    make(harness, "/f", b"hello")
    inode_id = harness.run(ops.Append, "/f").view.inode_id
    chunk = harness.allocate(inode_id)
    assert content_of(harness, "/f") == b"hello"
    if restarted:
        harness.restart()
    view = harness.complete(inode_id, ops.ChunkDone(chunk.chunk_id, 1, 9000, 0xABC))
    assert (view.size, view.inline, view.checksum) == (9000, False, "crc32c:00000abc")
    assert harness.namespace.tree.inline.total_bytes == 0


def test_a_writer_that_gives_up_leaves_the_small_content_as_it_was() -> None:
    harness = Harness()
    make(harness, "/f", b"hello")
    inode_id = harness.run(ops.Append, "/f").view.inode_id
    chunk = harness.allocate(inode_id)
    view = harness.complete(inode_id, None, chunk.chunk_id)
    assert (view.size, view.inline) == (5, True)
    assert harness.namespace.drain_freed() == [chunk.chunk_id]
    assert content_of(harness, "/f") == b"hello"
