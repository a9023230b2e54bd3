"""What is in a segment file: by its index, else by walking over its records. Blocking."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pydfsnode._fast import crc32c, verify_blocks
from pydfsnode.limits import BLOCK_BYTES
from pydfsnode.obs.log import get_logger
from pydfsnode.storage import segment_format
from pydfsnode.storage.chunk_file import read_all
from pydfsnode.storage.chunk_format import Tail
from pydfsnode.storage.segment_format import (
    ALIGN,
    ALL_SEALED,
    FOOTER_BYTES,
    HEADER_BYTES,
    TOMBSTONE,
    Entry,
    SegmentName,
    head_bytes,
    record_bytes,
)

_log = get_logger("storage.segment_scan")


class FoundSegment(NamedTuple):
    """A segment as it lies on the disk."""

    name: SegmentName
    entries: list[Entry]
    end: int
    """Offset behind its last record."""
    has_index: bool
    damaged: frozenset[int]
    """Offsets of records whose data is not what was written, as far as it was looked at."""


def read_segment(path: Path, number: int) -> FoundSegment | None:
    """Look into the segment at *path*; None when it cannot be told whose it is.

    Raises:
        OSError: the disk refused.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        name = segment_format.decode_header(read_all(fd, 0, HEADER_BYTES), number)
        footer = read_all(fd, size - FOOTER_BYTES, FOOTER_BYTES) if size > FOOTER_BYTES else b""
        indexed = segment_format.decode_footer(footer, number, size)
        if indexed is not None:
            name, end = indexed
            index = read_all(fd, end, size - FOOTER_BYTES - end)
            entries = segment_format.decode_index(index, footer, end)
            if entries is not None:
                return FoundSegment(name, entries, end, True, frozenset())
            _log.error("the index of a segment is damaged", path=str(path))
            size = end
        if name is None:
            return None
        return _walk(path, name, read_all(fd, 0, size))
    finally:
        os.close(fd)


def _walk(path: Path, name: SegmentName, content: bytes) -> FoundSegment:
    """Record by record, all data verified; behind damage it goes on at the next good record.

    What somebody stored cannot pass for a record: he does not know the salt.
    """
    view = memoryview(content)
    entries: list[Entry] = []
    bad: list[bool] = []
    offset = HEADER_BYTES
    while offset < len(content):
        found = segment_format.decode_head(view[offset:], name.salt, offset)
        if found is None or offset + record_bytes(found[0]) > aligned_size(content):
            offset = _next_record(content, name, offset + 1)
            continue
        entry, tail = found
        start = offset + head_bytes(entry.length, entry.kind)
        bad.append(not _is_whole(entry, tail, view[start : start + entry.length]))
        entries.append(entry)
        offset += record_bytes(entry)
    while bad and bad[-1]:  # what a crash cut: nobody was told that it is durable
        bad.pop()
        entries.pop()
    end = entries[-1].offset + record_bytes(entries[-1]) if entries else HEADER_BYTES
    used = HEADER_BYTES + sum(map(record_bytes, entries))
    if used < end or any(bad):
        _log.error("a segment is damaged in places", path=str(path), lost_bytes=end - used)
    damaged = frozenset(e.offset for e, is_bad in zip(entries, bad, strict=True) if is_bad)
    return FoundSegment(name, entries, end, False, damaged)


def _is_whole(entry: Entry, tail: Tail, data: memoryview) -> bool:
    """Whether *data*, behind the head of *entry*, is what was written; no key is needed."""
    if entry.kind == TOMBSTONE:
        return True
    if len(data) < entry.length:
        return False
    if entry.kind in ALL_SEALED:
        return crc32c(data) == tail.crc32c
    return verify_blocks(data, tail.checksums, BLOCK_BYTES) < 0


def _next_record(content: bytes, name: SegmentName, offset: int) -> int:
    """Where something that begins as a record comes next; the end when nothing does."""
    found = len(content)
    for start in segment_format.record_starts(name.salt):
        where = offset
        while 0 <= (where := content.find(start, where, found + len(start))) < found:
            if where % ALIGN == 0:
                found = where
                break
            where += 1
    return found


def aligned_size(content: bytes) -> int:
    """The size with the fill of the last record, which may be missing."""
    return segment_format.aligned(len(content))
