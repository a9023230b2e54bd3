"""Rows of inodes as `_fast/inodes.pyx` describes them, byte by byte, nothing clever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Chunk = tuple[int, int, int, int]  # id, version, length, crc32c

FORMAT = 1
FILE, DIRECTORY = 1, 2
CHUNKS_PER_PAGE = 64
INODES_PER_BLOCK = 8
U32, U64 = 1 << 32, 1 << 64


@dataclass(eq=False)
class Record:
    """What is kept of an inode; `parent` is None at the root and when detached."""

    inode_id: int
    is_file: bool
    parent_id: int = 0
    name: str = ""
    flags: int = 0
    mode: int = 0
    owner: str = ""
    group: str = ""
    mtime_ms: int = 0
    atime_ms: int = 0
    ctime_ms: int = 0
    born: int = 0
    changed: int = 0
    replication: int = 0
    chunk_bytes: int = 0
    crc32c: int = 0
    told_size: int = 0  # as its row says, when it was loaded
    chunk_count: int = 0  # as its row says, when it was loaded
    chunks: list[Chunk] = field(default_factory=list)
    parent: Record | None = None
    children: dict[str, Record] = field(default_factory=dict)
    gone: bool = False

    @property
    def size(self) -> int:
        return sum(length for _, _, length, _ in self.chunks)


def check_name(name: str) -> bytes:
    raw = name.encode()
    if not 1 <= len(raw) <= 255 or name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name of an inode")
    return raw


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def zigzag(value: int) -> bytes:
    return varint((value << 1) ^ (value >> 63) if value >= 0 else (-value << 1) - 1)


def text(value: bytes) -> bytes:
    return varint(len(value)) + value


def encode_chunks(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(
        varint(chunk_id) + varint(version) + varint(length) + crc32c.to_bytes(4, "little")
        for chunk_id, version, length, crc32c in chunks
    )


def encode(record: Record) -> bytes:
    row = bytes([FILE if record.is_file else DIRECTORY])
    row += varint(record.inode_id) + varint(record.parent_id)
    row += bytes([record.flags]) + varint(record.mode)
    row += text(record.owner.encode()) + text(record.group.encode()) + text(record.name.encode())
    row += zigzag(record.mtime_ms) + zigzag(record.atime_ms) + zigzag(record.ctime_ms)
    row += varint(record.born) + varint(record.changed)
    if not record.is_file:
        return row
    row += bytes([record.replication]) + varint(record.chunk_bytes) + varint(record.size)
    row += record.crc32c.to_bytes(4, "little") + varint(len(record.chunks))
    tail = len(record.chunks) % CHUNKS_PER_PAGE
    return row + encode_chunks(record.chunks[len(record.chunks) - tail :])


class Reader:
    """Takes values off the front of a row. Raises ValueError where it is cut or out of range."""

    def __init__(self, row: bytes) -> None:
        self.row = row
        if self.byte() != FORMAT:
            raise ValueError("unknown format")

    def take(self, size: int) -> bytes:
        if size > len(self.row):
            raise ValueError("cut")
        taken, self.row = self.row[:size], self.row[size:]
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self, limit: int = U64) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if value >= limit or shift > 70:
                raise ValueError(f"a number of {limit} or more")
            if byte < 128:
                return value

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def text(self) -> str:
        return self.take(self.varint()).decode()

    def crc(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def chunk(self) -> Chunk:
        chunk_id = self.varint()
        if chunk_id == 0:
            raise ValueError("a chunk with id 0")
        return chunk_id, self.varint(), self.varint(U32), self.crc()


def decode(reader: Reader) -> Record:
    kind = reader.byte()
    if kind not in (FILE, DIRECTORY):
        raise ValueError(f"kind {kind}")
    record = Record(reader.varint(), kind == FILE)
    record.parent_id, record.flags = reader.varint(), reader.byte()
    record.mode = reader.varint(0o10000)
    record.owner, record.group, record.name = reader.text(), reader.text(), reader.text()
    if record.parent_id != record.inode_id:
        check_name(record.name)
    elif record.name:
        raise ValueError("a root with a name")
    record.mtime_ms, record.atime_ms = reader.zigzag(), reader.zigzag()
    record.ctime_ms = reader.zigzag()
    record.born, record.changed = reader.varint(U32), reader.varint(U32)
    if kind == FILE:
        record.replication, record.chunk_bytes = reader.byte(), reader.varint(U32)
        if record.replication == 0:
            raise ValueError("replication 0")
        record.told_size, record.crc32c = reader.varint(), reader.crc()
        record.chunk_count = reader.varint(U32)
        record.chunks = [reader.chunk() for _ in range(record.chunk_count % CHUNKS_PER_PAGE)]
    return record


def decode_block(block: int, row: bytes) -> list[Record]:
    reader = Reader(row)
    records: list[Record] = []
    while reader.row or not records:
        records.append(decode(reader))
        inode_id = records[-1].inode_id
        if inode_id == 0 or inode_id // INODES_PER_BLOCK != block:
            raise ValueError(f"inode {inode_id} in block {block}")
        if len(records) > 1 and inode_id <= records[-2].inode_id:
            raise ValueError(f"inode {inode_id} out of order")
    return records


def decode_page(row: bytes) -> list[Chunk]:
    reader = Reader(row)
    chunks = [reader.chunk() for _ in range(CHUNKS_PER_PAGE)]
    if reader.row:
        raise ValueError("bytes after the last chunk")
    return chunks
