"""The inode table of `_fast/inodes.pyx` with dictionaries and sorted(); totals are counted anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydfsnode._fast import crc32c_combine  # held against its own reference
from tests.reference import inode_rows as rows
from tests.reference.inode_handles import (
    Inode,
    below,
    checked_mode,
    checked_replication,
    signed,
    unsigned,
)
from tests.reference.inode_rows import CHUNKS_PER_PAGE, INODES_PER_BLOCK, Chunk, Record

HAS_ACL = 1


class InodeTable:
    def __init__(self, seed: int = 0) -> None:
        unsigned(seed, 64)
        self.records: dict[int, Record] = {}
        self.root: Record | None = None
        self.holders: dict[int, int] = {}
        self.pages: dict[tuple[int, int], list[Chunk]] = {}
        self.loading = self.broken = False

    def __len__(self) -> int:
        return len(self.records)

    @property
    def file_count(self) -> int:
        return sum(record.is_file for record in self.records.values())

    @property
    def directory_count(self) -> int:
        return len(self) - self.file_count

    @property
    def chunk_count(self) -> int:
        return len(self.holders)

    def _check_ready(self) -> None:
        if self.loading or self.broken:
            raise RuntimeError("being loaded")

    def _own(self, inode: Inode) -> Record:
        if inode.table is not self:
            raise ValueError("of another table")
        return inode.record

    # ---- looking

    def get(self, inode_id: int) -> Inode | None:
        self._check_ready()
        record = self.records.get(unsigned(inode_id, 64))
        return None if record is None else Inode(self, record)

    def child(self, directory: Inode, name: str) -> Inode | None:
        record = self._own(directory).children.get(name)
        return None if record is None else Inode(self, record)

    def parent(self, inode: Inode) -> Inode | None:
        record = self._own(inode)
        above = record if record is self.root else record.parent
        return None if above is None else Inode(self, above)

    def find(
        self, path: str, may_pass: Callable[[Inode], object] | None = None
    ) -> tuple[Inode, int] | None:
        self._check_ready()
        if self.root is None:
            raise RuntimeError("no root")
        names = path[1:].split("/") if path != "/" else []
        try:
            if not path.startswith("/") or len(path.encode()) > 4096:
                return None
            for name in names:
                rows.check_name(name)
        except ValueError:
            return None
        record = self.root
        for position, name in enumerate(names):
            if record.is_file:
                return Inode(self, record), len(names) - position
            plain = record.mode & 0o111 == 0o111 and not record.flags & HAS_ACL
            if may_pass is not None and not plain:
                may_pass(Inode(self, record))
            if name not in record.children:
                return Inode(self, record), len(names) - position
            record = record.children[name]
        return Inode(self, record), 0

    def _chain(self, record: Record) -> Iterator[Record]:
        """*record* and all above it."""
        above: Record | None = record
        while above is not None:
            yield above
            above = above.parent

    def path(self, inode: Inode) -> str:
        names = [record.name for record in self._chain(self._own(inode))]
        return "/" + "/".join(reversed(names[:-1]))

    def is_attached(self, inode: Inode) -> bool:
        return any(record is self.root for record in self._chain(self._own(inode)))

    def is_within(self, inode: Inode, top: Inode) -> bool:
        self._own(top)
        return any(record is top.record for record in self._chain(self._own(inode)))

    def page(self, directory: Inode, after: str, count: int) -> list[Inode]:
        children, start = self._own(directory).children, after.encode()
        names = sorted(name.encode() for name in children)
        chosen = [name for name in names if name > start][: max(count, 0)]
        return [Inode(self, children[name.decode()]) for name in chosen]

    def first_child(self, directory: Inode) -> Inode | None:
        return next(iter(self.page(directory, "", 1)), None)

    def inode_ids(self) -> list[int]:
        self._check_ready()
        return sorted(self.records)

    def flagged(self, flags: int) -> list[int]:
        self._check_ready()
        unsigned(flags, 8)
        return sorted(key for key, record in self.records.items() if record.flags & flags)

    def chunk_ids(self) -> list[int]:
        self._check_ready()
        return sorted(self.holders)

    # ---- the tree

    def add_root(self, inode_id: int, mode: int, owner: str, group: str) -> Inode:
        self._check_ready()
        if self.root is not None:
            raise ValueError("a second root")
        record = self._new(inode_id, mode, owner, group)
        record.parent_id = inode_id
        self.root = self.records[inode_id] = record
        return Inode(self, record)

    def _new(self, inode_id: int, mode: int, owner: str, group: str, now_ms: int = 0) -> Record:
        if unsigned(inode_id, 64) == 0 or inode_id in self.records:
            raise ValueError(f"inode {inode_id}")
        checked_mode(mode)
        signed(now_ms)
        (owner + group).encode()
        record = Record(inode_id, False, mode=mode, owner=owner, group=group)
        record.mtime_ms = record.atime_ms = record.ctime_ms = now_ms
        return record

    def _check_free(self, parent: Record, name: str) -> None:
        if parent.is_file:
            raise ValueError("below a file")
        rows.check_name(name)
        if name in parent.children:
            raise KeyError(name)

    def _attach(self, parent: Record, record: Record, name: str) -> None:
        record.parent, record.parent_id, record.name = parent, parent.inode_id, name
        parent.children[name] = record

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
    ) -> Inode:
        record = self._new(inode_id, mode, owner, group, now_ms)
        record.born = unsigned(born, 32)
        self._check_free(self._own(parent), name)
        self._attach(parent.record, record, name)
        self.records[inode_id] = record
        return Inode(self, record)

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
    ) -> Inode:
        checked_replication(replication)
        unsigned(chunk_bytes, 32)
        inode = self.add_directory(parent, name, inode_id, mode, owner, group, now_ms, born)
        record = inode.record
        record.is_file, record.replication, record.chunk_bytes = True, replication, chunk_bytes
        return inode

    def unlink(self, inode: Inode) -> None:
        record = self._own(inode)
        if record.parent is None:
            raise ValueError("the root, or detached")
        del record.parent.children[record.name]
        record.parent, record.parent_id = None, 0

    def link(self, parent: Inode, inode: Inode, name: str) -> None:
        record = self._own(inode)
        if record.parent_id != 0:
            raise ValueError("not detached")
        if self.is_within(parent, inode):
            raise ValueError("below itself")
        self._check_free(self._own(parent), name)
        self._attach(parent.record, record, name)

    def discard(self, inode: Inode) -> None:
        record = self._own(inode)
        if record.parent_id != 0 or record.children:
            raise ValueError("linked, or not empty")
        for chunk_id, _, _, _ in record.chunks:
            del self.holders[chunk_id]
        del self.records[record.inode_id]
        record.gone = True

    # ---- content of files

    def _file(self, inode: Inode) -> Record:
        self._own(inode)
        return inode.file()

    def append_chunk(
        self, file: Inode, chunk_id: int, version: int, length: int, crc32c: int
    ) -> None:
        chunk = (
            unsigned(chunk_id, 64),
            unsigned(version, 64),
            unsigned(length, 32),
            unsigned(crc32c, 32),
        )
        record = self._file(file)
        if chunk_id == 0:
            raise ValueError("chunk 0")
        if chunk_id in self.holders:
            raise KeyError(chunk_id)
        record.chunks.append(chunk)
        self.holders[chunk_id] = record.inode_id

    def pop_chunk(self, file: Inode) -> Chunk:
        chunk = self._file(file).chunks.pop()
        del self.holders[chunk[0]]
        return chunk

    def pop_chunks(self, file: Inode, count: int) -> list[Chunk]:
        if unsigned(count, 32) > len(self._file(file).chunks):
            raise IndexError(count)
        return [self.pop_chunk(file) for _ in range(count)]

    def chunks_beyond(self, file: Inode, size: int) -> tuple[int, int]:
        size, record = unsigned(size, 64), self._file(file)
        begin, beyond = 0, []
        for _, _, length, _ in record.chunks:
            beyond += [begin] if begin + length > size else []
            begin += length
        return len(beyond), beyond[0] if beyond else begin

    def joined_crc32c(self, file: Inode) -> int:
        whole = 0
        for _, _, length, crc in self._file(file).chunks:
            whole = crc32c_combine(whole, crc, length)
        return whole

    def chunk(self, file: Inode, position: int) -> Chunk:
        chunks = self._file(file).chunks
        if position < 0:
            raise IndexError(position)
        return chunks[position]

    def chunks(self, file: Inode) -> list[Chunk]:
        return list(self._file(file).chunks)

    def holder_of(self, chunk_id: int) -> int:
        self._check_ready()
        return self.holders.get(unsigned(chunk_id, 64), 0)

    def set_replication(self, file: Inode, replication: int) -> None:
        unsigned(replication, 8)
        self._file(file).replication = checked_replication(replication)

    # ---- rows

    def encode(self, inode_id: int) -> bytes:
        inode = self.get(inode_id)
        return b"" if inode is None else rows.encode(inode.record)

    def encode_block(self, block: int) -> bytes | None:
        first = unsigned(block, 64) * INODES_PER_BLOCK
        if first >= rows.U64:
            return None
        inodes = b"".join(self.encode(first + at) for at in range(INODES_PER_BLOCK))
        return bytes([rows.FORMAT]) + inodes if inodes else None

    def encode_page(self, inode_id: int, page: int) -> bytes | None:
        inode, start = self.get(inode_id), unsigned(page, 64) * CHUNKS_PER_PAGE
        if inode is None or len(inode.record.chunks) < start + CHUNKS_PER_PAGE:
            return None
        chunks = inode.record.chunks[start : start + CHUNKS_PER_PAGE]
        return bytes([rows.FORMAT]) + rows.encode_chunks(chunks)

    def encode_span(self, first: int, count: int, pages: int, turn: int) -> bytes:
        encoded = b""
        for inode_id in range(first, first + count):
            encoded += self.encode(inode_id)
            inode = self.get(inode_id)
            held = len(inode.record.chunks) // CHUNKS_PER_PAGE if inode is not None else 0
            for at in range(min(held, pages)):
                page = self.encode_page(inode_id, (turn * pages + at) % held)
                assert page is not None
                encoded += page[1:]
        return encoded

    def _begin_load(self) -> None:
        if self.broken or (self.records and not self.loading):
            raise RuntimeError("not an empty table")
        self.loading = self.broken = True

    def load_block(self, block: int, row: bytes) -> None:
        self._begin_load()
        for record in rows.decode_block(unsigned(block, 64), row):
            if record.inode_id in self.records:
                raise ValueError("an inode twice")
            self.records[record.inode_id] = record
        self.broken = False

    def load_page(self, inode_id: int, page: int, row: bytes) -> None:
        self._begin_load()
        key = (unsigned(inode_id, 64), unsigned(page, 64))
        if key in self.pages:
            raise ValueError("a page twice")
        self.pages[key] = rows.decode_page(row)
        self.broken = False

    def finish_load(self, root_id: int, next_inode_id: int, next_chunk_id: int) -> list[int]:
        unsigned(root_id, 64), unsigned(next_inode_id, 64), unsigned(next_chunk_id, 64)
        self._begin_load()
        self.root = self.records.get(root_id)
        if self.root is None or self.root.is_file or self.root.parent_id != root_id:
            raise ValueError(f"inode {root_id} is no root")
        for record in self.records.values():
            if record.inode_id >= next_inode_id:
                raise ValueError(f"inode {record.inode_id} is not given out yet")
            self._finish_chunks(record, next_chunk_id)
            self._finish_link(record)
        if self.pages:
            raise ValueError("a page too many")
        tops = [record for record in self.records.values() if record.parent_id == 0]
        reached = {found.inode_id for top in [self.root, *tops] for found in below(top)}
        if len(reached) != len(self.records):
            raise ValueError("a cycle")
        self.loading = self.broken = False
        return sorted(record.inode_id for record in tops)

    def _finish_chunks(self, record: Record, next_chunk_id: int) -> None:
        whole: list[Chunk] = []
        for page in range(record.chunk_count // CHUNKS_PER_PAGE):
            if (record.inode_id, page) not in self.pages:
                raise ValueError(f"inode {record.inode_id} lacks page {page}")
            whole += self.pages.pop((record.inode_id, page))
        record.chunks = whole + record.chunks
        if record.size != record.told_size:
            raise ValueError(f"inode {record.inode_id} is not as large as its chunks")
        for chunk_id, _, _, _ in record.chunks:
            if chunk_id >= next_chunk_id or chunk_id in self.holders:
                raise ValueError(f"inode {record.inode_id} holds chunk {chunk_id}")
            self.holders[chunk_id] = record.inode_id

    def _finish_link(self, record: Record) -> None:
        if record.parent_id == 0 or record is self.root:
            return
        parent = self.records.get(record.parent_id)
        if parent is None or parent.is_file or record.name in parent.children:
            raise ValueError(f"inode {record.inode_id} has no place")
        self._attach(parent, record, record.name)
