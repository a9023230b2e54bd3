"""Memory of a chunkserver while it serves 64 streams of 64 MiB chunks: 32 written, 32 read.

    python -m bench.macro.streams [--writes 32] [--reads 32] [--mib 64]

One master, one chunkserver, one replica, real processes with mutual TLS. Prints the resident
memory of the chunkserver idle, the most of it while all streams run, and exits with 1 when that is
400 MB or more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from pydfsnode.cli.dev_cluster import DevCluster
from pydfsnode.cli.processes import Process
from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.wire_chunks import open_read
from pydfsnode.config import load_client_config
from pydfsnode.limits import CHUNK_BYTES_MAX, MIB
from pydfsnode.rpc.chunk_packets import parse_packet
from pydfsnode.security.tls import TlsStore
from tests.support.process_memory import resident_bytes

ALLOWED_MB = 400
SAMPLE_S = 0.02
PIECE = bytes(range(256)) * 4096
"""What is written, again and again: 1 MiB."""


class Memory:
    """The resident memory of a process, sampled."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most_mb = 0.0

    def now_mb(self) -> float:
        """Resident now."""
        return resident_bytes(self._pid) / 1e6

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Note the most meanwhile."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            self.most_mb = max(self.most_mb, self.now_mb())
            await asyncio.sleep(SAMPLE_S)


async def write(fs: AsyncFileSystem, path: str, size: int) -> None:
    """One chunk."""
    async with await fs.open_writer(path) as file:
        for _ in range(size // MIB):
            await file.write(PIECE)


async def read(fs: AsyncFileSystem, pool: ConnectionPool, path: str, size: int) -> None:
    """One chunk in one stream; a reader of a file would ask for several parts of it at once."""
    (chunk,) = (await fs.locations(path)).chunks
    (server,) = chunk.replicas
    peer = pool.channel("chunkserver", server.node_id, server.listen)
    stream = await open_read(peer, chunk.chunk_id, chunk.version, 0, size, chunk.capability)
    left = size
    while (packet := await stream.receive()) is not None:
        left -= len(parse_packet(packet)[1])
    assert not left, path


async def measure(
    config: Path, memory: Memory, writes: int, reads: int, size: int
) -> dict[str, float]:
    """Figures with their units."""
    settings = load_client_config(config)
    settings.timeout_ms = 300_000
    settings.replication = 1
    settings.chunk_bytes = CHUNK_BYTES_MAX
    async with await AsyncFileSystem.connect(settings) as fs:
        idle_mb = memory.now_mb()
        for number in range(reads):
            await write(fs, f"/read/{number}", size)
        pool = ConnectionPool(TlsStore.load(settings.tls))
        began_s = time.monotonic()
        async with memory.watched(), asyncio.TaskGroup() as group:
            for number in range(writes):
                group.create_task(write(fs, f"/written/{number}", size))
            for number in range(reads):
                group.create_task(read(fs, pool, f"/read/{number}", size))
        took_s = time.monotonic() - began_s
        await pool.close()
    return {
        "writes": writes,
        "reads": reads,
        "stream_mb": size / 1e6,
        "mb_per_s": round((writes + reads) * size / 1e6 / took_s, 1),
        "idle_mb": round(idle_mb, 1),
        "most_mb": round(memory.most_mb, 1),
        "after_mb": round(memory.now_mb(), 1),
        "allowed_mb": ALLOWED_MB,
    }


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description="memory of a chunkserver under many streams")
    parser.add_argument("--writes", type=int, default=32)
    parser.add_argument("--reads", type=int, default=32)
    parser.add_argument("--mib", type=int, default=64, help="of each stream, up to 64")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pydfsnode-streams-") as directory:
        cluster = DevCluster(Path(directory) / "dev")
        spec = cluster.prepare(1, 1)
        started = cluster.start(spec)
        try:
            cluster.wait_until_serving(spec, 60.0, started)
            process = Process.load(cluster.layout.pid("c1"))
            assert process is not None
            figures = asyncio.run(
                measure(
                    cluster.layout.client_config, Memory(process.pid), given.writes, given.reads,
                    given.mib * MIB,
                )
            )  # fmt: skip
        finally:
            cluster.stop(5.0)
    print(json.dumps(figures, indent=2))
    return 0 if figures["most_mb"] < ALLOWED_MB else 1


if __name__ == "__main__":
    sys.exit(main())
