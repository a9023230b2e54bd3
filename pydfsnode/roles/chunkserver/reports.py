"""What one master has been told of the replicas here, and what it is to be told next.

A batch of changes has a number and does not change until the master has acknowledged it: a master
that took it and whose answer was lost gets the same again. Masters take a gap in the numbers, or an
unknown process, as the reason to want everything.
"""

from __future__ import annotations

from typing import NamedTuple

from pydfsnode.storage.chunk_index import ChunkIndex, Replica

BATCH_CHANGES_MAX = 2_000  # limits.py candidate
"""Changes in one heartbeat, replicas in one page: what is encoded in about a millisecond."""


class Batch(NamedTuple):
    """Changes up to *cursor*; empty ones repeat the number of the last batch that was not.

    `epoch` is what this node knew when they were collected, also when they are told again.
    """

    number: int
    cursor: int
    added: list[Replica]
    removed: list[int]
    epoch: int

    @property
    def is_empty(self) -> bool:
        """Whether it tells nothing."""
        return not self.added and not self.removed


class Page(NamedTuple):
    """A part of a full report, as of batch *number*."""

    number: int
    replicas: list[Replica]
    first: bool
    last: bool


class ReportCursor:
    """The position of one master, whose batches are numbered from *number* on."""

    def __init__(self, index: ChunkIndex, number: int = 0) -> None:
        self._index = index
        self._number = number
        self._cursor: int | None = None
        self._pending: Batch | None = None

    @property
    def number(self) -> int:
        """Of the last batch that was acknowledged."""
        return self._number

    @property
    def wants_full(self) -> bool:
        """Whether changes alone cannot tell this master everything."""
        return self._cursor is None

    @property
    def is_behind(self) -> bool:
        """Whether there is something to tell at once."""
        return self._cursor is not None and self._index.cursor > self._cursor

    def next_batch(self, epoch: int) -> Batch:
        """What the next heartbeat carries; the same until `acknowledged`.

        Args:
            epoch: the highest whose older orders have all ended here.
        """
        if self._pending is None:
            self._pending = self._collect(epoch)
        return self._pending

    def _collect(self, epoch: int) -> Batch:
        if self._cursor is not None:
            changes = self._index.changes(self._cursor, BATCH_CHANGES_MAX)
            if changes is None:  # this master was away for too long
                self._cursor = None
            elif changes.added or changes.removed:
                return Batch(self._number + 1, *changes, epoch)
        return Batch(self._number, self._cursor or 0, [], [], epoch)

    def acknowledged(self, batch: Batch) -> None:
        """The master has taken *batch*."""
        self._pending = None
        if not batch.is_empty:
            self._number = batch.number
            self._cursor = batch.cursor

    def failed(self) -> None:
        """No answer came. What told nothing need not be told again."""
        if self._pending is not None and self._pending.is_empty:
            self._pending = None

    def full(self) -> tuple[int, list[Page]]:
        """(cursor, pages) of everything that is here now; at least one page."""
        cursor, replicas = self._index.listing()
        starts = range(0, max(1, len(replicas)), BATCH_CHANGES_MAX)
        pages = [
            Page(
                self._number,
                replicas[start : start + BATCH_CHANGES_MAX],
                first=start == 0,
                last=start == starts[-1],
            )
            for start in starts
        ]
        return cursor, pages

    def full_acknowledged(self, cursor: int) -> None:
        """The master has taken all pages of `full`."""
        self._pending = None
        self._cursor = cursor
