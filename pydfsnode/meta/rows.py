"""The namespace as rows of the state table: keys hold numbers only, values are msgpack arrays."""

from __future__ import annotations

import struct
from typing import TypeVar

import msgspec

from pydfsnode.errors import CorruptionError
from pydfsnode.meta.inodes import AnyInode, Chunk
from pydfsnode.meta.sessions import Dormant, Remembered

TABLE_HEAD = 16
"""One row: applied index, counters and clock."""
TABLE_INODE = 17
"""By inode id."""
TABLE_CHUNK = 18
"""By chunk id."""
TABLE_SESSION = 19
"""By client id and seq; seq 0 is a dormant session."""
TABLES = (TABLE_HEAD, TABLE_INODE, TABLE_CHUNK, TABLE_SESSION)
HEAD_KEY = bytes(8)

Row = tuple[int, bytes, bytes | None]
"""Table, key, value; None deletes."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What is not a thing of its own. `format_version` changes when a row's meaning does."""

    format_version: int
    applied_index: int
    next_inode_id: int
    next_chunk_id: int
    clock_ms: int
    forgotten_sessions: int


FORMAT_VERSION = 1
ID = struct.Struct(">Q")
SESSION_ID = struct.Struct(">QQ")

encode = msgspec.msgpack.Encoder().encode
_HEAD = msgspec.msgpack.Decoder(Head)
_INODE: msgspec.msgpack.Decoder[AnyInode] = msgspec.msgpack.Decoder(AnyInode)
_CHUNK = msgspec.msgpack.Decoder(Chunk)
_REMEMBERED = msgspec.msgpack.Decoder(Remembered)
_DORMANT = msgspec.msgpack.Decoder(Dormant)
T = TypeVar("T")


def decode_head(key: bytes, value: bytes) -> Head:
    """The head row. Raises CorruptionError, also for a format of another version."""
    head = _decode(_HEAD, TABLE_HEAD, key, value)
    if head.format_version != FORMAT_VERSION or key != HEAD_KEY:
        raise CorruptionError(
            f"the namespace on disk has format {head.format_version}, this version reads "
            f"{FORMAT_VERSION}: start the version that wrote it"
        )
    return head


def decode_inode(key: bytes, value: bytes) -> AnyInode:
    """A file or directory. Raises CorruptionError, also when it lies under another's key."""
    inode = _decode(_INODE, TABLE_INODE, key, value)
    if ID.pack(inode.inode_id) != key:
        raise broken(TABLE_INODE, key, f"holds inode {inode.inode_id}")
    return inode


def decode_chunk(key: bytes, value: bytes) -> Chunk:
    """A chunk. Raises CorruptionError, also when it lies under another's key."""
    chunk = _decode(_CHUNK, TABLE_CHUNK, key, value)
    if ID.pack(chunk.chunk_id) != key:
        raise broken(TABLE_CHUNK, key, f"holds chunk {chunk.chunk_id}")
    return chunk


def decode_session(key: bytes, value: bytes) -> tuple[int, int, Remembered | Dormant]:
    """(client id, seq, row). Raises CorruptionError."""
    if len(key) != SESSION_ID.size:
        raise broken(TABLE_SESSION, key, "has a key of the wrong size")
    client_id, seq = SESSION_ID.unpack(key)
    row: Remembered | Dormant = (
        _decode(_REMEMBERED, TABLE_SESSION, key, value)
        if seq
        else _decode(_DORMANT, TABLE_SESSION, key, value)
    )
    return client_id, seq, row


def broken(table: int, key: bytes, why: str) -> CorruptionError:
    """The error for a row that cannot be."""
    return CorruptionError(
        f"row {key.hex()} of table {table} {why}: the state table is damaged; "
        "restore this master from its peers"
    )


def _decode(decoder: msgspec.msgpack.Decoder[T], table: int, key: bytes, value: bytes) -> T:
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise broken(table, key, f"cannot be read ({error})") from None
