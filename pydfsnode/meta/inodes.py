"""What lies in memory beside the inode records of `_fast.InodeTable`: flags, chunks, open files."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

HAS_ACL = 1
"""`Inode.flags`: mode bits alone do not say who may pass; `InodeTable.find` looks at it."""
IS_OPEN = 2
"""A file that somebody writes: it has a row in `Tree.open_files`."""
IS_INLINE = 4
"""A file whose content lies in the state table, as its one chunk of version INLINE."""
HAS_EXTRAS = 8
"""It has a row in `Tree.extras`."""
HAS_SNAPSHOTS = 16
"""A directory with snapshots of its own."""

Natural = Annotated[int, msgspec.Meta(ge=0)]
"""A number of a row: decoding one that is negative fails."""

INLINE = 0
"""The version of a chunk whose bytes lie in the state table; chunkservers begin at 1."""


class OpenFile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The one writer of a file, and the chunk that it writes; `chunk_id` 0: none.

    `targets` is the pipeline. `replaces_inline`: the writer was given the inline content and writes
    it again, so that it goes when the first chunk is finished. `reopened`: there was a file before.
    `replaces`: the finished last chunk whose bytes the open one begins with; 0: none. It stays the
    file's, with its replicas, until the open one is finished in its place.
    """

    holder: Natural
    chunk_id: Natural = 0
    version: Natural = 0
    targets: tuple[str, ...] = ()
    replaces_inline: bool = False
    reopened: bool = False
    replaces: Natural = 0


RECOVERING = 0
"""As `OpenFile.holder`: the writer is gone, and the masters find out what it left."""


class Extras(msgspec.Struct, frozen=True, array_like=True):
    """What few inodes have. Quotas: 0 is none; bytes count every wanted replica.

    Entries of ACLs are canonical: "user:alice:rwx", "group:eng:r-x", "mask::rwx".
    """

    xattrs: dict[str, bytes] = {}
    acl: tuple[str, ...] = ()
    default_acl: tuple[str, ...] = ()
    names_max: Natural = 0
    bytes_max: Natural = 0


class Doomed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A tree that was deleted and waits to be dropped bit by bit; by the id of its top."""

    since_ms: Natural


class ChunkDone(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A writer's word that every server of its pipeline has the chunk on disk."""

    chunk_id: int
    version: int
    length: int
    crc32c: int


class Chunk(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A piece of a file, for those outside. Until `done`, length and crc32c are 0."""

    chunk_id: int
    inode_id: int
    version: int
    length: int
    crc32c: int
    done: bool
    targets: tuple[str, ...] = ()


NodeType = Literal["file", "directory"]
