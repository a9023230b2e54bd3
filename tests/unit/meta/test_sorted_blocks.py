"""Blocks of sorted items, held against a sorted list."""

from __future__ import annotations

import random

import pytest

from pydfsnode.meta import sorted_blocks
from pydfsnode.meta.sorted_blocks import SortedBlocks


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_blocks, "BLOCK_MAX", 4)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_a_sorted_list(seed: int) -> None:
    chance = random.Random(seed)
    known = sorted(chance.sample(range(1000), 30))
    blocks = SortedBlocks(reversed(known))
    for _ in range(800):
        step, item = chance.choice(["add", "add", "remove", "remove", "pop"]), chance.randrange(99)
        if step == "add" and item not in known:
            blocks.add(item)
            known = sorted([*known, item])
        elif step == "remove" and item in known:
            blocks.remove(item)
            known.remove(item)
        elif step == "pop" and known:
            assert blocks.pop_first() == known.pop(0)
        assert list(blocks) == known
        assert bool(blocks) is bool(known)
        assert list(blocks.since(item)) == [each for each in known if each >= item]
        assert all(0 < len(block) <= 4 for block in blocks._blocks)


def test_ascending_items_fill_their_blocks() -> None:
    blocks: SortedBlocks[int] = SortedBlocks()
    for item in range(16):
        blocks.add(item)
    assert [len(block) for block in blocks._blocks] == [4, 4, 4, 4]


def test_names_with_numbers_are_in_order_of_both() -> None:
    blocks = SortedBlocks([("b", 1), ("a", 9), ("b", 0)])
    blocks.add(("a", 10))
    assert list(blocks) == [("a", 9), ("a", 10), ("b", 0), ("b", 1)]
    assert list(blocks.since(("a", 10))) == [("a", 10), ("b", 0), ("b", 1)]
    assert list(blocks.since(("c", 0))) == []
