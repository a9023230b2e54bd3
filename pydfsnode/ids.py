"""Names for the integers and strings that identify things, so that they cannot be mixed up."""

from __future__ import annotations

import re
from typing import NewType

NodeId = NewType("NodeId", str)
"""A node's name, unique in the cluster: the last part of its certificate's URI."""
Term = NewType("Term", int)
Index = NewType("Index", int)
"""Position in the Raft log; the first entry has index 1."""
InodeId = NewType("InodeId", int)
ChunkId = NewType("ChunkId", int)
Epoch = NewType("Epoch", int)
"""Fencing token: the Raft term in which a master issued a command."""

ROOT_INODE_ID = InodeId(1)

RACK_CHARS_MAX = 255
RACK_LEVELS_MAX = 8
_RACK_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def rack_parts(rack: str) -> tuple[str, ...]:
    """The domains of a rack, from the widest: ("dc1", "r7") of "/dc1/r7"; "" is "/default".

    The slash in front may be left out.

    Raises:
        ValueError: saying what is wrong with it.
    """
    parts = tuple((rack.removeprefix("/") or "default").split("/"))
    if len(rack) > RACK_CHARS_MAX:
        raise ValueError(f"it has {len(rack)} characters, {RACK_CHARS_MAX} are the most")
    if len(parts) > RACK_LEVELS_MAX:
        raise ValueError(f"it has {len(parts)} levels, {RACK_LEVELS_MAX} are the most")
    for part in parts:
        if not _RACK_PART.fullmatch(part):
            raise ValueError(
                f"'{part}' is no name: each level has 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-' and "
                "does not begin with '.'"
            )
    return parts
