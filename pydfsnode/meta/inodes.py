"""Files, directories and chunks as they lie in memory; the same objects encode to their rows.

`gc=False`: they cannot be part of a cycle, and a collection must not visit millions of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

OPEN_TO_NOBODY = 0
"""`File.holder` of a closed file."""


class Inode(msgspec.Struct, array_like=True, gc=False):
    """What files and directories share. `parent_id` of the root is its own id; its name is ""."""

    inode_id: int
    parent_id: int
    name: str
    mode: int
    owner: str
    group: str
    mtime_ms: int
    ctime_ms: int


class File(Inode, array_like=True, tag=1, gc=False):
    """A file. `size` and `crc32c` run over its finished chunks; only the last chunk can be open.

    `holder` is the client id of the one writer, OPEN_TO_NOBODY once closed.
    """

    replication: int
    chunk_bytes: int
    holder: int
    size: int
    crc32c: int
    chunks: list[int]


class Directory(Inode, array_like=True, tag=2, gc=False):
    """A directory; its entries are the inodes that name it as parent (`Tree.entries`)."""


class Chunk(msgspec.Struct, array_like=True, gc=False):
    """A piece of a file. Until `done`, length and crc32c are 0 and `targets` is the pipeline."""

    chunk_id: int
    inode_id: int
    version: int
    length: int = 0
    crc32c: int = 0
    done: bool = False
    targets: tuple[str, ...] = ()


class ChunkDone(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A writer's word that every server of its pipeline has the chunk on disk."""

    chunk_id: int
    version: int
    length: int
    crc32c: int


AnyInode = File | Directory
NodeType = Literal["file", "directory"]
