"""What writing and reading chunks have in common: syncs, whole reads, the errors of both."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pydfsnode import limits
from pydfsnode._fast import WarmBuffer
from pydfsnode.errors import CorruptionError, DiskFull, DurabilityFailure
from pydfsnode.security import files

WARM_BYTES_MIN = limits.PACKET_BYTES // 2
"""Less is not worth a buffer of a packet's size."""
DIRECT_ALIGN = 4096
"""What offsets and sizes of direct reads are multiples of."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What an OSError of a full disk has as its number."""


def sync_directory(path: Path) -> None:
    """Make the names in directory *path* durable.

    Raises:
        DurabilityFailure: the disk refused (INV-STOP).
    """
    try:
        files.sync_directory(path)
    except OSError as error:
        raise durability_failure(path, error) from error


def durability_failure(path: Path, error: OSError) -> DurabilityFailure:
    """The error that stops the node."""
    return DurabilityFailure(
        f"{path}: cannot be made durable: {error.strerror}; what is on the disk is unknown, the "
        "node stops: check the disk and start it again"
    )


def disk_full(directory: Path) -> DiskFull:
    """The refusal of a write that has no room."""
    return DiskFull(
        f"{directory}: no space left on the disk; free some or add a chunkserver",
        path=str(directory),
    )


def bad_block(chunk_id: int, block: int) -> CorruptionError:
    """The refusal of a block that is not what was written."""
    return CorruptionError(
        f"chunk {chunk_id}: block {block} does not match its checksum; another replica is used "
        "and this one is made again",
        chunk_id=chunk_id,
        block=block,
    )


def read_all(fd: int, offset: int, size: int) -> bytes:
    """*size* bytes at *offset*, fewer only at the end of the file."""
    found = os.pread(fd, size, offset)
    if len(found) == size or not found:
        return found
    # A short read in the middle of a file is rare (a signal, or the end of a torn file).
    parts = [found]
    while found and size > (have := sum(map(len, parts))):
        found = os.pread(fd, size - have, offset + have)
        parts.append(found)
    return b"".join(parts)


def direct_span(offset: int, size: int) -> int:
    """Bytes that a direct read of *size* bytes at *offset* has to read."""
    skipped = offset % DIRECT_ALIGN
    return -(-(skipped + size) // DIRECT_ALIGN) * DIRECT_ALIGN


def read_direct(fd: int, offset: int, size: int) -> memoryview:
    """*size* bytes at *offset* past the page cache; their `direct_span` is at most PACKET_BYTES.

    The memory is the caller's, also to write to.
    """
    skipped = offset % DIRECT_ALIGN
    buffer = WarmBuffer(direct_span(offset, size))
    wanted = memoryview(buffer)
    found = os.preadv(fd, [wanted], offset - skipped)
    return wanted[skipped : max(skipped, min(found, skipped + size))]


def read_packet(fd: int, offset: int, size: int) -> bytes | memoryview:
    """As `read_all`, without new memory for what is about as large as a packet.

    That memory is the caller's, also to write to.
    """
    if not WARM_BYTES_MIN <= size <= limits.PACKET_BYTES:
        return read_all(fd, offset, size)
    wanted = memoryview(WarmBuffer(size))
    found = os.preadv(fd, [wanted], offset)
    return wanted if found == size else read_all(fd, offset, size)
