"""How far each node's audit trail had come: signed by the node, replicated, so that a trail that
was cut off at its end, or written anew, is found by comparing it with what the others hold."""

from __future__ import annotations

import msgspec

from pydfsnode.meta.tables import AnyTable, Table

TABLE_AUDIT_MARK = 38
"""The last checkpoint of each audit trail, by a number of its own."""
MARKS_MAX = 256
"""Of all nodes together; past it the one that is oldest is forgotten."""


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
        rows = self._marks.rows
        own = (mark.node, mark.trail)
        key = next((key for key, row in rows.items() if (row.node, row.trail) == own), 0)
        if key and rows[key].seq >= mark.seq:
            return
        if not key and len(rows) >= MARKS_MAX:
            self._marks.drop(min(rows, key=lambda known: (rows[known].at_ms, known)))
        self._marks.put(key or max(rows, default=0) + 1, mark)
