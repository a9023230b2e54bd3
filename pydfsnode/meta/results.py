"""What the namespace answers: views for the service, and the replicated outcome of an operation."""

from __future__ import annotations

import msgspec

from pydfsnode.errors import BY_CODE, Field, PydfsError
from pydfsnode.meta.inodes import NodeType


class FileView(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=1, gc=False):
    """A file or directory as of one index. Times are the cluster's log time.

    `checksum` is "crc32c:xxxxxxxx" of the whole content of a closed file, else "".
    """

    path: str
    type: NodeType
    size: int
    replication: int
    owner: str
    group: str
    mode: int
    mtime_ms: int
    ctime_ms: int
    inode_id: int
    chunk_bytes: int
    under_construction: bool
    child_count: int
    checksum: str
    atime_ms: int = 0
    has_acl: bool = False
    inline: bool = False


class ChunkAllocated(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=2):
    """A new chunk and its pipeline; a retry gets the same ones.

    `base_id`: the file's last chunk, with whose bytes it begins; 0: it begins empty.
    """

    chunk_id: int
    version: int
    targets: tuple[str, ...]
    base_id: int = 0
    base_version: int = 0
    base_length: int = 0
    base_crc32c: int = 0


class Removed(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=3, gc=False):
    """How many files and directories are gone."""

    inodes: int


class Appended(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=4):
    """A file reopened for its caller; `content_id` of its inline content, 0: it has none.

    The caller writes that content again, in front of what it appends.
    """

    view: FileView
    content_id: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag=5, gc=False):
    """It is done, and there is nothing to tell."""


class LocatedChunk(msgspec.Struct, frozen=True, gc=False):
    """A finished chunk; `offset` is that of its first byte in the file. Version 0: inline."""

    chunk_id: int
    version: int
    offset: int
    length: int
    crc32c: int
    done: bool


class Listing(msgspec.Struct, frozen=True):
    """One page of a directory in byte order of the names; `more`: ask on after the last one."""

    entries: list[FileView]
    more: bool


class Found(msgspec.Struct, frozen=True):
    """One step of a search; `more`: ask on with `next`, also when nothing was found."""

    entries: list[FileView]
    more: bool
    next: str


class Summary(msgspec.Struct, frozen=True):
    """A subtree with its top. `bytes_replicated` counts all wanted replicas; quotas 0: none."""

    directories: int
    files: int
    bytes: int
    bytes_replicated: int
    names_max: int = 0
    bytes_max: int = 0


class WantedChunk(msgspec.Struct, frozen=True, array_like=True):
    """A finished chunk for the table of replicas; `targets` wrote it and will report it soon."""

    chunk_id: int
    version: int
    length: int
    replication: int
    targets: tuple[str, ...] = ()


Result = FileView | ChunkAllocated | Removed | Appended | Done


class Applied(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The operation took effect."""

    result: Result


class Rejected(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A rule said no and nothing changed. `code` is that of an error class in errors.py."""

    code: int
    message: str
    fields: dict[str, Field]

    def error(self) -> PydfsError:
        """The error to answer with."""
        return BY_CODE.get(self.code, PydfsError)(self.message, **self.fields)


Outcome = Applied | Rejected


def rejected(error: PydfsError) -> Rejected:
    """*error* as a replicated value."""
    return Rejected(error.code, error.message, error.fields)
