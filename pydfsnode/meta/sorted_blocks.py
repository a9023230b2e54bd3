"""A sorted collection in blocks: a change moves little, however much there is."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

T = TypeVar("T", int, tuple[str, int])

BLOCK_MAX = 512
_last_of = itemgetter(-1)


class SortedBlocks(Generic[T]):
    """Items in ascending order, each once. No block is empty."""

    __slots__ = ("_blocks",)

    def __init__(self, items: Iterable[T] = ()) -> None:
        ordered = sorted(items)
        starts = range(0, len(ordered), BLOCK_MAX)
        self._blocks: list[list[T]] = [ordered[start : start + BLOCK_MAX] for start in starts]

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def __iter__(self) -> Iterator[T]:
        for block in self._blocks:
            yield from block

    def add(self, item: T) -> None:
        """Enter *item*, which is not here; at once if it is the last."""
        blocks = self._blocks
        if not blocks or item > blocks[-1][-1]:
            if not blocks or len(blocks[-1]) >= BLOCK_MAX:
                blocks.append([])
            blocks[-1].append(item)
            return
        place = self._place(item)
        block = blocks[place]
        insort(block, item)
        if len(block) > BLOCK_MAX:
            half = BLOCK_MAX // 2
            blocks.insert(place + 1, block[half:])
            del block[half:]

    def remove(self, item: T) -> None:
        """Take *item* out, which is here."""
        place = self._place(item)
        block = self._blocks[place]
        del block[bisect_left(block, item)]
        if not block:
            del self._blocks[place]

    def pop_first(self) -> T:
        """Take the first item out; there must be one."""
        first = self._blocks[0]
        item = first.pop(0)
        if not first:
            del self._blocks[0]
        return item

    def since(self, item: T) -> Iterator[T]:
        """*item*, if it is here, and all behind it."""
        place = self._place(item)
        if place < len(self._blocks):
            yield from self._blocks[place][bisect_left(self._blocks[place], item) :]
        for block in self._blocks[place + 1 :]:
            yield from block

    def _place(self, item: T) -> int:
        """The first block that ends with *item* or behind it."""
        return bisect_left(self._blocks, item, key=_last_of)
