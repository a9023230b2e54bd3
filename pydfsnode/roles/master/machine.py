"""The state machine of the driver: log entries in, namespace operations applied, changes told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pydfsnode._fast import entry_kind, entry_payload
from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.replication import KIND_OPERATION
from pydfsnode.runtime.ports import Row


class NamespaceMachine:
    """Applies entries in order; `on_applied` is called after each batch, on every master."""

    def __init__(self, namespace: Namespace, on_applied: Callable[[], None]) -> None:
        self.namespace = namespace
        self._on_applied = on_applied

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
                outcomes.append(namespace.apply(decode_op(entry_payload(entry)), index))
            else:
                namespace.advance(index)
                outcomes.append(None)
        self._on_applied()
        return outcomes

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
