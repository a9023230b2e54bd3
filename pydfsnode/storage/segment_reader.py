"""Verified reads of a small chunk in a segment file. Blocking."""

from __future__ import annotations

from pathlib import Path

from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage import sealed_chunk, segment_format
from pydfsnode.storage.chunk_file_reader import ChunkFileReader
from pydfsnode.storage.chunk_format import Tail
from pydfsnode.storage.segment_format import ALL_SEALED, KEYED, TOMBSTONE, Entry


class PackedReader(ChunkFileReader):
    """As `ChunkFileReader`, for the record at an offset of a segment."""

    def __init__(self, path: Path, salt: int, entry: Entry, keys: ChunkKeys) -> None:
        """Open *path*; raises as `ChunkFileReader`."""
        self._salt = salt
        self._entry = entry
        super().__init__(path, entry.chunk_id, entry.version, entry.length, keys)

    def _load_tail(self, version: int) -> Tail:
        wanted = self._entry
        size = segment_format.head_bytes(wanted.length, wanted.kind)
        head = bytes(self._read(wanted.offset, size))
        found = segment_format.decode_head(head, self._salt, wanted.offset)
        if found is None:
            raise segment_format.broken(wanted.chunk_id, "its record is damaged")
        entry, tail = found
        # Which of its keys it needs is the record's to say, and in nobody's index.
        same_kind = entry.kind in ALL_SEALED and wanted.kind in ALL_SEALED
        if entry.kind == TOMBSTONE or entry != (
            wanted._replace(kind=entry.kind) if same_kind else wanted
        ):
            raise segment_format.broken(
                wanted.chunk_id,
                f"its record is of chunk {entry.chunk_id} version {entry.version} with "
                f"{entry.length} bytes",
            )
        self._base = wanted.offset + size
        if entry.kind not in ALL_SEALED or self._keys is None:
            return tail
        opened = sealed_chunk.decode_sealing(
            tail.checksums, self._keys, entry.chunk_id, version, entry.length,
            entry.kind == KEYED,
        )  # fmt: skip
        sums, self._sealing = opened
        return sums
