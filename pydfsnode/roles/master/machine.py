"""The state machine of the driver: log entries in, namespace operations applied, changes told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pydfsnode._fast import entry_kind, entry_payload
from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.results import Applied
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.raft.replication import KIND_OPERATION
from pydfsnode.runtime.ports import Row


class NamespaceMachine:
    """Applies entries in order; `on_applied` is called after each batch, on every master."""

    def __init__(self, namespace: Namespace, on_applied: Callable[[], None]) -> None:
        self.namespace = namespace
        self._on_applied = on_applied
        self._counts: dict[tuple[type, type], Callable[[float], None]] = {}

    @property
    def applied_index(self) -> int:
        """The last entry that the namespace holds."""
        return self.namespace.applied_index

    def apply(self, first_index: int, entries: Sequence[bytes]) -> list[object]:
        """Outcome of each entry (`Applied` or `Rejected`), None where it holds no operation."""
        outcomes: list[object] = []
        namespace = self.namespace
        for index, entry in enumerate(entries, first_index):
            if entry_kind(entry) == KIND_OPERATION:
                op = decode_op(entry_payload(entry))
                outcome = namespace.apply(op, index)
                outcomes.append(outcome)
                self._count(type(op), type(outcome))
            else:
                namespace.advance(index)
                outcomes.append(None)
        self._on_applied()
        return outcomes

    def _count(self, op: type, outcome: type) -> None:
        count = self._counts.get((op, outcome))
        if count is None:
            kind = "applied" if outcome is Applied else "rejected"
            counter = metrics().counter("namespace_operations_total", op.__name__, kind)
            count = self._counts[op, outcome] = counter.inc
        count(1)

    def drain_rows(self) -> list[Row]:
        """What the state table must hold."""
        return list(self.namespace.drain_rows())


def load_namespace(rows: Iterable[Row]) -> Namespace:
    """The namespace that *rows* of the state table describe; a new one when there are none."""
    namespace = Namespace()
    for table, key, value in rows:
        assert value is not None
        namespace.load_row(table, key, value)
    namespace.finish_load()
    return namespace
