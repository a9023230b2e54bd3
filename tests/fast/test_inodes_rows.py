"""Rows of inodes: the bytes that were promised, and ValueError for every row that cannot be."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pydfsnode import _fast as fast
from tests.reference import inodes as reference

Rows = tuple[dict[int, bytes], dict[tuple[int, int], bytes]]
TABLES = [fast.InodeTable, reference.InodeTable]

ROOT = "02 01 01 00 ed03 04726f6f74 05776865656c 00 00 00 00 00 00"
DIRECTORY = "02 03 01 01 c003 05616c696365 00 0164 02 01 ffffffffffffffffff01 05 ffffffff0f"
FILE = "01 05 03 02 a403 05616c696365 00 0166 0e 0e 0e 00 00 "
FILE += "03 8080c01f 0a 78563412 01 07 02 0a 04030201"
DETACHED = "01 06 00 00 00 00 00 0167 00 00 00 00 00 01 00 00 00000000 00"


def block(*inodes: str) -> bytes:
    return bytes.fromhex("01" + "".join(inodes))


GOLDEN = block(ROOT, DIRECTORY, FILE, DETACHED)


def small_table(table: Any) -> Any:
    root = table.add_root(1, 0o755, "root", "wheel")
    below = table.add_directory(root, "d", 3, 0o700, "alice", "", 1, 5)
    below.flags, below.mode, below.changed = 1, 0o700, 2**32 - 1
    below.atime_ms, below.ctime_ms, below.mode = -1, -(1 << 63), 0o700
    file = table.add_file(below, "f", 5, 0o644, "alice", "", 7, 0, 3, 0x3F00000)
    file.flags, file.crc32c = 2, 0x12345678
    table.append_chunk(file, 7, 2, 10, 0x01020304)
    gone = table.add_file(root, "g", 6, 0, "", "", 0, 0, 1, 0)
    table.unlink(gone)
    return table


def rows_of(table: Any) -> Rows:
    blocks, pages = {}, {}
    for inode_id in table.inode_ids():
        blocks[inode_id // 8] = table.encode_block(inode_id // 8)
        for page in range(table.get(inode_id).chunk_count // 64):
            pages[inode_id, page] = table.encode_page(inode_id, page)
    return blocks, pages


def load(table: Any, rows: Rows, next_inode_id: int = 100, next_chunk_id: int = 1000) -> list[int]:
    for (inode_id, page), row in rows[1].items():
        table.load_page(inode_id, page, row)
    for number, row in rows[0].items():
        table.load_block(number, row)
    tops: list[int] = table.finish_load(1, next_inode_id, next_chunk_id)
    return tops


def large_table() -> fast.InodeTable:
    """A file of two pages and a bit, one of exactly a page, long names, several blocks."""
    table = fast.InodeTable(1)
    at = table.add_root(1, 0o755, "root", "root")
    at = table.add_directory(at, "d" * 200, 17, 0o755, "root", "root", 0, 0)
    for inode_id, count in ((18, 150), (19, 64), (40, 63), (41, 1), (42, 0)):
        file = table.add_file(at, f"é{inode_id}" * 12, inode_id, 0, "bob", "root", -9, 1, 2, 64)
        for number in range(count):
            table.append_chunk(file, 1000 * inode_id + number, number, number, 0xFFFFFFFF)
    return table


@pytest.mark.parametrize("table_class", TABLES)
def test_the_bytes_of_a_block(table_class: Callable[[], Any]) -> None:
    table = small_table(table_class())
    assert table.encode_block(0).hex(" ") == GOLDEN.hex(" ")
    assert table.encode(3).hex() == DIRECTORY.replace(" ", "")
    assert (table.encode(2), table.encode_block(1), table.encode_page(5, 0)) == (b"", None, None)


@pytest.mark.parametrize("table_class", TABLES)
def test_what_was_loaded_is_what_was_stored(table_class: Callable[[], Any]) -> None:
    rows = rows_of(large_table())
    assert sorted(rows[1]) == [(18, 0), (18, 1), (19, 0)]
    table = table_class()
    assert load(table, rows, 43, 50_000) == []
    assert rows_of(table) == rows
    first = table.get(1)
    assert (first.files_below, first.directories_below) == (5, 1)
    assert table.chunk_ids() == large_table().chunk_ids()
    assert table.holder_of(18_149) == 18
    table.append_chunk(table.get(42), 7, 1, 1, 1)
    table.unlink(table.get(18))
    table.discard(table.get(18))
    assert table.chunk_count == 64 + 63 + 1 + 1


@pytest.mark.parametrize("table_class", TABLES)
def test_detached_inodes_are_named(table_class: Callable[[], Any]) -> None:
    table = table_class()
    assert load(table, ({0: GOLDEN}, {})) == [6]
    assert not table.is_attached(table.get(6))
    assert (table.get(1).files_below, table.get(6).size) == (1, 0)
    table.link(table.get(3), table.get(6), "again")
    assert table.get(1).bytes_below == 10


@pytest.mark.parametrize("table_class", TABLES)
@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"", "format"),
        (b"\x02" + GOLDEN[1:], "format"),
        (b"\x01", "damaged"),
        (GOLDEN + b"\x00", "damaged"),
        (block(ROOT, ROOT), "behind|order"),
        (block(DIRECTORY, ROOT), "behind|order"),
        (block("02 08" + ROOT[5:]), "block"),
        (block("02 00" + ROOT[5:]), "block|behind"),
        (block("03 01" + ROOT[5:]), "kind|damaged"),
        (block(ROOT.replace("ed03", "8020")), "damaged"),
        (block(ROOT.replace("05776865656c 00", "05776865656c 0161")), "name"),
        (block(DIRECTORY.replace("0164", "00")), "name"),
        (block(DIRECTORY.replace("0164", "012f")), "name"),
        (block(DIRECTORY.replace("0164", "0100")), "name"),
        (block(DIRECTORY.replace("0164", "022e2e")), "name"),
        (block(DIRECTORY.replace("0164", "8002" + "61" * 256)), "name"),
        (block(DIRECTORY.replace("0164", "02c328")), "utf-8"),
        (block(DIRECTORY.replace("05616c696365", "05616c6963ff")), "utf-8"),
        (block(DIRECTORY.replace("0164", "ffffffffffffffffff0164")), "damaged"),
        (block(DIRECTORY.replace("ffffffff0f", "ffffffff1f")), "damaged"),
        (block(DIRECTORY.replace("ffffffffffffffffff01", "ffffffffffffffffff03")), "damaged"),
        (block(DIRECTORY.replace("ffffffffffffffffff01", "ffffffffffffffffff8101")), "damaged"),
        (block(FILE.replace("03 8080", "00 8080")), "damaged"),
        (block(FILE.replace("01 07 02", "01 00 02")), "damaged"),
        (block(FILE.replace("01 07 02", "c101 07 02") + "00"), "damaged|kind|cut"),
    ],
)
def test_a_block_that_cannot_be(table_class: Callable[[], Any], row: bytes, message: str) -> None:
    table = table_class()
    with pytest.raises(ValueError, match=message if table_class is fast.InodeTable else None):
        table.load_block(0, row)
    with pytest.raises(RuntimeError):
        table.load_block(0, GOLDEN)
    with pytest.raises(RuntimeError):
        table.get(1)


PAGES = rows_of(large_table())


def with_row(number: int, row: bytes) -> Rows:
    return {**PAGES[0], number: row}, PAGES[1]


UNFIT: dict[str, tuple[Rows, int, int]] = {
    "no root": (({0: block(DIRECTORY)}, {}), 100, 100),
    "a file as root": (({0: block("01 01 00" + DETACHED[8:])}, {}), 100, 100),
    "a root with a parent": (({0: block("02 01 03" + DIRECTORY[8:], DIRECTORY)}, {}), 100, 100),
    "a parent that is missing": (({0: block(ROOT, FILE)}, {}), 100, 100),
    "a parent that is a file": (
        (
            {
                0: block(
                    ROOT,
                    DETACHED.replace("01 06 00", "01 04 01"),
                    FILE.replace("05 03", "05 04", 1),
                )
            },
            {},
        ),
        100,
        100,
    ),
    "a name twice": (
        ({0: block(ROOT, *(f"02 0{n} 01" + DIRECTORY[8:] for n in (2, 4)))}, {}),
        100,
        100,
    ),
    "a cycle": (
        ({0: block(ROOT, "02 02 04" + DIRECTORY[8:], "02 04 02" + DIRECTORY[8:])}, {}),
        100,
        100,
    ),
    "its own parent": (
        ({0: block(ROOT, "02 02 02" + DIRECTORY[8:].replace("0164", "00"))}, {}),
        100,
        100,
    ),
    "an id of the future": (({0: GOLDEN}, {}), 6, 100),
    "a chunk of the future": (({0: GOLDEN}, {}), 100, 7),
    "a chunk twice": (
        (
            {
                0: block(
                    ROOT, DIRECTORY, FILE, FILE.replace("05 03", "06 03", 1).replace("0166", "0167")
                )
            },
            {},
        ),
        100,
        100,
    ),
    "a size that is not of the chunks": (
        ({0: block(ROOT, DIRECTORY, FILE.replace("0a 7856", "0b 7856"))}, {}),
        100,
        100,
    ),
    "a size without chunks": (
        ({0: block(ROOT, DETACHED.replace("01 00 00 00000000 00", "01 00 05 00000000 00"))}, {}),
        100,
        100,
    ),
    "a page that is missing": (
        (PAGES[0], {(18, 0): PAGES[1][18, 0], (19, 0): PAGES[1][19, 0]}),
        100,
        10**6,
    ),
    "a page too many": ((PAGES[0], {**PAGES[1], (42, 0): PAGES[1][18, 0]}), 100, 10**6),
    "a page of no inode": ((PAGES[0], {**PAGES[1], (77, 0): PAGES[1][18, 0]}), 100, 10**6),
    "a page in place of another": ((PAGES[0], {**PAGES[1], (18, 1): PAGES[1][18, 0]}), 100, 10**6),
    "four billion chunks": (
        ({0: block(ROOT, DIRECTORY, FILE.replace("01 07", "c1ffffff0f 07"))}, {}),
        100,
        100,
    ),
}


@pytest.mark.parametrize("table_class", TABLES)
@pytest.mark.parametrize("case", UNFIT)
def test_rows_that_do_not_fit_together(table_class: Callable[[], Any], case: str) -> None:
    table = table_class()
    rows, next_inode_id, next_chunk_id = UNFIT[case]
    with pytest.raises(ValueError, match=r"inode \d+" if table_class is fast.InodeTable else None):
        load(table, rows, next_inode_id, next_chunk_id)
    for call in (
        table.inode_ids,
        table.chunk_ids,
        lambda: table.encode(1),
        lambda: table.find("/"),
    ):
        with pytest.raises(RuntimeError):
            call()


PAGE = PAGES[1][18, 0]
LOADS: list[tuple[str, tuple[object, ...]]] = [
    ("load_block", (0, GOLDEN)),
    ("load_page", (18, 0, PAGE)),
    ("load_page", (18, 1 << 40, PAGE)),
]


@pytest.mark.parametrize("table_class", TABLES)
@pytest.mark.parametrize(("method", "arguments"), LOADS)
def test_a_row_comes_once(
    table_class: Callable[[], Any], method: str, arguments: tuple[object, ...]
) -> None:
    table = table_class()
    getattr(table, method)(*arguments)
    with pytest.raises(ValueError):
        getattr(table, method)(*arguments)


@pytest.mark.parametrize("table_class", TABLES)
@pytest.mark.parametrize(("method", "arguments"), [*LOADS, ("finish_load", (1, 100, 100))])
def test_rows_come_into_an_empty_table(
    table_class: Callable[[], Any], method: str, arguments: tuple[object, ...]
) -> None:
    used = small_table(table_class())
    with pytest.raises(RuntimeError):
        getattr(used, method)(*arguments)
    assert used.encode_block(0) == GOLDEN


@pytest.mark.parametrize("row", [b"", b"\x01", PAGES[1][18, 0][:-1], PAGES[1][18, 0] + b"\0"])
@pytest.mark.parametrize("table_class", TABLES)
def test_a_page_that_cannot_be(table_class: Callable[[], Any], row: bytes) -> None:
    with pytest.raises(ValueError):
        table_class().load_page(18, 0, row)


def loaded_or_not(table: Any, rows: Rows) -> object:
    try:
        load(table, rows, 1 << 63, 1 << 63)
    except ValueError:
        return "refused"
    return rows_of(table), table.get(1).space_below


def damaged(chance: random.Random, row: bytes) -> bytes:
    changed = bytearray(row)
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        at = chance.randrange(len(changed))
        kind = chance.randrange(4)
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.choice([0, 1, 127, 128, 255])
        elif kind == 2:
            del changed[at : at + chance.choice([1, 1, 9, 1000])]
        else:
            changed[at:at] = chance.randbytes(chance.choice([1, 2, 20]))
        if not changed:
            break
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_rows_are_refused_or_read_alike(seed: int) -> None:
    chance = random.Random(seed)
    refused = 0
    for _ in range(250):
        blocks, pages = ({0: GOLDEN}, {}) if chance.random() < 0.7 else PAGES
        blocks, pages = dict(blocks), dict(pages)
        if pages and chance.random() < 0.3:
            page = chance.choice(sorted(pages))
            pages[page] = damaged(chance, pages[page])
        else:
            number = chance.choice(sorted(blocks))
            blocks[number] = damaged(chance, blocks[number])
        result = loaded_or_not(fast.InodeTable(), (blocks, pages))
        assert result == loaded_or_not(reference.InodeTable(), (blocks, pages))
        refused += result == "refused"
    assert 50 < refused < 250


def test_every_cut_is_refused() -> None:
    for size in range(len(GOLDEN)):
        result = loaded_or_not(fast.InodeTable(), ({0: GOLDEN[:size]}, {}))
        assert result == loaded_or_not(reference.InodeTable(), ({0: GOLDEN[:size]}, {}))
