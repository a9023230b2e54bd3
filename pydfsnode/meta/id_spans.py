"""Where in the range of ids there are inodes: spans of ids, in order, that hold one at least.

Ids are given out one after the other, but deletions thin them out, and a restore goes far ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

IDS_PER_SPAN = 4096


class IdSpans:
    """How many inodes there are of each span. Ids are added in ascending order and never again."""

    __slots__ = ("_held",)

    def __init__(self, ascending_ids: Iterable[int]) -> None:
        size = IDS_PER_SPAN
        self._held: dict[int, int] = dict(Counter(inode_id // size for inode_id in ascending_ids))

    def __len__(self) -> int:
        return len(self._held)

    def add(self, inode_id: int) -> None:
        """*inode_id*, above all before, is there from now on."""
        span, held = inode_id // IDS_PER_SPAN, self._held
        held[span] = held.get(span, 0) + 1

    def drop(self, inode_id: int) -> None:
        """*inode_id* is not there any more."""
        span, held = inode_id // IDS_PER_SPAN, self._held
        if held[span] == 1:
            del held[span]
        else:
            held[span] -= 1

    def first_id(self, place: int) -> int | None:
        """The first id of the span at *place*, from 0 on; None: there are not so many."""
        span = next(islice(self._held, place, None), None)
        return None if span is None else span * IDS_PER_SPAN
