"""What clients of a simulated cluster ask for: chosen at random, as an operation, as a result."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from pydfsnode._fast import crc32c
from pydfsnode.errors import (
    AlreadyExists,
    FileUnderConstruction,
    IsADirectory,
    NotADirectory,
    NotFound,
    SessionExpired,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.inodes import INLINE
from pydfsnode.meta.results import Applied, FileView, Rejected
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import NamespaceMachine
from tests.support.linearizability import UNKNOWN
from tests.support.sim.directory_model import READS, past
from tests.support.sim.plan import Plan

NAMES = ("a", "b", "c")
SNAPSHOTS = ("s", "t")
CHUNK_BYTES = 1 << 20
LARGE_BYTES = 2000
"""Enough to be compressed."""
USER = "u:supergroup"
BRANCHES = 3
DEPTH = 9
"""A grown branch: with it a tree is more than goes at once (`simulation.PATCHED`)."""
_WEIGHTS = {
    "stat": 26, "read": 14, "create": 10, "put": 17, "delete": 12, "rename": 9, "mkdir": 4,
    "grow": 5, "chown": 4, "touch": 4, "snap": 4, "unsnap": 3, "trash": 5, "expunge": 1,
}  # fmt: skip
_SEEN_AS = {
    NotFound.code: "absent",
    AlreadyExists.code: "exists",
    IsADirectory.code: "exists",
    NotADirectory.code: "exists",
    FileUnderConstruction.code: "busy",
}

Call = tuple[Any, ...]


def is_read(call: Call) -> bool:
    """Whether *call* changes nothing and is no operation of the log."""
    return call[0] in READS


def chosen(rng: random.Random, plan: Plan, text: str) -> Call:
    """A call within one directory; *text* tells it from all others."""
    verb = rng.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))[0]
    name = rng.choice(NAMES)
    if verb in READS:
        name = past(rng.choice(SNAPSHOTS), name) if rng.random() < 0.25 else name
        return verb, name, rng.choice(plan.reads)
    if verb in ("create", "mkdir", "grow", "chown", "touch"):
        return verb, name, text
    if verb == "put":
        is_large = plan.has("large") and rng.random() < 0.5
        content = text + "x" * LARGE_BYTES if is_large else text
        return verb, name, text, content, rng.random() < 0.6
    if verb == "rename":
        return verb, name, rng.choice(NAMES), rng.random() < 0.6
    if verb in ("snap", "unsnap"):
        return verb, rng.choice(SNAPSHOTS)
    return verb, name


def encoded(client_id: int, seq: int, wall_ms: int, directory: str, call: Call) -> bytes:
    """*call* as operation *seq* of a session, admitted at *wall_ms*."""
    # Everything before is answered or given up: a client asks for one thing at a time.
    head = (client_id, seq, seq, wall_ms)
    verb, path = call[0], f"{directory}/{call[1]}"
    op: ops.AnyOp
    if verb == "create":
        op = ops.Create(*head, as_user(call[2]), path, 3, CHUNK_BYTES, create_parents=True)
    elif verb == "put":
        op = ops.CreateInline(
            *head, as_user(call[2]), path, 3, CHUNK_BYTES, overwrite=call[4], create_parents=True,
            content=call[3].encode(),
        )  # fmt: skip
    elif verb == "mkdir":
        op = ops.Mkdirs(*head, as_user(call[2]), path)
    elif verb == "grow":
        op = ops.Mkdirs(*head, as_user(call[2]), f"{path}{f'/{seq % BRANCHES}' * DEPTH}")
    elif verb == "delete":
        op = ops.Delete(*head, USER, path, recursive=True)
    elif verb == "rename":
        op = ops.Rename(*head, USER, path, f"{directory}/{call[2]}", call[3])
    elif verb == "chown":
        op = ops.SetOwner(*head, USER, path, call[2])
    elif verb == "touch":
        op = _touching(head, path, call[2])
    elif verb == "trash":
        op = ops.MoveToTrash(*head, USER, path)
    elif verb == "expunge":
        op = ops.EmptyTrash(*head, USER)
    elif verb == "snap":
        op = ops.CreateSnapshot(*head, USER, directory, call[1])
    else:
        op = ops.DeleteSnapshot(*head, USER, directory, call[1])
    return encode_op(op)


def as_user(name: str) -> str:
    """*name* as a superuser, who may write into the root."""
    return f"{name}:supergroup"


def _touching(head: tuple[int, int, int, int], path: str, text: str) -> ops.AnyOp:
    """One of the changes of attributes that no read of the model sees; states are compared."""
    kind = head[1] % 4
    if kind == 0:
        return ops.SetMode(*head, USER, path, 0o700 + head[1] % 64)
    if kind == 1:
        return ops.SetTimes(*head, USER, path, head[1], head[1])
    if kind == 2:
        return ops.SetXattr(*head, USER, path, f"user.{head[1] % 3}", text.encode())
    return ops.SetAcl(*head, USER, path, (f"user:v{head[1] % 3}:r--",), "modify")


def as_result(call: Call, outcome: object) -> object:
    """What the model calls *outcome*."""
    if isinstance(outcome, Rejected):
        if outcome.code == SessionExpired.code:
            return UNKNOWN  # the outcome is forgotten: it may have happened
        return _SEEN_AS.get(outcome.code, f"error {outcome.code}: {outcome.message}")
    assert isinstance(outcome, Applied)
    if call[0] == "mkdir":
        assert isinstance(outcome.result, FileView)
        return outcome.result.owner
    return "ok"


def looked_up(machine: NamespaceMachine, path: str, verb: str) -> str | None:
    """The owner, or for "read" the content, of what lies at *path*; None when nothing does.

    Raises:
        PydfsError: the content of a small file cannot be read here.
    """
    namespace = machine.namespace
    try:
        if verb == "stat":
            return queries.stat(namespace, path, NOBODY_ASKS).owner
        _, chunks = queries.locate(namespace, path, NOBODY_ASKS)
    except NotFound:
        return None
    except IsADirectory:
        return "dir"
    return b"".join(machine.read_inline(chunk.chunk_id) for chunk in chunks).decode()


def contents(namespace: Namespace) -> Iterator[tuple[int, int, int]]:
    """(content id, length, crc32c) of every small file, and of those that only snapshots hold."""
    seen: set[int] = set()
    table, history = namespace.tree.table, namespace.tree.history
    present = filter(None, map(table.get, table.inode_ids()))
    for chunks in (
        *(table.chunks(inode) for inode in present if inode.is_file),
        *(past_inode.chunks for past_inode in history.index.inodes.rows.values()),
    ):
        for chunk_id, version, length, crc in chunks:
            if version == INLINE and chunk_id not in seen:
                seen.add(chunk_id)
                yield chunk_id, length, crc


def is_content(content: bytes | None, length: int, crc: int) -> bool:
    """Whether *content* is the one that the namespace describes."""
    return content is not None and len(content) == length and crc32c(content) == crc
