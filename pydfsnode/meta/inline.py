"""Contents of small files: in memory until they are in the state table, by their chunk's id.

The rules only say what is stored and dropped; whoever reads looks here first and then into the
state table (`roles.master.machine`).
"""

from __future__ import annotations

import struct

TABLE_INLINE = 26
_KEY = struct.Struct(">Q")
Row = tuple[int, bytes, bytes | None]


class InlineContents:
    """See the module. `total_bytes` is that of all inline contents, in memory or not."""

    def __init__(self) -> None:
        self.total_bytes = 0
        self._new: dict[int, bytes | None] = {}

    def put(self, content_id: int, content: bytes) -> None:
        """Store *content*, new, under *content_id*."""
        self._new[content_id] = content
        self.total_bytes += len(content)

    def drop(self, content_id: int, size: int) -> None:
        """The content of *size* bytes is nobody's any more."""
        self.total_bytes -= size
        # Its row may be written, or be under way: only a deletion later than it is sure.
        self._new[content_id] = None

    def get(self, content_id: int) -> bytes | None:
        """The content, None when it is not here (any more)."""
        return self._new.get(content_id)

    def drain_rows(self) -> tuple[list[Row], dict[int, bytes]]:
        """Rows to write, and the contents among them, to be kept until they are written."""
        new, self._new = self._new, {}
        written = {key: value for key, value in new.items() if value is not None}
        return [(TABLE_INLINE, _KEY.pack(key), value) for key, value in new.items()], written


def inline_key(content_id: int) -> bytes:
    """The key of a content's row."""
    return _KEY.pack(content_id)
