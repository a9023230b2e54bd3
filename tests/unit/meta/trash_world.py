"""A namespace in which bob has something to throw away."""

from __future__ import annotations

from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS

from .harness import Harness

BOB = "bob:eng"
CURRENT = "/user/bob/.Trash/Current"
DAY_MS = 86_400_000


def world() -> Harness:
    """/w, where bob may write, with /w/d/f and /w/g of his own."""
    harness = Harness()
    harness.now_ms = 1_780_000_000_000
    harness.mkdirs("/w", 0o777)
    harness.mkdirs("/w/d", user=BOB)
    harness.write("/w/d/f", 10, user=BOB)
    harness.write("/w/g", 20, user=BOB)
    return harness


def throw(harness: Harness, path: str, user: str = BOB) -> str:
    """Move it to the trash; where it is then."""
    return str(harness.run(ops.MoveToTrash, path, user=user).path)


def restore(harness: Harness, path: str, user: str = BOB) -> str:
    return str(harness.run(ops.RestoreTrash, path, user=user).path)


def tree_of(harness: Harness, path: str) -> list[str]:
    """All paths below *path*."""
    found: list[str] = []
    for entry in queries.list_directory(harness.namespace, path, NOBODY_ASKS).entries:
        found.append(entry.path)
        if entry.type == "directory":
            found += tree_of(harness, entry.path)
    return found


def roll(harness: Harness, *users: str, roll_ms: int = 3_600_000) -> int:
    return int(harness.run(ops.RollTrash, roll_ms, DAY_MS, users, user="root").inodes)
