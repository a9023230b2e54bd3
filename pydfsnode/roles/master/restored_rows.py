"""What a restore changes in the rows of a backup: ids go far ahead, and safe mode is on.

Since the backup the lost masters gave out ids that it does not know, and chunks with those ids lie
on chunkservers. Were one given out again, a replica of the lost file could be taken for one of the
new file. So the next ids are taken from the time, beyond all that can have been given out: also by
a cluster that was restored from the same backup before.

In safe mode nothing is changed, copied or deleted: chunks that the backup does not know stay where
they are until an operator has looked and leaves it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pydfsnode.meta.administration import SAFE_MODE, TABLE_MODE, Mode
from pydfsnode.meta.rows import HEAD_KEY, KEY, TABLE_HEAD, decode_head, encode
from pydfsnode.runtime.snapshot_frames import StateRow

IDS_PER_S = 65_536
"""More than any cluster gives out: ids from now on are beyond seconds since 1970 times this."""
ORDERED_BY = "cluster restore"
_SAFE_MODE_PLACE = (TABLE_MODE, KEY.pack(SAFE_MODE))


def first_free_id(wall_ms: int) -> int:
    """Beyond every id that was given out before *wall_ms*."""
    return wall_ms // 1000 * IDS_PER_S


class RestoredRows:
    """Gives the rows of a backup in order, slice after slice, then `rest`."""

    def __init__(self, wall_ms: int) -> None:
        self._wall_ms = wall_ms
        self._safe_mode: list[StateRow] = [
            (*_SAFE_MODE_PLACE, encode(Mode(wall_ms, ORDERED_BY))),
        ]

    def of(self, rows: list[StateRow]) -> list[StateRow]:
        """What *rows* become."""
        return list(self._changed(rows))

    def rest(self) -> list[StateRow]:
        """What follows the last row of the backup."""
        rest, self._safe_mode = self._safe_mode, []
        return rest

    def _changed(self, rows: list[StateRow]) -> Iterator[StateRow]:
        for row in rows:
            table, key, value = row
            if self._safe_mode and (table, key) >= _SAFE_MODE_PLACE:
                yield from self.rest()
            if (table, key) == _SAFE_MODE_PLACE:  # an operator's own: this one says more
                continue
            yield (table, key, self._head(value)) if (table, key) == (TABLE_HEAD, HEAD_KEY) else row

    def _head(self, value: bytes) -> bytes:
        head, free = decode_head(HEAD_KEY, value), first_free_id(self._wall_ms)
        return encode(
            msgspec.structs.replace(
                head,
                next_inode_id=max(head.next_inode_id, free),
                next_chunk_id=max(head.next_chunk_id, free),
            )
        )
