"""Every operation of the namespace: its tag in the log, its type, its rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydfsnode.meta.inodes import ChunkDone
from pydfsnode.meta.ops import (
    abandon,
    allocate_chunk,
    complete,
    create,
    delete,
    mkdirs,
    rename,
)
from pydfsnode.meta.ops.abandon import Abandon
from pydfsnode.meta.ops.allocate_chunk import AllocateChunk
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.ops.complete import Complete
from pydfsnode.meta.ops.create import Create
from pydfsnode.meta.ops.delete import Delete
from pydfsnode.meta.ops.mkdirs import Mkdirs
from pydfsnode.meta.ops.rename import Rename
from pydfsnode.meta.results import Result
from pydfsnode.meta.tree import Tree

AnyOp = Mkdirs | Create | AllocateChunk | Complete | Abandon | Delete | Rename

OPS: dict[int, type[Op]] = {
    1: Mkdirs,
    2: Create,
    3: AllocateChunk,
    4: Complete,
    5: Abandon,
    6: Delete,
    7: Rename,
}
"""Tag in the log to type; a tag is never reused."""

RULES: dict[type[Op], Callable[[Tree, Any], Result]] = {
    Mkdirs: mkdirs.apply,
    Create: create.apply,
    AllocateChunk: allocate_chunk.apply,
    Complete: complete.apply,
    Abandon: abandon.apply,
    Delete: delete.apply,
    Rename: rename.apply,
}

__all__ = [
    "OPS",
    "RULES",
    "Abandon",
    "AllocateChunk",
    "AnyOp",
    "ChunkDone",
    "Complete",
    "Create",
    "Delete",
    "Mkdirs",
    "Op",
    "Rename",
]
