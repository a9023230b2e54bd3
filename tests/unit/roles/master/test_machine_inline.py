"""Contents of small files: where the machine finds them while their rows are being written."""

from __future__ import annotations

import pytest

from pydfsnode._fast import encode_entry
from pydfsnode.errors import ReplicaNotFound
from pydfsnode.meta import ops
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.inline import TABLE_INLINE
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.types import KIND_OPERATION
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.runtime.ports import Row

FIRST, SECOND = 1, 2
"""Ids of contents."""


class Stored:
    """A state table that is written when the test says so."""

    def __init__(self) -> None:
        self.state_index = 0
        self.rows: dict[tuple[int, bytes], bytes] = {}

    def read_row(self, table: int, key: bytes) -> bytes | None:
        return self.rows.get((table, key))

    def write(self, rows: list[Row], state_index: int) -> None:
        for table, key, value in rows:
            if value is None:
                self.rows.pop((table, key), None)
            else:
                self.rows[table, key] = value
        self.state_index = state_index


class Parts:
    def __init__(self) -> None:
        self.stored = Stored()
        self.namespace = Namespace()
        self.machine = NamespaceMachine(self.namespace, lambda: None, None, self.stored)

    def apply(self, kind: type[ops.Op], *fields: object) -> None:
        index = self.namespace.applied_index + 1
        op = kind(9, index, index, index, "u:supergroup", *fields)
        entry = encode_entry(index, 1, KIND_OPERATION, encode_op(op))  # type: ignore[arg-type]
        self.machine.apply(index, [entry])

    def put(self, path: str, content: bytes, *, overwrite: bool = False) -> None:
        self.apply(ops.CreateInline, path, 3, 1 << 20, 0, overwrite, False, content)

    def drain(self) -> tuple[list[Row], int]:
        return self.machine.drain_rows(), self.namespace.applied_index


def test_a_content_is_found_before_while_and_after_its_row_is_written() -> None:
    parts = Parts()
    parts.put("/a", b"first")
    assert parts.machine.read_inline(FIRST) == b"first"
    first = parts.drain()
    parts.put("/b", b"second")
    second = parts.drain()  # two writes are under way
    assert parts.stored.rows == {}
    assert parts.machine.read_inline(FIRST) == b"first"
    assert parts.machine.read_inline(SECOND) == b"second"
    parts.stored.write(*first)
    parts.drain()
    assert parts.machine.read_inline(FIRST) == b"first"
    assert parts.machine.read_inline(SECOND) == b"second"
    parts.stored.write(*second)
    parts.drain()
    assert parts.machine.read_inline(SECOND) == b"second"


def test_a_written_content_is_read_from_the_table_and_not_kept() -> None:
    parts = Parts()
    parts.put("/a", b"first")
    parts.stored.write(*parts.drain())
    parts.drain()
    parts.stored.rows = dict.fromkeys(parts.stored.rows, b"other")
    assert parts.machine.read_inline(FIRST) == b"other"


def test_the_row_of_a_replaced_content_is_deleted() -> None:
    parts = Parts()
    parts.put("/a", b"first")
    parts.stored.write(*parts.drain())
    parts.put("/a", b"again", overwrite=True)
    parts.stored.write(*parts.drain())
    contents = [value for (table, _), value in parts.stored.rows.items() if table == TABLE_INLINE]
    assert contents == [b"again"]
    with pytest.raises(ReplicaNotFound):
        parts.machine.read_inline(FIRST)


def test_what_another_master_wrote_is_not_here_before_its_rows_are() -> None:
    parts, other = Parts(), Parts()
    other.put("/a", b"first")
    rows = [row for row in other.drain()[0] if row[0] != TABLE_INLINE]
    parts.put("/b", b"mine")
    parts.drain()
    parts.machine.replace(parts.machine.load(rows))
    with pytest.raises(ReplicaNotFound, match="ask another master"):
        parts.machine.read_inline(FIRST)
