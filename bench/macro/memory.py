"""What a file of one chunk with three replicas takes of a master's memory, and where it goes.

    python -m bench.macro.memory [--files 1000000]

In one process, without network and disk: the operations of a writer (create, allocate, complete)
go through the namespace, and three chunkservers report the chunk. The figure is the growth of the
resident set from a tenth of the files to all of them, divided by the files between.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from typing import cast

from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.meta import ops
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import Applied
from pydfsnode.meta.state import Namespace

SERVERS = ("c1", "c2", "c3")
PER_DIRECTORY = 1000
CHUNK_BYTES = 64 << 20
FILE_BYTES = 1_000_000
DRAIN_EVERY = 4096
USER = "alice:eng,supergroup"


def resident_bytes() -> int:
    """Resident set of this process."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Master:
    """The state of a master, fed as its log feeds it."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.replicas = ReplicaMap()
        for name in SERVERS:
            self.replicas.server_live(name)
        self._seq = 0

    def apply(self, kind: type[Op], *fields: object) -> None:
        """Apply one operation; it must succeed."""
        self._seq += 1
        at_ms = 1_700_000_000_000 + self._seq
        op = cast(ops.AnyOp, kind(7, self._seq, self._seq, at_ms, USER, *fields))
        outcome = self.namespace.apply(op, self.namespace.applied_index + 1)
        assert isinstance(outcome, Applied), outcome
        if self._seq % DRAIN_EVERY == 0:
            self.namespace.drain_rows()
            self.namespace.digest_interval()

    def make_file(self, number: int) -> None:
        """A file of one finished chunk with three replicas."""
        tree = self.namespace.tree
        inode_id, chunk_id = tree.next_inode_id, tree.next_chunk_id
        path = f"/many/{number // PER_DIRECTORY:06d}/file-{number:010d}"
        if number % PER_DIRECTORY == 0:
            self.apply(ops.Mkdirs, path.rpartition("/")[0])
            inode_id = tree.next_inode_id
        self.apply(ops.Create, path, 3, CHUNK_BYTES)
        self.apply(ops.AllocateChunk, inode_id, None, 0, SERVERS)
        done = ops.ChunkDone(chunk_id, 1, FILE_BYTES, number)
        self.apply(ops.Complete, inode_id, done)
        for wanted in self.namespace.drain_changed_chunks():
            self.replicas.want(
                wanted.chunk_id, wanted.version, wanted.length, wanted.replication, wanted.targets
            )
        for name in SERVERS:
            self.replicas.add(name, chunk_id, 1, FILE_BYTES)


def main() -> None:
    """Print one figure a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=1_000_000)
    files = parser.parse_args().files
    master, low = Master(), files // 10
    for number in range(low):
        master.make_file(number)
    tables_low = master.namespace.tree.table.memory_bytes, master.replicas.memory_bytes
    resident_low = resident_bytes()
    for number in range(low, files):
        master.make_file(number)
    grown = resident_bytes() - resident_low
    tables = master.namespace.tree.table.memory_bytes, master.replicas.memory_bytes
    inodes, replicas = (
        (high - before) / (files - low) for high, before in zip(tables, tables_low, strict=True)
    )
    each = grown / (files - low)
    for name, value in (
        ("resident_bytes_per_file", each),
        ("of_it_inodes_and_their_indexes", inodes),
        ("of_it_three_replicas", replicas),
        ("of_it_the_rest", each - inodes - replicas),
    ):
        sys.stdout.write(f"{name:<36}{value:>16,.1f}\n")


if __name__ == "__main__":
    main()
