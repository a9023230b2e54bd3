"""A long stream of operations from one seed; run as a program it prints hashes of the state."""

from __future__ import annotations

import random
import sys
from typing import Any

from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.results import Appended, Applied, ChunkAllocated, FileView, Outcome
from pydfsnode.meta.rolling_digest import WINDOW_MS, WINDOWS_MAX
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.trust import Signer

BOUNDS = SessionBounds(
    sessions=6, outcomes=40, outcomes_per_session=8, dormant=4, idle_ms=300, idle_ms_min=30
)
START_MS = 1_700_000_000_000
USERS = ["root", "root", "root", "alice:eng", "bob:eng,ops"]
MIB = 1 << 20
WEIGHTS = {
    "Mkdirs": 4, "Create": 6, "AllocateChunk": 8, "Complete": 5, "Rename": 3, "CreateInline": 3,
    "Append": 2, "Truncate": 2, "CreateSnapshot": 2, "DeleteSnapshot": 2, "CreateKeyed": 5,
    "SetXattr": 2, "ForgetKeys": 2, "SetAuthority": 2,
}  # fmt: skip
"""How often each operation comes; others once."""


class Stream:
    """Operations that come from *seed* and from the outcomes that `note` is told."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock_ms = START_MS
        self.seqs: dict[int, int] = {}
        self.open_files: list[tuple[int, int, int, str]] = []  # client, inode, chunk, path
        self.sent: list[ops.AnyOp] = []
        self.kinds: dict[str, Any] = {kind.__name__: kind for kind in ops.OPS.values()}
        self.weights = [WEIGHTS.get(name, 1) for name in self.kinds]

    def next(self) -> ops.AnyOp:
        """Another operation, or one of the last again."""
        rng = self.rng
        self.clock_ms += rng.randrange(20) if rng.random() > 0.002 else 700_000
        if self.sent and rng.random() < 0.1:
            return rng.choice(self.sent[-20:])
        (name,) = rng.choices(list(self.kinds), self.weights)
        client, inode_id, chunk_id, path = self._open_file()
        seq = self.seqs[client] = self.seqs.get(client, 0) + 1
        first_unacked = max(1, seq - rng.randrange(12))
        head = client, seq, first_unacked, self.clock_ms, rng.choice(USERS)
        made: ops.AnyOp = self.kinds[name](*head, *self._fields(name, inode_id, chunk_id, path))
        self.sent.append(made)
        return made

    def note(self, op: ops.AnyOp, outcome: Outcome) -> None:
        """What became of *op*."""
        if not isinstance(outcome, Applied):
            return
        result = outcome.result
        if isinstance(op, ops.Create | ops.CreateChunked) and isinstance(result, FileView):
            self._opened(op.client_id, result.inode_id, 0, op.path)
        elif isinstance(result, Appended):
            self._opened(op.client_id, result.view.inode_id, 0, result.view.path)
        elif isinstance(op, ops.AllocateChunk) and isinstance(result, ChunkAllocated):
            paths = [path for _, inode_id, _, path in self.open_files if inode_id == op.inode_id]
            self._opened(op.client_id, op.inode_id, result.chunk_id, *paths[:1] or ["/"])

    def _opened(self, client: int, inode_id: int, chunk_id: int, path: str) -> None:
        self.open_files = [file for file in self.open_files if file[1] != inode_id][-7:]
        self.open_files.append((client, inode_id, chunk_id, path))

    def _open_file(self) -> tuple[int, int, int, str]:
        found = self.rng.choice(self.open_files) if self.open_files else (1, 1, 0, "/")
        if self.rng.random() < 0.7:
            return found
        newest = len(self.sent) // 50  # others come, and those that are forgotten stay away
        return newest + self.rng.randrange(1, 6), *found[1:]

    def _path(self) -> str:
        return "/" + "/".join(self.rng.choice("abcd") for _ in range(self.rng.choice([1, 2, 2, 3])))

    def _fields(self, name: str, inode_id: int, chunk_id: int, held: str) -> tuple[Any, ...]:
        rng, path = self.rng, self._path()
        flags = rng.random() < 0.5, rng.random() < 0.5
        word = ops.ChunkDone(chunk_id, 1, rng.randrange(1, 99), rng.randrange(2**32))
        done = word if chunk_id else None
        layout = path, rng.randrange(1, 4), MIB, 0, *flags
        targets = (f"c{rng.randrange(5)}",)
        origin = rng.choice(["Current", "231114221320"])
        step = rng.choice(["install", "trust", "reissue", "drop", "abort", "renew"])
        signer = Signer(rng.choice("rst"), "c", "k")
        choices: dict[str, tuple[Any, ...]] = {
            "Mkdirs": (path, rng.randrange(0o1000) | 0o700),
            "Create": layout,
            "CreateChunked": (*layout, targets),
            "AllocateChunk": (inode_id, rng.choice([done, None]), 0, targets, flags[0]),
            "RecordChunk": (inode_id, word),
            "ResumeChunk": (inode_id, chunk_id, targets),
            "FinishRecovery": (inode_id, rng.choice([done, None])),
            "Complete": (inode_id, *rng.choice([(done, 0), (done, 0), (None, chunk_id)])),
            "Abandon": (inode_id,),
            "Delete": (path, flags[0]),
            "Rename": (path, self._path(), flags[0]),
            "CreateInline": (*layout, rng.randbytes(rng.randrange(9))),
            "CreateKeyed": (*layout, rng.randbytes(32), targets, rng.choice([b"in", None])),
            "Append": (path,),
            "Truncate": (held if flags[0] else path, rng.randrange(2) * rng.randrange(200), None),
            "Concat": (path, (path.rpartition("/")[0] + "/" + rng.choice("abcd"),)),
            "SetReplication": (path, rng.randrange(1, 4)),
            "SetOwner": (path, rng.choice(["alice", "bob"]), rng.choice(["eng", ""])),
            "SetMode": (path, rng.randrange(0o2000) | 0o700),
            "SetTimes": (path, rng.randrange(-1, 99), rng.randrange(-1, 99)),
            "SetXattr": rng.choice(
                [
                    (path, f"user.{rng.randrange(3)}", rng.randbytes(3), False, False),
                    (path, "trusted.seal", rng.choice([b"file", b"file", b"on"]), False, False),
                ]
            ),
            "RemoveXattr": (path, f"user.{rng.randrange(3)}"),
            "SetAcl": (path, (rng.choice(["user:bob:r-x", "default:group:eng:rwx"]),), "modify"),
            "SetQuota": (path, rng.choice([0, 0, 30]), rng.choice([0, 0, 30 * MIB])),
            "RenewLease": (),
            "RecoverLease": (held if flags[0] else path,),
            "ExpireLeases": ((inode_id, rng.randrange(1, 99)), flags[0]),
            "Reclaim": (rng.randrange(1, 9),),
            "MoveToTrash": (path,),
            "CompleteInline": (inode_id, rng.randbytes(rng.randrange(9))),
            "RollTrash": (rng.randrange(999), rng.randrange(99_999), ("alice", "root", "bob")),
            "EmptyTrash": (),
            "RestoreTrash": (f"/user/{rng.choice(['root', 'alice'])}/.Trash/{origin}{path}",),
            "CreateSnapshot": (path, rng.choice("st")),
            "DeleteSnapshot": (path, rng.choice("st")),
            "RenameSnapshot": (path, "s", rng.choice("st")),
            **self._orders(targets, step, signer),
        }
        return choices[name]

    def _orders(
        self, targets: tuple[str, ...], step: str, signer: Signer
    ) -> dict[str, tuple[Any, ...]]:
        """Fields of what operators and the masters themselves order."""
        rng = self.rng
        return {
            "SetDuty": (targets, rng.choice(["decommissioning", "maintenance", "in service"]), 9),
            "SetSafeMode": (rng.random() < 0.02,),
            "SetBalance": (rng.choice([0, *range(1, 20)]), 1 << 20),
            "RevokeCertificates": ((f"{rng.randrange(1, 99):x}",), "lost"),
            "AddJoinToken": (
                f"{rng.randrange(3):016x}",
                "1" * 64,
                "chunkserver",
                "c4",
                (),
                START_MS + rng.randrange(9_999_999),
            ),
            "UseJoinToken": (f"{rng.randrange(3):016x}", "1" * 64, f"{rng.randrange(2):064x}"),
            "AddChunkKey": (rng.randrange(1, 4), bytes([rng.randrange(256)]) * 32),
            "DropChunkKeys": (rng.randrange(4),),
            "ForgetKeys": (rng.randrange(1, 4),),
            "MarkAudit": (
                "n",
                f"{rng.randrange(3):016x}",
                rng.randrange(1, 99),
                "2" * 64,
                rng.randrange(9_999_999),
                "3" * 16,
                "pem",
            ),
            "SetAuthority": (step, signer if step in ("install", "trust") else None),
        }


def stream(seed: int, count: int) -> list[ops.AnyOp]:
    """The first *count* operations; one that is applied again in the same way."""
    source, namespace = Stream(seed), Namespace(BOUNDS)
    made: list[ops.AnyOp] = []
    for index in range(1, count + 1):
        op = source.next()
        source.note(op, namespace.apply(op, index))
        made.append(op)
    return made


def run(seed: int, count: int) -> Namespace:
    """The namespace that *count* operations lead to, each through its encoding."""
    source, namespace = Stream(seed), Namespace(BOUNDS)
    for index in range(1, count + 1):
        op = source.next()
        source.note(op, namespace.apply(decode_op(encode_op(op)), index))
    return namespace


if __name__ == "__main__":
    reached = run(int(sys.argv[1]), int(sys.argv[2]))
    slices_digest = reached.digest_slices(reached.tree.clock_ms - WINDOWS_MAX * WINDOW_MS)
    print(reached.state_hash().hex(), slices_digest.hex())
