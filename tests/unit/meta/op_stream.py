"""A long stream of operations from one seed; run as a program it prints the state hash."""

from __future__ import annotations

import random
import sys

from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.results import Applied, ChunkAllocated, FileView
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.state import Namespace

BOUNDS = SessionBounds(
    sessions=6, outcomes=40, outcomes_per_session=8, dormant=4, idle_ms=300, idle_ms_min=30
)


def run(seed: int, count: int) -> Namespace:
    rng = random.Random(seed)
    namespace = Namespace(BOUNDS)
    open_files: list[tuple[int, int, int]] = []  # client, inode, chunk
    seqs: dict[int, int] = {}
    clock = 0
    sent: list[ops.AnyOp] = []
    for _ in range(count):
        clock += rng.randrange(20)
        if sent and rng.random() < 0.1:
            op = rng.choice(sent[-20:])
        else:
            op = make(rng, seqs, open_files, clock)
            sent.append(op)
        outcome = namespace.apply(decode_op(encode_op(op)), namespace.applied_index + 1)
        if isinstance(outcome, Applied):
            note(op, outcome, open_files)
    return namespace


def make(
    rng: random.Random, seqs: dict[int, int], open_files: list[tuple[int, int, int]], clock: int
) -> ops.AnyOp:
    def path() -> str:
        return "/" + "/".join(rng.choice("abcd") for _ in range(rng.randrange(1, 4)))

    open_file = rng.choice(open_files) if open_files else (1, 1, 0)
    client = open_file[0] if rng.random() < 0.5 else rng.randrange(1, 14)
    seq = seqs[client] = seqs.get(client, 0) + 1
    head = (client, seq, max(1, seq - rng.randrange(12)), clock, f"user{rng.randrange(9)}")
    done = ops.ChunkDone(open_file[2], 1, rng.randrange(1, 99), rng.randrange(2**32))
    choices: list[ops.AnyOp] = [
        ops.Mkdirs(*head, path(), rng.randrange(0o1000)),
        ops.Create(*head, path(), 3, 1 << 20, 0, rng.random() < 0.5, rng.random() < 0.5),
        ops.AllocateChunk(
            *head, open_file[1], done if open_file[2] else None, 0, (f"c{rng.randrange(5)}",)
        ),
        ops.Complete(*head, open_file[1], done if open_file[2] else None),
        ops.Complete(*head, open_file[1], None, open_file[2]),
        ops.Abandon(*head, open_file[1]),
        ops.Delete(*head, path(), rng.random() < 0.3),
        ops.Rename(*head, path(), path()),
    ]
    return rng.choices(choices, weights=[4, 6, 6, 3, 1, 1, 1, 3])[0]


def note(op: ops.AnyOp, outcome: Applied, open_files: list[tuple[int, int, int]]) -> None:
    if isinstance(op, ops.Create) and isinstance(outcome.result, FileView):
        open_files.append((op.client_id, outcome.result.inode_id, 0))
        del open_files[:-8]
    elif isinstance(op, ops.AllocateChunk) and isinstance(outcome.result, ChunkAllocated):
        open_files[:] = [f for f in open_files if f[1] != op.inode_id]
        open_files.append((op.client_id, op.inode_id, outcome.result.chunk_id))


if __name__ == "__main__":
    print(run(int(sys.argv[1]), int(sys.argv[2])).state_hash().hex())
