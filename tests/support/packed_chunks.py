"""Small chunks packed into segments, for tests: written, read, and found again after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path

from pydfsnode._fast import crc32c
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_file_writer import ChunkFileWriter
from pydfsnode.storage.chunk_replicas import ChunkReplicas

PACK_MAX = 256 * 1024


def chunk_content(length: int, seed: int = 1) -> bytes:
    """*length* bytes that differ by *seed*."""
    return (bytes((n * seed * 31 + n // 256) % 256 for n in range(4096)) * (length // 4096 + 1))[
        :length
    ]


def open_replicas(directory: Path, segment_bytes: int | None = None) -> ChunkReplicas:
    """What a process that begins finds in *directory*; *segment_bytes* end a segment."""
    found = ChunkReplicas([ChunkDisk(directory)], lambda: None, pack_bytes_max=PACK_MAX)
    found.open()
    if segment_bytes is not None:
        found.disks.all[0].segments.segment_bytes = segment_bytes
    return found


def begin_chunk(
    held: ChunkReplicas, chunk_id: int, content: bytes, version: int = 1
) -> ChunkFileWriter:
    """A chunk with all its bytes, not finished."""
    writer = held.create(chunk_id, version, len(content))
    held.append(writer, [content[:100], content[100:]])
    return writer


def write_chunk(held: ChunkReplicas, chunk_id: int, content: bytes, version: int = 1) -> None:
    """A finished chunk."""
    assert held.finish(begin_chunk(held, chunk_id, content, version)) == crc32c(content)


def write_chunks(held: ChunkReplicas, count: int, length: int) -> None:
    """Finished chunks 0 to *count* - 1, each of `chunk_content(length, its id)`."""
    for chunk_id in range(count):
        write_chunk(held, chunk_id, chunk_content(length, chunk_id))


def read_chunk(held: ChunkReplicas, chunk_id: int, version: int = 1) -> bytes:
    """All bytes of a chunk, verified."""
    replica = held.find(chunk_id, version)
    with held.reader(replica) as reader:
        content = bytes(held.read(reader, replica, 0, replica.length))
        assert reader.tail.crc32c == crc32c(content)
        return content


def segment_files(directory: Path) -> list[Path]:
    """The segment files, the oldest first."""
    return sorted((directory / "segments").iterdir())


def crashed_copy(directory: Path, into: Path) -> ChunkReplicas:
    """What a process finds after this one was killed now."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(directory, into)
    return open_replicas(into)
