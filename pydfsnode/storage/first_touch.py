"""Remembers which parts of chunks were read lately, so that only what is read again gets cached.

A large file that is read once would push everything else out of the page cache, and filling pages
that nobody reads again costs a chunkserver more CPU than it saves (ADR 4). The second read of a
part goes through the cache and leaves it there.
"""

from __future__ import annotations

import threading

from pydfsnode import limits

PARTS_MAX = 32_768
"""Parts remembered; of PACKET_BYTES each, so 32 GiB."""


class FirstTouch:
    """Parts are (chunk, position); from any thread."""

    def __init__(self, parts_max: int = PARTS_MAX) -> None:
        self._parts_max = parts_max
        self._parts: dict[tuple[int, int, int], None] = {}
        self._lock = threading.Lock()

    def is_first(self, chunk_id: int, version: int, offset: int, size: int) -> bool:
        """Whether this whole part is read for the first time in a while; small reads never are."""
        if size != limits.PACKET_BYTES or offset % limits.PACKET_BYTES:
            return False
        part = (chunk_id, version, offset)
        with self._lock:
            is_first = part not in self._parts
            self._parts.pop(part, None)
            self._parts[part] = None
            if len(self._parts) > self._parts_max:
                del self._parts[next(iter(self._parts))]
        return is_first
