"""How long a chunkserver with many chunks takes to know what it holds, without reading data.

    python bench/macro/chunk_start.py [--chunks 200000] [--packed] [--directory DIR]

The chunk files have the right names and sizes and no blocks (sparse); packed ones are real.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pydfsnode._fast import block_checksums, crc32c
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.storage import chunk_format
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_format import Tail
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.segment_format import Record

PACKED_BYTES = 1000
FILE_BYTES = 64 * MIB


def make_files(disk: ChunkDisk, count: int) -> None:
    """Files as large as those of full chunks."""
    size = FILE_BYTES + chunk_format.tail_bytes(FILE_BYTES)
    for chunk_id in range(1, count + 1):
        fd = os.open(disk.layout.path(chunk_id, 1), os.O_CREAT | os.O_WRONLY)
        os.ftruncate(fd, size)
        os.close(fd)


def make_packed(disk: ChunkDisk, count: int) -> None:
    """Small chunks in segments."""
    data = bytes(PACKED_BYTES)
    tail = Tail(crc32c(data), block_checksums(data, BLOCK_BYTES))
    records = [Record(n, 1, PACKED_BYTES, tail, [data]) for n in range(1, count + 1)]
    for start in range(0, count, 4096):
        disk.segments.append(records[start : start + 4096])
    disk.segments.close()


def measure(directory: Path) -> dict[str, float]:
    """One start."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    held = ChunkReplicas([ChunkDisk(directory)], lambda: None)
    held.open()
    took_s = time.perf_counter() - began
    memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    return {
        "chunks": len(held.index),
        "start_s": round(took_s, 3),
        "memory_mib": round(memory_kib / 1024, 1),
    }


def main() -> None:
    """Make the chunks, then start over them in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=200_000)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--measure", type=Path)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as made:
        disk = ChunkDisk(Path(made))
        disk.open()
        (make_packed if options.packed else make_files)(disk, options.chunks)
        for _ in range(2):
            again = [sys.executable, __file__, "--measure", made]
            subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
