"""Rows out and in again, hashes, and the order of the log."""

from __future__ import annotations

import random

import pytest

from pydfsnode._fast import CHUNKS_PER_PAGE, INODES_PER_BLOCK
from pydfsnode.errors import CorruptionError, InvariantViolation
from pydfsnode.meta import ops, queries, rows
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.history_rows import TABLE_SNAPSHOT
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import TABLE_EXTRAS, TABLE_OPEN

from .harness import Harness


def populated() -> Harness:
    harness = Harness()
    harness.write("/a/b/f", 10, 20, create_parents=True)
    harness.mkdirs("/c/ü")
    harness.rename("/a/b", "/c/ü/b")  # a child older than its parent
    harness.allocate(harness.create("/open").inode_id)
    harness.mkdirs("/late/r")  # of another block than the root
    harness.rename("/c", "/late/c")
    harness.write("/pages", *range(1, CHUNKS_PER_PAGE + 2))
    harness.drain()
    return harness


CHUNKS = 2 + 1 + CHUNKS_PER_PAGE + 1
"""Of `populated`, the open one included."""
FILE = "/late/c/ü/b/f"
PAGES_INODE_ID = 10


def test_a_fresh_namespace_is_loaded_from_no_rows() -> None:
    namespace = Namespace()
    namespace.finish_load()
    assert namespace.applied_index == 0
    assert queries.stat(namespace, "/", NOBODY_ASKS).type == "directory"


def test_indexes_must_follow_each_other() -> None:
    namespace = Namespace()
    namespace.advance(1)
    for index in (1, 3):
        with pytest.raises(InvariantViolation):
            namespace.advance(index)
    with pytest.raises(InvariantViolation):
        namespace.apply(ops.Mkdirs(1, 1, 1, 0, "u", "/a"), 5)
    assert namespace.applied_index == 1


def test_a_drain_gives_what_was_touched_since_the_last_one() -> None:
    harness = Harness()
    harness.mkdirs("/a/b")
    first = {row[:2] for row in harness.namespace.drain_rows()}
    assert [key for table, key in first if table == rows.TABLE_BLOCK] == [rows.KEY.pack(0)]
    assert harness.namespace.drain_rows() == []
    for number in range(4, 2 * INODES_PER_BLOCK):
        harness.mkdirs(f"/{number}")
    harness.drain()
    harness.mkdirs("/a/b/c")  # inodes 3 and 16: blocks 0 and 2
    second = harness.namespace.drain_rows()
    assert {row[1] for row in second if row[0] == rows.TABLE_BLOCK} == {
        rows.KEY.pack(number) for number in (0, 2)
    }
    assert [row[0] for row in second].count(rows.TABLE_HEAD) == 1


def test_an_entry_without_operation_moves_the_stored_index() -> None:
    harness = populated()
    harness.namespace.advance(harness.namespace.applied_index + 1)
    ((table, _, value),) = harness.namespace.drain_rows()
    assert table == rows.TABLE_HEAD
    assert value is not None
    assert rows.decode_head(rows.HEAD_KEY, value).applied_index == harness.namespace.applied_index


def test_what_was_made_and_deleted_between_drains_leaves_no_row() -> None:
    harness = Harness()
    harness.drain()
    before = set(harness.rows)
    for _ in range(INODES_PER_BLOCK):
        harness.write("/f", *range(1, CHUNKS_PER_PAGE + 1))
        harness.delete("/f")
    harness.drain()
    assert {row for row in harness.rows if row[0] != rows.TABLE_SESSION} == before


def test_a_page_that_was_stored_goes_with_its_file() -> None:
    harness = populated()
    assert rows.TABLE_PAGE in {table for table, _ in harness.rows}
    harness.delete("/pages")
    harness.drain()
    assert rows.TABLE_PAGE not in {table for table, _ in harness.rows}


def test_the_state_comes_back_from_its_rows_in_any_order() -> None:
    harness = populated()
    state = harness.namespace.state_hash()
    stored = list(harness.rows.items())
    for seed in range(5):
        random.Random(seed).shuffle(stored)
        again = Namespace()
        for (table, key), value in stored:
            again.load_row(table, key, value)
        again.finish_load()
        assert again.state_hash() == state
        assert again.drain_rows() == []
        assert (again.file_count, again.directory_count) == (3, 7)
        assert again.chunk_count == CHUNKS
        expected = queries.locate(harness.namespace, FILE, NOBODY_ASKS)
        assert queries.locate(again, FILE, NOBODY_ASKS) == expected


def test_a_restarted_master_gives_out_the_same_ids() -> None:
    harness = populated()
    twin = populated()
    harness.restart()
    for side in (harness, twin):
        view = side.write("/next", 5)
        assert queries.locate(side.namespace, "/next", NOBODY_ASKS)[1][0].chunk_id == CHUNKS + 1
    assert queries.stat(twin.namespace, "/next", NOBODY_ASKS) == view
    assert harness.namespace.state_hash() == twin.namespace.state_hash()


def test_equal_trees_made_in_another_order_differ_only_by_their_history() -> None:
    one, other = Harness(), Harness()
    one.mkdirs("/a")
    other.mkdirs("/b")
    assert one.namespace.state_hash() != other.namespace.state_hash()


@pytest.mark.parametrize("table", rows.TABLES)
def test_a_damaged_row_is_refused(table: int) -> None:
    harness = populated()
    for (row_table, key), value in harness.rows.items():
        if row_table == table:
            with pytest.raises(CorruptionError):
                Namespace().load_row(table, key, value[:-1])
            with pytest.raises(CorruptionError):
                Namespace().load_row(table, key, b"")


@pytest.mark.parametrize("table", [rows.TABLE_HEAD, rows.TABLE_BLOCK])
def test_a_row_under_another_key_is_refused(table: int) -> None:
    harness = populated()
    key, value = next((k, v) for (t, k), v in harness.rows.items() if t == table)
    with pytest.raises(CorruptionError):
        Namespace().load_row(table, key[:-1] + b"\x63", value)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (rows.TABLE_HEAD, rows.HEAD_KEY),
        (rows.TABLE_BLOCK, rows.KEY.pack(0)),
        (rows.TABLE_BLOCK, rows.KEY.pack(1)),
        (rows.TABLE_PAGE, rows.PAGE_ID.pack(PAGES_INODE_ID, 0)),
    ],
)
def test_a_table_with_a_hole_is_refused(table: int, key: bytes) -> None:
    harness = populated()
    del harness.rows[table, key]
    with pytest.raises(CorruptionError):
        harness.restart()


def with_rare_rows() -> Harness:
    """An open file, one with an ACL, a directory with a quota, one with a snapshot."""
    harness = populated()
    harness.run(ops.SetAcl, "/pages", ("user:bob:r--",), "modify", user="root")
    harness.run(ops.SetQuota, "/late", 100, 0, user="root")
    harness.run(ops.CreateSnapshot, "/a", "s", user="root")
    harness.drain()
    return harness


@pytest.mark.parametrize("table", [TABLE_OPEN, TABLE_EXTRAS, TABLE_SNAPSHOT])
def test_a_row_that_an_inode_tells_of_must_be_there(table: int) -> None:
    harness = with_rare_rows()
    keys = [key for row_table, key in harness.rows if row_table == table]
    assert len(keys) == (2 if table == TABLE_EXTRAS else 1)
    for key in keys:
        value = harness.rows.pop((table, key))
        with pytest.raises(CorruptionError, match=f"lacks its row of table {table}"):
            harness.restart()
        harness.rows[table, key] = value
    harness.restart()


def test_an_acl_that_an_inode_tells_of_must_be_there() -> None:
    harness = with_rare_rows()
    key = rows.KEY.pack(PAGES_INODE_ID)
    harness.rows[TABLE_EXTRAS, key] = rows.encode(Extras(xattrs={"user.a": b"1"}))
    with pytest.raises(CorruptionError, match=f"inode {PAGES_INODE_ID} lacks its row"):
        harness.restart()


def test_a_row_that_no_inode_tells_of_is_refused() -> None:
    harness = with_rare_rows()
    harness.rows[TABLE_EXTRAS, rows.KEY.pack(1)] = rows.encode(Extras(names_max=9))
    with pytest.raises(CorruptionError, match="belongs to no inode"):
        harness.restart()


def test_an_open_file_that_is_no_file_is_refused() -> None:
    harness = populated()
    (value,) = (value for (table, _), value in harness.rows.items() if table == TABLE_OPEN)
    harness.rows[TABLE_OPEN, rows.KEY.pack(1)] = value
    with pytest.raises(CorruptionError):
        harness.restart()


def test_a_table_of_another_format_is_refused_by_name() -> None:
    head = rows.encode(rows.Head(99, 0, 2, 1, 0, 0, 0, 0, 0))
    with pytest.raises(CorruptionError, match="format 99"):
        Namespace().load_row(rows.TABLE_HEAD, rows.HEAD_KEY, head)


def test_a_row_of_an_unknown_table_is_refused() -> None:
    with pytest.raises(CorruptionError):
        Namespace().load_row(42, bytes(8), b"\x90")


def test_no_row_key_holds_a_name() -> None:
    harness = populated()
    assert all(len(key) in (8, 16) for _, key in harness.rows)
