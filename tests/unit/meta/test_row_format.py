"""FORMAT.md's test vectors of the namespace's rows are what the code writes, and reads."""

from __future__ import annotations

import pytest

from pydfsnode.errors import CorruptionError
from pydfsnode.meta import attributes, ops, queries, rows
from pydfsnode.meta.administration import TABLE_CHUNK_KEY, TABLE_DUTY, TABLE_MODE
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.file_keys import SEAL_XATTR, TABLE_FILE_KEY, TABLE_FORGETTING
from pydfsnode.meta.history_rows import TABLE_PAST_ENTRY, TABLE_PAST_INODE, TABLE_SNAPSHOT
from pydfsnode.meta.inline import TABLE_INLINE, inline_key
from pydfsnode.meta.results import Applied
from pydfsnode.meta.rows import KEY
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.trust import TABLE_AUTHORITY, TABLE_JOIN_TOKEN, TABLE_REVOKED, Signer
from pydfsnode.roles.master.machine import load_namespace
from tests.support.format_vectors import vector

CHUNK_BYTES = 1 << 20
NUMBERED = {
    rows.TABLE_OPEN: ("open file", 4),
    rows.TABLE_EXTRAS: ("extras", 3),
    TABLE_SNAPSHOT: ("snapshot of a directory", 1),
    TABLE_PAST_ENTRY: ("past entry", 2),
    TABLE_PAST_INODE: ("past inode", 1),
    TABLE_DUTY: ("chunkserver out of service", 1),
    TABLE_MODE: ("mode: balance", 2),
    TABLE_AUTHORITY: ("authority", 1),
    TABLE_REVOKED: ("revoked certificate", 1),
    TABLE_JOIN_TOKEN: ("join token", 1),
    TABLE_CHUNK_KEY: ("chunk key", 1),
    TABLE_FILE_KEY: ("file key", 5),
    TABLE_FORGETTING: ("forgetting", 1),
}
"""Table to the beginning of its vector and the number that is its key."""


class Made:
    """The operations that FORMAT.md names, one a second, and the rows that they left."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.rows: dict[tuple[int, bytes], bytes] = {}
        self.apply(ops.Mkdirs, "/d")
        self.apply(ops.CreateInline, "/d/a", 3, CHUNK_BYTES, 0, False, False, b"hello")
        self.drain()

    def apply(self, kind: type[ops.Op], *fields: object) -> None:
        index = self.namespace.applied_index + 1
        op = kind(9, index, index, index * 1000, "root", *fields)
        outcome = self.namespace.apply(op, index)  # type: ignore[arg-type]
        assert isinstance(outcome, Applied), outcome

    def drain(self) -> None:
        drained = self.namespace.drain_rows() + self.namespace.tree.inline.drain_rows()[0]
        self.rows.update({(table, key): value for table, key, value in drained if value})

    def go_on(self) -> None:
        self.apply(ops.SetXattr, "/d/a", "user.k", b"v")
        self.apply(ops.CreateSnapshot, "/d", "s")
        self.apply(ops.Create, "/w", 3, CHUNK_BYTES)
        self.apply(ops.AllocateChunk, 4, None, 0, ("c1", "c2"))
        self.apply(ops.Rename, "/d/a", "/d/b")
        self.apply(ops.SetDuty, ("c4",), "maintenance", 99_000)
        self.apply(ops.SetBalance, 100_000, 50 << 20)
        self.apply(ops.SetAuthority, "install", Signer("R", "C", "K"))
        self.apply(ops.RevokeCertificates, ("1f",), "lost")
        self.apply(ops.AddJoinToken, "0" * 16, "1" * 64, "chunkserver", "c4", ("h",), 99_000)
        self.apply(ops.AddChunkKey, 1, bytes(range(32)))
        self.apply(ops.SetXattr, "/d", SEAL_XATTR, b"file")
        layout = 3, CHUNK_BYTES, 0, False, False
        self.apply(ops.CreateKeyed, "/d/k", *layout, bytes(range(32, 64)), (), b"k")
        self.apply(ops.CreateKeyed, "/d/l", *layout, bytes(range(64, 96)), (), b"l")
        self.apply(ops.Delete, "/d/l", False)
        self.apply(ops.ForgetKeys, 1)
        self.drain()


def test_head_block_and_content() -> None:
    written = Made().rows
    assert written[rows.TABLE_HEAD, rows.HEAD_KEY] == vector("head")
    assert written[rows.TABLE_BLOCK, KEY.pack(0)] == vector("block 0")
    assert written[TABLE_INLINE, inline_key(1)] == vector("content")
    assert written[rows.TABLE_SESSION, rows.SESSION_ID.pack(9, 2)] == vector("outcome")


def test_rows_of_rare_kinds() -> None:
    made = Made()
    made.go_on()
    for table, (start, number) in NUMBERED.items():
        assert made.rows[table, KEY.pack(number)] == vector(start), start


def test_the_vectors_are_read() -> None:
    namespace = load_namespace(
        [
            (rows.TABLE_HEAD, rows.HEAD_KEY, vector("head")),
            (rows.TABLE_BLOCK, KEY.pack(0), vector("block 0")),
            (rows.TABLE_SESSION, rows.SESSION_ID.pack(9, 2), vector("outcome")),
        ]
    )
    view, chunks = queries.locate(namespace, "/d/a", NOBODY_ASKS)
    assert (view.size, view.owner, view.mode, view.mtime_ms) == (5, "root", 0o644, 2000)
    assert [(chunk.chunk_id, chunk.version) for chunk in chunks] == [(1, 0)]
    assert attributes.get_xattrs(namespace, "/d/a", NOBODY_ASKS) == {}
    assert namespace.applied_index == 2


def test_another_format_is_refused() -> None:
    other = vector("head")[:1] + b"\x01" + vector("head")[2:]
    with pytest.raises(CorruptionError, match="has format 1, this version reads 2"):
        load_namespace([(rows.TABLE_HEAD, rows.HEAD_KEY, other)])
