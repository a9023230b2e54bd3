"""The namespace as rows of the state table: keys hold numbers only.

Inodes go by blocks of `INODES_PER_BLOCK` ids, so that what is made together is written and read
together; their bytes are those of `_fast.inodes`. Everything else is a msgpack array.
"""

from __future__ import annotations

import struct

import msgspec

from pydfsnode.errors import CorruptionError
from pydfsnode.meta.administration import TABLE_CHUNK_KEY, TABLE_DUTY, TABLE_MODE
from pydfsnode.meta.audit_marks import TABLE_AUDIT_MARK
from pydfsnode.meta.file_keys import TABLE_FILE_KEY, TABLE_FORGETTING
from pydfsnode.meta.history import TABLES as HISTORY_TABLES
from pydfsnode.meta.inodes import Natural
from pydfsnode.meta.sessions import Dormant, Remembered
from pydfsnode.meta.tables import KEY, Row, broken, decode, encode
from pydfsnode.meta.tree import TABLE_DOOMED, TABLE_EXTRAS, TABLE_OPEN
from pydfsnode.meta.trust import TABLE_AUTHORITY, TABLE_JOIN_TOKEN, TABLE_REVOKED

TABLE_HEAD = 16
"""One row: applied index, counters and clock."""
TABLE_BLOCK = 17
"""Inodes, by inode id // INODES_PER_BLOCK."""
TABLE_PAGE = 18
"""Full pages of the chunks of large files, by inode id and page."""
TABLE_SESSION = 19
"""By client id and seq; seq 0 is a dormant session."""
TABLES = (
    TABLE_HEAD, TABLE_BLOCK, TABLE_PAGE, TABLE_SESSION, TABLE_OPEN, TABLE_EXTRAS, TABLE_DOOMED,
    *HISTORY_TABLES, TABLE_DUTY, TABLE_MODE, TABLE_AUTHORITY, TABLE_REVOKED, TABLE_JOIN_TOKEN,
    TABLE_CHUNK_KEY, TABLE_AUDIT_MARK, TABLE_FILE_KEY, TABLE_FORGETTING,
)  # fmt: skip
"""What is read at a start; contents of small files (`inline.TABLE_INLINE`) stay on disk."""
HEAD_KEY = bytes(8)


class Head(msgspec.Struct, frozen=True, array_like=True):
    """What is not a thing of its own. `format_version` changes when a row's meaning does."""

    format_version: Natural
    applied_index: Natural
    next_inode_id: Natural
    next_chunk_id: Natural
    clock_ms: Natural
    forgotten_sessions: Natural
    inline_bytes: Natural
    snapshot_sequence: Natural
    next_past_id: Natural


FORMAT_VERSION = 2
PAGE_ID = SESSION_ID = struct.Struct(">QQ")

_HEAD = msgspec.msgpack.Decoder(Head)
_VERSION = msgspec.msgpack.Decoder(list[int])
_REMEMBERED = msgspec.msgpack.Decoder(Remembered)
_DORMANT = msgspec.msgpack.Decoder(Dormant)

__all__ = [
    "KEY", "TABLE_DOOMED", "TABLE_EXTRAS", "TABLE_OPEN", "Row", "broken", "encode",
]  # fmt: skip


def decode_head(key: bytes, value: bytes) -> Head:
    """The head row. Raises CorruptionError, also for a format of another version."""
    version = decode(_VERSION, TABLE_HEAD, key, value)[:1]
    if version != [FORMAT_VERSION] or key != HEAD_KEY:
        raise CorruptionError(
            f"the namespace on disk has format {version[0] if version else 'unknown'}, "
            f"this version reads {FORMAT_VERSION}: start the version that wrote it"
        )
    return decode(_HEAD, TABLE_HEAD, key, value)


def decode_session(key: bytes, value: bytes) -> tuple[int, int, Remembered | Dormant]:
    """(client id, seq, row). Raises CorruptionError."""
    client_id, seq = two_numbers(TABLE_SESSION, key)
    row: Remembered | Dormant = (
        decode(_REMEMBERED, TABLE_SESSION, key, value)
        if seq
        else decode(_DORMANT, TABLE_SESSION, key, value)
    )
    return client_id, seq, row


def number(table: int, key: bytes) -> int:
    """The number that *key* is. Raises CorruptionError."""
    if len(key) != KEY.size:
        raise broken(table, key, "has a key of the wrong size")
    found: int = KEY.unpack(key)[0]
    return found


def two_numbers(table: int, key: bytes) -> tuple[int, int]:
    """The two numbers that *key* is. Raises CorruptionError."""
    if len(key) != SESSION_ID.size:
        raise broken(table, key, "has a key of the wrong size")
    first, second = SESSION_ID.unpack(key)
    return first, second
