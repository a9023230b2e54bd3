"""Large directories: whatever the order of inserts and deletes, pages give every name once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from pydfsnode import _fast as fast

COUNT = 5000  # ten runs of 512
NAMES = [f"{number * 7919 % 100_003:06}" + "x" * (number % 40) for number in range(COUNT)]
ORDERS: dict[str, Callable[[list[str]], list[str]]] = {
    "ascending": sorted,
    "descending": lambda names: sorted(names, reverse=True),
    "random": lambda names: random.Random(3).sample(names, len(names)),
    "from both ends": lambda names: [
        name for pair in zip(sorted(names), sorted(names)[::-1], strict=True) for name in pair
    ][: len(names)],
}


def filled(names: list[str]) -> tuple[fast.InodeTable, fast.Inode]:
    table = fast.InodeTable()
    root = table.add_root(1, 0o755, "a", "a")
    for inode_id, name in enumerate(names, 2):
        table.add_file(root, name, inode_id, 0, "a", "a", 0, 0, 1, 0)
    return table, root


def paged(table: fast.InodeTable, directory: fast.Inode, count: int) -> Iterator[str]:
    after = ""
    while page := table.page(directory, after, count):
        assert len(page) <= count
        yield from (inode.name for inode in page)
        after = page[-1].name


@pytest.mark.parametrize("added", ORDERS)
@pytest.mark.parametrize("removed", ORDERS)
def test_every_order_of_adding_and_removing(added: str, removed: str) -> None:
    table, root = filled(ORDERS[added](NAMES))
    left = set(NAMES)
    full_bytes = table.memory_bytes
    assert list(paged(table, root, 77)) == sorted(left)
    for step, name in enumerate(ORDERS[removed](NAMES), 1):
        inode = table.child(root, name)
        assert inode is not None
        table.unlink(inode)
        left.remove(name)
        if step % 1250 == 0 or step == COUNT - 10:
            assert list(paged(table, root, 500)) == sorted(left)
            assert root.child_count == len(left)
            first = table.first_child(root)
            assert (first.name if first else None) == min(left, default=None)
    assert table.page(root, "", 1) == []
    assert table.memory_bytes < full_bytes


def test_names_come_and_go_in_a_large_directory() -> None:
    chance = random.Random(9)
    table, root = filled(NAMES[:3000])
    present, absent = set(NAMES[:3000]), set(NAMES[3000:])
    inodes = {name: table.child(root, name) for name in present}
    for step in range(6000):
        leaving = chance.random() < (0.8 if step // 1000 % 2 else 0.3)
        if leaving and present:
            name = chance.choice(sorted(present)) if step % 50 == 0 else next(iter(present))
            inode = inodes.pop(name)
            assert inode is not None
            table.unlink(inode)
            table.discard(inode)
            present.remove(name)
            absent.add(name)
        elif absent:
            name = absent.pop()
            inodes[name] = table.add_file(root, name, 10_000 + step, 0, "a", "a", 0, 0, 1, 0)
            present.add(name)
        if step % 500 == 0:
            assert list(paged(table, root, 100)) == sorted(present)
            after = chance.choice(NAMES)[:4]
            expected = [name for name in sorted(present) if name > after][:9]
            assert [inode.name for inode in table.page(root, after, 9)] == expected
    assert {inode.name: inode for inode in table.page(root, "", COUNT)} == inodes


@pytest.mark.parametrize("order", ORDERS)
def test_a_loaded_directory_is_in_order_and_goes_on_growing(order: str) -> None:
    table, _ = filled(ORDERS[order](NAMES))
    loaded = fast.InodeTable()
    for block in range(COUNT // 8 + 1):
        row = table.encode_block(block)
        assert row is not None
        loaded.load_block(block, row)
    loaded.finish_load(1, COUNT + 2, 1)
    root = loaded.get(1)
    assert root is not None
    assert list(paged(loaded, root, 512)) == sorted(NAMES)
    for inode_id, name in enumerate(NAMES, COUNT + 2):
        loaded.add_file(root, name + "+", inode_id, 0, "a", "a", 0, 0, 1, 0)
    assert list(paged(loaded, root, 999)) == sorted([*NAMES, *(name + "+" for name in NAMES)])
