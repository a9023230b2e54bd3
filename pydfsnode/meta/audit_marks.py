"""How far each node's audit trail had come: signed by the node, replicated, so that a trail that
was cut off at its end, or written anew, is found by comparing it with what the others hold."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pydfsnode.meta.tables import AnyTable, Table

TABLE_AUDIT_MARK = 38
"""The last checkpoint of each audit trail, by a number of its own."""
MARKS_MAX = 4096
"""Of all nodes together; past it the one that is oldest is forgotten."""
MARKS_PER_NODE_MAX = 8
"""Past it the node's oldest is forgotten: no node can have those of others forgotten."""


class AuditMark(msgspec.Struct, frozen=True, array_like=True):
    """Record *seq* of the *trail* of *node* (an identity) had the hash *sha256* at *at_ms*.

    `signature` is of the node's key, `chain` its certificate then, as PEM; both text.
    """

    node: str
    trail: str
    seq: int
    sha256: str
    at_ms: int
    signature: str
    chain: str


class AuditMarks:
    """Part of `Tree`; change through its methods only."""

    def __init__(self) -> None:
        self._marks: Table[AuditMark] = Table(TABLE_AUDIT_MARK, AuditMark)

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Every table of it."""
        return (self._marks,)

    @property
    def newest(self) -> dict[tuple[str, str], AuditMark]:
        """The last one of each trail, by (node, trail)."""
        return {(mark.node, mark.trail): mark for mark in self._marks.rows.values()}

    def put(self, mark: AuditMark) -> None:
        """Take *mark* in place of an older one of its trail; never go back."""
        marks = self._marks
        key = marks.find(lambda known: (known.node, known.trail) == (mark.node, mark.trail))
        if not key:
            self._make_room(mark.node)
            marks.add(mark)
        elif marks.rows[key].seq < mark.seq:
            marks.put(key, mark)

    def _make_room(self, node: str) -> None:
        rows = self._marks.rows
        own = [key for key, known in rows.items() if known.node == node]
        if len(own) >= MARKS_PER_NODE_MAX:
            self._drop_oldest(own)
        elif len(rows) >= MARKS_MAX:
            self._drop_oldest(rows)

    def _drop_oldest(self, keys: Iterable[int]) -> None:
        rows = self._marks.rows
        self._marks.drop(min(keys, key=lambda key: (rows[key].at_ms, key)))
