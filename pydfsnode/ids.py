"""Names for the integers and strings that identify things, so that they cannot be mixed up."""

from __future__ import annotations

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
