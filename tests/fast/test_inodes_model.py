"""The compiled inode table equals the reference in every query, whatever is done to both."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pydfsnode import _fast as fast
from tests.reference import inodes as reference
from tests.reference.inode_handles import Inode

SETTABLE = ("mode", "owner", "group", "mtime_ms", "atime_ms", "ctime_ms", "flags", "born")
READ_ONLY = ("inode_id", "parent_id", "name", "is_file", "is_directory", "size", "replication")
COUNTS = ("chunk_bytes", "chunk_count", "child_count")
TOTALS = ("files_below", "directories_below", "bytes_below", "space_below")
ATTRIBUTES = (*SETTABLE, "changed", "crc32c", *READ_ONLY, *COUNTS, *TOTALS)

NAMES = [
    *"abcABC",
    *("a" * size for size in (2, 7, 8, 9, 23, 24, 25, 40, 254, 255)),
    *("a" * 24 + end for end in "bc"),
    *("a" * 8 + end for end in ("", "b", "c", "é")),
    *(
        "\u00e9",
        "e\u0301",
        "日本語",
        "𝔘nicode",
        "\u0001",
        "~",
        "\x7f",
        " ",
        "...",
        ".a",
        "..a",
        "a.",
        "é" * 127,
    ),
    *(f"part-{number:05}" for number in range(40)),
]
BAD_NAMES = ["", ".", "..", "a/b", "/", "a\0", "\ud800", "a" * 256, "é" * 128]
BELOW_ZERO, TOO_LARGE = -1, 1 << 64


def outcome(call: Callable[[], object]) -> object:
    """What *call* returns, inodes by their ids, or the class of the error that it raises."""
    try:
        return plain(call())
    except (ValueError, KeyError, IndexError, RuntimeError, OverflowError) as error:
        return next(kind for kind in type(error).__mro__ if kind in PLAIN_ERRORS)


PLAIN_ERRORS = (OverflowError, ValueError, KeyError, IndexError, RuntimeError)


def plain(value: object) -> object:
    if isinstance(value, fast.Inode | Inode):
        return value.inode_id
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    return value


class Both:
    """One table of each kind; every step is done to both and must come out equally."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fast: Any = fast.InodeTable(seed)
        self.simple: Any = reference.InodeTable(seed)
        self.next_id = self.next_chunk_id = 2
        self.ids = [1]
        self.ask("add_root", 1, 0o755, "root", "root")

    def same(self, call: Callable[[Any], object]) -> object:
        result = outcome(lambda: call(self.fast))
        assert result == outcome(lambda: call(self.simple))
        return result

    def ask(self, method: str, *arguments: object) -> object:
        return self.same(lambda table: getattr(table, method)(*arguments))

    def on(self, inode_id: int, method: str, *arguments: object) -> object:
        """Call a method with each table's handle of the inode, if there is one."""

        def call(table: Any) -> object:
            inode = table.get(inode_id)
            return None if inode is None else getattr(table, method)(inode, *arguments)

        return self.same(call)

    def attribute(self, inode_id: int, use: Callable[..., object], *arguments: object) -> object:
        """Use `getattr` or `setattr` on the inode of each table."""
        return self.same(lambda table: table.get(inode_id) and use(table.get(inode_id), *arguments))

    # ---- steps

    def some_id(self) -> int:
        return self.chance.choice(self.ids) if self.ids else 1

    def name(self) -> str:
        names: list[str] = BAD_NAMES if self.chance.random() < 0.02 else NAMES
        return self.chance.choice(names)

    def add(self) -> None:
        parent, name, chance = self.some_id(), self.name(), self.chance
        inode_id = self.next_id if chance.random() < 0.98 else chance.choice([0, 1, self.some_id()])
        mode = chance.choice([0, 0o644, 0o755, 0o7777, 0o10000 if chance.random() < 0.1 else 0o711])
        now_ms, born = chance.choice([0, -1, 1 << 62, -(1 << 63)]), chance.getrandbits(32)
        common = (name, inode_id, mode, f"user{born % 5}", f"group{born % 3}", now_ms, born)
        if chance.random() < 0.4:
            done = self.on(parent, "add_directory", *common)
        else:
            wanted = chance.choice([0, 1, 3, 255, 3, 3, 3]), chance.choice([0, 1 << 20, 2**32 - 1])
            done = self.on(parent, "add_file", *common, *wanted)
        if done == inode_id:
            self.ids.append(inode_id)
            self.next_id = inode_id + chance.choice([1, 1, 1, 2, 9])

    def unlink(self) -> None:
        self.on(self.some_id(), "unlink")

    def link(self) -> None:
        inode_id, parent, name = self.some_id(), self.some_id(), self.name()
        if self.chance.random() < 0.9:
            tops = [found for found in self.ids if self.simple.get(found).parent_id == 0]
            inode_id = self.chance.choice(tops or [inode_id])
        self.same(lambda table: table.link(table.get(parent), table.get(inode_id), name))

    def discard(self) -> None:
        inode_id = self.some_id()
        if inode_id == 1:
            return
        stale = self.fast.get(inode_id)
        self.on(inode_id, "unlink")
        if self.on(inode_id, "discard") is None:
            self.ids.remove(inode_id)
            assert stale is not None
            with pytest.raises(RuntimeError):
                stale.name  # noqa: B018

    def append_chunks(self) -> None:
        inode_id, chance = self.some_id(), self.chance
        for _ in range(chance.choice([1, 1, 2, 3, 64, 70])):
            chunk_id = self.next_chunk_id
            if chance.random() < 0.02:
                chunk_id = chance.choice([0, 2, 1 << 63])
            chunk = (
                chunk_id,
                chance.choice([0, 1, 1 << 40]),
                chance.getrandbits(27),
                chance.getrandbits(32),
            )
            self.on(inode_id, "append_chunk", *chunk)
            self.next_chunk_id += 1

    def pop_chunks(self) -> None:
        inode_id = self.some_id()
        for _ in range(self.chance.choice([1, 1, 2, 66])):
            self.on(inode_id, "pop_chunk")
        self.on(inode_id, "pop_chunks", self.chance.choice([0, 1, 2, 66, -1]))
        self.on(inode_id, "joined_crc32c")
        for size in (-1, 0, 1 << 26, self.chance.getrandbits(34), 1 << 60):
            self.on(inode_id, "chunks_beyond", size)

    def set_attribute(self) -> None:
        inode_id, name = self.some_id(), self.chance.choice(ATTRIBUTES[:10])
        value: object = self.chance.choice([0, 1, 255, 0o755, 2**31, 2**32, -1, -(2**63), 2**63])
        if name in ("owner", "group"):
            value = self.chance.choice(["", "alice", "é", "\ud800", "x" * 300])
        self.attribute(inode_id, setattr, name, value)

    def set_replication(self) -> None:
        replication = self.chance.choice([1, 2, 5, 255, 0, 256])
        self.on(self.some_id(), "set_replication", replication)

    STEPS = (
        [add] * 12
        + [append_chunks] * 3
        + [unlink, link, link, discard, pop_chunks, set_attribute, set_attribute, set_replication]
    )

    # ---- queries

    def compare_table(self) -> None:
        for name in ("file_count", "directory_count", "chunk_count"):
            assert getattr(self.fast, name) == getattr(self.simple, name), name
        assert len(self.fast) == len(self.simple)

    def compare_inode(self, inode_id: int) -> None:
        for name in ATTRIBUTES:
            self.attribute(inode_id, getattr, name)
        for query in ("parent", "path", "is_attached", "first_child", "chunks"):
            self.on(inode_id, query)
        self.ask("encode", inode_id)

    def compare_queries(self) -> None:
        first, second, name, chance = self.some_id(), self.some_id(), self.name(), self.chance
        count, position = chance.choice([0, 1, 5, 1000, -1]), chance.choice([-1, 0, 1, 64, 100])
        self.on(first, "page", "", count)
        self.on(first, "page", name, count)
        self.on(first, "child", name)
        self.same(lambda table: table.is_within(table.get(first), table.get(second)))
        self.on(first, "chunk", position)
        chunk_id = chance.randrange(self.next_chunk_id)
        self.ask("holder_of", chunk_id)
        for block in (first // 8, second // 8, self.next_id, BELOW_ZERO, TOO_LARGE, TOO_LARGE // 8):
            self.ask("encode_block", block)
        self.ask("encode_page", first, position)
        self.ask(
            "encode_span", first, *chance.choice([(0, 1, 0), (1, 4, 0), (9, 1, 7), (50, 2, 3)])
        )
        path = self.simple.path(self.simple.get(first)) + chance.choice(
            ["", "/x", "/a/b", "/", "//a"]
        )
        self.compare_find(path)

    def compare_find(self, path: str) -> None:
        """Who is asked is equal too."""

        def find(table: Any) -> tuple[object, list[int]]:
            asked: list[int] = []
            return plain(table.find(path, lambda inode: asked.append(inode.inode_id))), asked

        self.same(find)
        self.ask("find", path)

    def compare_all(self) -> None:
        self.compare_table()
        self.ask("inode_ids")
        self.ask("chunk_ids")
        for flags in (1, 6, 255):
            self.ask("flagged", flags)
        for inode_id in self.ids:
            self.compare_inode(inode_id)

    # ---- rows

    def rows(self) -> tuple[dict[int, bytes], dict[tuple[int, int], bytes]]:
        blocks: dict[int, bytes] = {}
        pages: dict[tuple[int, int], bytes] = {}
        for inode_id in self.simple.inode_ids():
            blocks[inode_id // 8] = self.fast.encode_block(inode_id // 8) or b""
            for page in range(self.fast.get(inode_id).chunk_count // 64):
                pages[inode_id, page] = self.fast.encode_page(inode_id, page) or b""
        return blocks, pages

    def reload(self) -> None:
        """Both are loaded anew from the rows of one, in any order."""
        blocks, pages = self.rows()
        steps: list[tuple[object, ...]] = [
            *(("load_block", block, row) for block, row in blocks.items()),
            *(("load_page", *at, row) for at, row in pages.items()),
        ]
        self.chance.shuffle(steps)
        self.fast, self.simple = fast.InodeTable(self.next_id), reference.InodeTable(0)
        for method, *arguments in steps:
            assert self.ask(str(method), *arguments) is None
        next_chunk_id = max(self.next_chunk_id, (1 << 63) + 1)
        tops = self.ask("finish_load", 1, self.next_id + 9, next_chunk_id)
        assert isinstance(tops, list)


@pytest.mark.parametrize("seed", range(6))
def test_random_steps_come_out_equally(seed: int) -> None:
    both = Both(seed)
    for step in range(1200):
        both.chance.choice(Both.STEPS)(both)
        both.compare_table()
        both.compare_queries()
        both.compare_inode(both.some_id())
        if step % 200 == 199:
            both.compare_all()
    rows = both.rows()
    both.reload()
    both.compare_all()
    assert both.rows() == rows
