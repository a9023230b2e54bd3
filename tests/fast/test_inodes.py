"""What an inode table promises, method by method; test_inodes_model.py compares streams."""

from __future__ import annotations

import sys

import pytest

from pydfsnode import _fast as fast
from tests.reference import inode_handles, inode_rows
from tests.reference import inodes as reference

BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0b", "\ud800", "a" * 256, "é" * 128]
GOOD_NAMES = ["a", "...", ".a", "a.", " ", "\x01", "é", "e\u0301", "日本", "a" * 255, "é" * 127]
Table = fast.InodeTable


def new_table() -> Table:
    table = Table(seed=5)
    table.add_root(1, 0o755, "root", "wheel")
    return table


def root_of(table: Table) -> fast.Inode:
    root = table.get(1)
    assert root is not None
    return root


def directory(table: Table, parent: fast.Inode, name: str, inode_id: int) -> fast.Inode:
    return table.add_directory(parent, name, inode_id, 0o755, "alice", "eng", 7, 3)


def file(table: Table, parent: fast.Inode, name: str, inode_id: int) -> fast.Inode:
    return table.add_file(parent, name, inode_id, 0o640, "bob", "ops", -7, 4, 3, 1 << 20)


def names(inodes: list[fast.Inode]) -> list[str]:
    return [inode.name for inode in inodes]


def test_a_new_table_is_empty_and_takes_one_root() -> None:
    table = Table()
    assert (len(table), table.file_count, table.directory_count, table.chunk_count) == (0, 0, 0, 0)
    assert table.get(1) is None
    with pytest.raises(RuntimeError, match="no root"):
        table.find("/")
    root = table.add_root(9, 0o700, "root", "wheel")
    assert (root.inode_id, root.parent_id, root.name, root.mode) == (9, 9, "", 0o700)
    assert (root.owner, root.group, root.mtime_ms, root.child_count) == ("root", "wheel", 0, 0)
    assert table.parent(root) == root
    assert table.path(root) == "/"
    with pytest.raises(ValueError, match="has a root"):
        table.add_root(10, 0o700, "root", "wheel")


def test_what_an_inode_is_made_with_is_read_back() -> None:
    table = new_table()
    made = file(table, root_of(table), "f", 2)
    assert (made.inode_id, made.parent_id, made.name) == (2, 1, "f")
    assert (made.is_file, made.is_directory) == (True, False)
    assert (made.mode, made.owner, made.group) == (0o640, "bob", "ops")
    assert (made.mtime_ms, made.atime_ms, made.ctime_ms) == (-7, -7, -7)
    assert (made.flags, made.born, made.changed) == (0, 4, 0)
    assert (made.size, made.crc32c, made.replication, made.chunk_bytes) == (0, 0, 3, 1 << 20)
    below = directory(table, root_of(table), "d", 3)
    assert (below.is_file, below.is_directory) == (False, True)
    assert (below.size, below.replication, below.chunk_bytes, below.chunk_count) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_a_name_is_kept_as_given(name: str) -> None:
    table = new_table()
    made = file(table, root_of(table), name, 2)
    assert made.name == name
    assert table.child(root_of(table), name) == made
    assert table.find("/" + name) == (made, 0)
    assert table.path(made) == "/" + name
    with pytest.raises(KeyError):
        file(table, root_of(table), name, 3)
    assert len(table) == 2


@pytest.mark.parametrize("name", BAD_NAMES)
def test_other_names_are_refused_and_nothing_changes(name: str) -> None:
    table = new_table()
    before = table.memory_bytes
    for make in (file, directory):
        with pytest.raises(ValueError):
            make(table, root_of(table), name, 2)
    assert (len(table), table.get(2), root_of(table).child_count) == (1, None, 0)
    assert table.child(root_of(table), name) is None
    made = file(table, root_of(table), "f", 2)
    table.unlink(made)
    with pytest.raises(ValueError):
        table.link(root_of(table), made, name)
    table.discard(made)
    assert table.memory_bytes < before + 4096


def test_numbers_that_cannot_be_are_refused() -> None:
    table = new_table()
    root = root_of(table)
    made = file(table, root, "f", 2)
    for inode_id in (0, 1, 2):
        with pytest.raises(ValueError, match=f"inode {inode_id} "):
            directory(table, root, "d", inode_id)
    with pytest.raises(OverflowError):
        directory(table, root, "d", 1 << 64)
    with pytest.raises(ValueError, match="mode"):
        table.add_directory(root, "d", 3, 0o10000, "a", "b", 0, 0)
    with pytest.raises(ValueError, match="replication"):
        table.add_file(root, "d", 3, 0, "a", "b", 0, 0, 0, 0)
    with pytest.raises(ValueError, match="replication"):
        table.set_replication(made, 0)
    with pytest.raises(ValueError, match="mode"):
        made.mode = 0o10000
    for name, value in {"flags": 256, "born": 1 << 32, "changed": -1, "mtime_ms": 1 << 63}.items():
        with pytest.raises(OverflowError):
            setattr(made, name, value)
    assert (len(table), root.child_count) == (2, 1)


def test_attributes_are_settable_within_their_ranges() -> None:
    table = new_table()
    made = file(table, root_of(table), "f", 2)
    made.mode, made.flags, made.born, made.changed = 0o7777, 255, 2**32 - 1, 2**32 - 2
    made.mtime_ms, made.atime_ms, made.ctime_ms = -(1 << 63), (1 << 63) - 1, -1
    made.owner, made.group, made.crc32c = "é", "", 2**32 - 1
    again = table.get(2)
    assert again is not None
    assert (again.mode, again.flags, again.born, again.changed) == (
        0o7777,
        255,
        2**32 - 1,
        2**32 - 2,
    )
    assert (again.mtime_ms, again.atime_ms, again.ctime_ms) == (-(1 << 63), (1 << 63) - 1, -1)
    assert (again.owner, again.group, again.crc32c) == ("é", "", 2**32 - 1)
    with pytest.raises(ValueError, match="is a directory"):
        root_of(table).crc32c = 1
    with pytest.raises(AttributeError):
        made.size = 5  # type: ignore[misc]


def test_handles_are_equal_by_inode_and_know_when_it_is_gone() -> None:
    table, other = new_table(), new_table()
    made, twin = file(table, root_of(table), "f", 2), table.get(2)
    assert made == twin
    assert len({made, twin}) == 1
    assert made != root_of(table)
    assert made != file(other, root_of(other), "f", 2)
    table.unlink(made)
    table.discard(made)
    reused = file(table, root_of(table), "g", 3)  # in the same memory
    for use in (lambda: made.name, lambda: table.path(made), lambda: table.chunks(made)):
        with pytest.raises(RuntimeError, match="inode 2 was discarded"):
            use()
    assert reused.name == "g"
    with pytest.raises(RuntimeError):
        fast.Inode().name  # noqa: B018


def test_a_handle_outlives_the_name_of_its_table() -> None:
    table = new_table()
    made = file(table, root_of(table), "n" * 99, 2)
    del table
    assert (made.name, made.owner) == ("n" * 99, "bob")


def test_an_inode_of_another_table_is_refused() -> None:
    table, other = new_table(), new_table()
    with pytest.raises(ValueError, match="another table"):
        table.path(root_of(other))
    with pytest.raises(ValueError, match="another table"):
        file(table, root_of(other), "f", 2)
    with pytest.raises(ValueError, match="another table"):
        table.is_within(root_of(table), root_of(other))
    with pytest.raises(TypeError):
        table.path(None)  # type: ignore[arg-type]


# ---- looking


def test_find_tells_the_deepest_inode_and_what_is_missing() -> None:
    table = new_table()
    a = directory(table, root_of(table), "a", 2)
    b = directory(table, a, "b", 3)
    f = file(table, b, "f", 4)
    assert table.find("/") == (root_of(table), 0)
    assert table.find("/a/b/f") == (f, 0)
    assert table.find("/a/x/y") == (a, 2)
    assert table.find("/a/b/f/x/y") == (f, 2)
    assert table.find("/x") == (root_of(table), 1)


BAD_PATHS = ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/a\0", "/\ud800"]
LONG_PATHS = ["/" + "a" * 256, "/" + "é" * 128, "/abc" * 1024 + "/"]


@pytest.mark.parametrize("path", [*BAD_PATHS, *LONG_PATHS])
def test_find_knows_no_path_that_is_not_in_the_regular_form(path: str) -> None:
    table = new_table()
    asked: list[fast.Inode] = []
    root_of(table).mode = 0
    assert table.find(path, asked.append) is None
    assert asked == []


def test_find_takes_paths_up_to_4096_bytes() -> None:
    table = new_table()
    path = ("/" + "é" * 127) * 16 + "/" + "x" * 15
    assert len(path.encode()) == 4096
    assert table.find(path) == (root_of(table), 17)
    assert table.find(path + "x") is None


def test_find_asks_of_each_directory_that_is_not_open_to_all() -> None:
    table = new_table()
    a = directory(table, root_of(table), "a", 2)
    b = directory(table, a, "b", 3)
    f = file(table, b, "f", 4)
    f.mode = 0

    def asked(path: str) -> list[int]:
        found: list[int] = []
        table.find(path, lambda inode: found.append(inode.inode_id))
        return found

    assert asked("/a/b/f/x") == []
    root_of(table).mode, a.mode, b.mode = 0o711, 0o110, 0o700
    assert asked("/a/b/f/x") == [2, 3]
    assert asked("/a/b") == [2]
    assert asked("/a/x/y") == [2]
    root_of(table).flags = 1
    assert asked("/a/b/x") == [1, 2, 3]
    assert asked("/") == []


def test_find_passes_on_what_is_raised_and_notices_that_its_directory_is_gone() -> None:
    table = new_table()
    a = directory(table, root_of(table), "a", 2)
    a.mode = 0

    def refuse(inode: fast.Inode) -> None:
        raise PermissionError(inode.name)

    with pytest.raises(PermissionError, match="a"):
        table.find("/a/b", refuse)

    def remove(inode: fast.Inode) -> None:
        table.unlink(inode)
        table.discard(inode)

    with pytest.raises(RuntimeError, match="inode 2 was discarded"):
        table.find("/a/b", remove)


def test_a_very_deep_tree_is_walked_without_recursion() -> None:
    table = new_table()
    at = root_of(table)
    depth = 5 * sys.getrecursionlimit()
    for inode_id in range(2, 2 + depth):
        at = directory(table, at, f"{inode_id}", inode_id)
    bottom = file(table, at, "f", 1_000_000)
    table.append_chunk(bottom, 1, 1, 10, 0)
    root = root_of(table)
    assert (root.directories_below, root.files_below, root.space_below) == (depth, 1, 30)
    assert table.path(bottom).count("/") == depth + 1
    assert table.is_within(bottom, root)
    loaded = Table()
    for block in sorted({inode_id // 8 for inode_id in table.inode_ids()}):
        row = table.encode_block(block)
        assert row is not None
        loaded.load_block(block, row)
    assert loaded.finish_load(1, 1_000_001, 2) == []
    found = loaded.get(1)
    assert found is not None
    assert (found.directories_below, found.space_below) == (depth, 30)


def test_pages_go_on_behind_a_name() -> None:
    table = new_table()
    root = root_of(table)
    for inode_id, name in enumerate(["b", "a", "ab", "é", "B", "a" * 30], 2):
        file(table, root, name, inode_id)
    ordered = ["B", "a", "a" * 30, "ab", "b", "é"]
    assert names(table.page(root, "", 100)) == ordered
    assert names(table.page(root, "a", 2)) == ["a" * 30, "ab"]
    assert names(table.page(root, "aa", 2)) == ["a" * 30, "ab"]
    assert names(table.page(root, "é", 2)) == []
    assert table.page(root, "", 0) == table.page(root, "", -5) == []
    first = table.first_child(root)
    assert first is not None
    assert first.name == "B"
    assert table.page(first, "", 5) == []
    assert table.first_child(first) is None
    assert table.child(first, "a") is None
    with pytest.raises(ValueError):
        table.page(root, "\ud800", 1)


# ---- the tree


def test_unlink_and_link_carry_totals_and_keep_what_is_below() -> None:
    table = new_table()
    root = root_of(table)
    a, c = directory(table, root, "a", 2), directory(table, root, "c", 3)
    b = directory(table, a, "b", 4)
    f = file(table, b, "f", 5)
    table.append_chunk(f, 1, 1, 100, 0)
    table.unlink(a)
    assert (a.parent_id, a.name, a.child_count, a.space_below) == (0, "a", 1, 300)
    assert (root.files_below, root.directories_below, root.bytes_below) == (0, 1, 0)
    assert table.parent(a) is None
    assert not table.is_attached(f)
    assert (table.path(f), table.path(a)) == ("/b/f", "/")
    table.append_chunk(f, 2, 1, 50, 0)
    table.link(c, a, "z")
    assert table.path(f) == "/c/z/b/f"
    assert table.is_attached(f)
    assert (c.files_below, c.directories_below, c.bytes_below, c.space_below) == (1, 2, 150, 450)
    assert (root.files_below, root.directories_below, root.space_below) == (1, 3, 450)
    table.set_replication(f, 1)
    assert (f.space_below, root.space_below) == (150, 150)


def test_what_cannot_be_linked_unlinked_or_discarded() -> None:
    table = new_table()
    root = root_of(table)
    a = directory(table, root, "a", 2)
    b = directory(table, a, "b", 3)
    f = file(table, root, "f", 4)
    with pytest.raises(ValueError, match="is the root or detached"):
        table.unlink(root)
    with pytest.raises(ValueError, match="is not detached"):
        table.link(a, f, "g")
    for linked in (root, a, f):
        with pytest.raises(ValueError, match="is linked or has children"):
            table.discard(linked)
    table.unlink(a)
    with pytest.raises(ValueError, match="is the root or detached"):
        table.unlink(a)
    with pytest.raises(ValueError, match="has children"):
        table.discard(a)
    for below in (a, b):
        with pytest.raises(ValueError, match="below itself"):
            table.link(below, a, "x")
    with pytest.raises(ValueError, match="is a file"):
        table.link(f, a, "x")
    with pytest.raises(KeyError, match="f"):
        table.link(root, a, "f")
    assert (a.name, a.parent_id) == ("a", 0)
    with pytest.raises(ValueError, match="is a file"):
        file(table, f, "x", 5)


# ---- content


def test_chunks_are_a_stack_with_an_index() -> None:
    table = new_table()
    f, g = file(table, root_of(table), "f", 2), file(table, root_of(table), "g", 3)
    chunks = [(2**64 - at, 2**64 - 1, 2**32 - 1, 2**32 - at) for at in range(1, 200)]
    for chunk in chunks:
        table.append_chunk(f, *chunk)
    assert table.chunks(f) == chunks
    assert [table.chunk(f, at) for at in (0, 198)] == [chunks[0], chunks[198]]
    assert (f.chunk_count, table.chunk_count, f.size) == (199, 199, 199 * (2**32 - 1))
    for position in (-1, 199):
        with pytest.raises(IndexError):
            table.chunk(f, position)
    with pytest.raises(KeyError):
        table.append_chunk(g, *chunks[7])
    assert (table.holder_of(chunks[7][0]), table.holder_of(5)) == (2, 0)
    assert [table.pop_chunk(f) for _ in chunks] == chunks[::-1]
    with pytest.raises(IndexError):
        table.pop_chunk(f)
    assert (f.size, table.chunk_count, table.holder_of(chunks[7][0])) == (0, 0, 0)
    with pytest.raises(ValueError, match="the id 0"):
        table.append_chunk(f, 0, 0, 0, 0)
    with pytest.raises(OverflowError):
        table.append_chunk(f, 1, 0, 1 << 32, 0)


def test_discarding_a_file_takes_its_chunks_out_of_the_index() -> None:
    table = new_table()
    f = file(table, root_of(table), "f", 2)
    for chunk_id in range(1, 100):
        table.append_chunk(f, chunk_id, 1, 1, 1)
    table.unlink(f)
    assert table.holder_of(50) == 2
    table.discard(f)
    assert [table.holder_of(chunk_id) for chunk_id in range(100)] == [0] * 100
    assert (table.chunk_ids(), table.chunk_count, table.file_count) == ([], 0, 0)


def test_chunks_are_popped_together() -> None:
    table = new_table()
    f = file(table, root_of(table), "f", 2)
    for chunk_id in range(1, 131):
        table.append_chunk(f, chunk_id, 1, 10 * chunk_id, 7 * chunk_id)
    with pytest.raises(IndexError, match="has 130 chunks, not 131"):
        table.pop_chunks(f, 131)
    popped = table.pop_chunks(f, 128)
    assert popped == [(at, 1, 10 * at, 7 * at) for at in range(130, 2, -1)]
    assert [table.holder_of(chunk_id) for chunk_id in (1, 2, 3, 130)] == [2, 2, 0, 0]
    assert (f.chunk_count, f.size, root_of(table).space_below) == (2, 30, 90)
    assert table.joined_crc32c(f) == fast.crc32c_combine(7, 14, 20)
    assert table.pop_chunks(f, 0) == []
    assert len(table.pop_chunks(f, 2)) == 2
    assert (f.chunk_count, f.size, table.joined_crc32c(f)) == (0, 0, 0)


def test_what_only_files_have() -> None:
    table = new_table()
    for call in (table.chunks, table.pop_chunk, table.joined_crc32c):
        with pytest.raises(ValueError, match="is a directory"):
            call(root_of(table))


def test_memory_comes_back_when_inodes_go() -> None:
    table = new_table()
    root = root_of(table)
    levels = []
    for _ in range(3):
        for inode_id in range(2, 2000):
            made = file(table, root, f"{inode_id}" * 20, inode_id)
            for chunk_id in range(3):
                table.append_chunk(made, 10 * inode_id + chunk_id, 1, 1, 1)
        for made in table.page(root, "", 5000):
            table.unlink(made)
            table.discard(made)
        assert table.inode_ids() == [1]
        levels.append(table.memory_bytes)
    assert levels[1] == levels[2]


def test_the_reference_has_every_name_of_the_extension() -> None:
    for compiled, simple in (
        (fast.InodeTable, reference.InodeTable),
        (fast.Inode, inode_handles.Inode),
    ):
        public = {name for name in dir(compiled) if not name.startswith("_")}
        assert public - {"memory_bytes"} <= set(dir(simple))
    assert inode_rows.CHUNKS_PER_PAGE == fast.CHUNKS_PER_PAGE
    assert inode_rows.INODES_PER_BLOCK == fast.INODES_PER_BLOCK
