"""Inodes in C records: what a namespace of millions holds."""

from collections.abc import Callable
from typing import Final, final

CHUNKS_PER_PAGE: int
"""Chunks of one row; the last, unfinished page of a file lies in its inode's row."""
INODES_PER_BLOCK: int
"""Inode ids of one row: block = inode_id // 8."""

@final
class Inode:
    """A file or directory of an `InodeTable`: a handle that reads and writes its record.

    What is `Final` cannot be set. Handles are made on demand and not kept across operations; two
    of one inode are equal (==, hash by id). Using one of a discarded inode raises RuntimeError.
    """

    inode_id: Final[int]
    parent_id: Final[int]
    """The root's is its own id; 0: linked nowhere (detached)."""
    name: Final[str]
    """As given; "" for the root. A detached inode keeps its last one."""
    is_file: Final[bool]
    is_directory: Final[bool]
    mode: int  # 0 to 0o7777
    owner: str
    group: str
    mtime_ms: int  # signed 64 bit, like the two others
    atime_ms: int
    ctime_ms: int
    flags: int  # 8 bits of the caller's; 1 = HAS_ACL is looked at by `find`
    born: int  # u32 of the caller's
    changed: int  # u32 of the caller's
    crc32c: int  # of a file's whole content; 0 for directories
    size: Final[int]
    replication: Final[int]
    chunk_bytes: Final[int]
    chunk_count: Final[int]
    child_count: Final[int]
    # Everything below, at any depth. Of a file: itself.
    files_below: Final[int]
    directories_below: Final[int]
    bytes_below: Final[int]
    space_below: Final[int]
    """The sum of size * replication."""

@final
class InodeTable:
    """All inodes by id, by parent and name, in order within each directory; chunk id -> inode id.

    Names are ordered by the bytes of their UTF-8. Every method is O(depth + log entries) unless it
    says. A new table is empty: the root is made with `add_root`, or everything is loaded.
    """

    def __init__(self, seed: int = 0) -> None: ...
    def __len__(self) -> int: ...
    file_count: Final[int]
    directory_count: Final[int]
    chunk_count: Final[int]
    memory_bytes: Final[int]

    # ---- looking
    def get(self, inode_id: int) -> Inode | None: ...
    def child(self, directory: Inode, name: str) -> Inode | None: ...
    def parent(self, inode: Inode) -> Inode | None: ...
    def find(
        self, path: str, may_pass: Callable[[Inode], object] | None = None
    ) -> tuple[Inode, int] | None: ...
    def path(self, inode: Inode) -> str: ...
    def is_attached(self, inode: Inode) -> bool: ...
    def is_within(self, inode: Inode, top: Inode) -> bool: ...
    def page(self, directory: Inode, after: str, count: int) -> list[Inode]: ...
    def first_child(self, directory: Inode) -> Inode | None: ...
    def inode_ids(self) -> list[int]: ...
    def flagged(self, flags: int) -> list[int]: ...
    def chunk_ids(self) -> list[int]: ...

    # ---- the tree
    def add_root(self, inode_id: int, mode: int, owner: str, group: str) -> Inode: ...
    def add_directory(
        self,
        parent: Inode,
        name: str,
        inode_id: int,
        mode: int,
        owner: str,
        group: str,
        now_ms: int,
        born: int,
    ) -> Inode: ...
    def add_file(
        self,
        parent: Inode,
        name: str,
        inode_id: int,
        mode: int,
        owner: str,
        group: str,
        now_ms: int,
        born: int,
        replication: int,
        chunk_bytes: int,
    ) -> Inode: ...
    def unlink(self, inode: Inode) -> None: ...
    def link(self, parent: Inode, inode: Inode, name: str) -> None: ...
    def discard(self, inode: Inode) -> None: ...

    # ---- content of files: a chunk is (id, version, length, crc32c)
    def append_chunk(
        self, file: Inode, chunk_id: int, version: int, length: int, crc32c: int
    ) -> None: ...
    def pop_chunk(self, file: Inode) -> tuple[int, int, int, int]: ...
    def pop_chunks(self, file: Inode, count: int) -> list[tuple[int, int, int, int]]: ...
    def chunks_beyond(self, file: Inode, size: int) -> tuple[int, int]: ...
    def joined_crc32c(self, file: Inode) -> int: ...
    def chunk(self, file: Inode, position: int) -> tuple[int, int, int, int]: ...
    def chunks(self, file: Inode) -> list[tuple[int, int, int, int]]: ...
    def holder_of(self, chunk_id: int) -> int: ...
    def set_replication(self, file: Inode, replication: int) -> None: ...

    # ---- rows
    def encode(self, inode_id: int) -> bytes: ...
    def encode_block(self, block: int) -> bytes | None: ...
    def encode_page(self, inode_id: int, page: int) -> bytes | None: ...
    def encode_span(self, first: int, count: int, pages: int, turn: int) -> bytes: ...
    def load_block(self, block: int, row: bytes) -> None: ...
    def load_page(self, inode_id: int, page: int, row: bytes) -> None: ...
    def finish_load(self, root_id: int, next_inode_id: int, next_chunk_id: int) -> list[int]: ...
