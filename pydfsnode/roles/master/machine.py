"""The state machine of the driver: log entries in, namespace operations applied, changes told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pydfsnode.errors import ReplicaNotFound, invariant
from pydfsnode.meta.codec import decode_op
from pydfsnode.meta.inline import TABLE_INLINE, inline_key
from pydfsnode.meta.results import Applied
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.state import DIGEST_EVERY, Namespace
from pydfsnode.obs.metrics import metrics
from pydfsnode.runtime.entry_compression import unpack
from pydfsnode.runtime.ports import Row

DIGESTS_MAX = 256
"""Digests kept until they are taken; the oldest go first."""
NEVER_MS = 1 << 64


class StoredRows(Protocol):
    """The part of the log's storage that contents of small files are read from."""

    @property
    def state_index(self) -> int:
        """The applied index that the state table holds, as last written."""
        ...

    def read_row(self, table: int, key: bytes) -> bytes | None:
        """The row at *key* of *table*."""
        ...


class NamespaceMachine:
    """Applies entries in order; `on_applied` is called after each batch, on every master.

    `on_replaced` is called when the namespace became another one by `replace`. `stored` is where
    rows that were drained can be read; None: only what is still in memory.
    """

    def __init__(
        self,
        namespace: Namespace,
        on_applied: Callable[[], None],
        on_replaced: Callable[[], None] | None = None,
        stored: StoredRows | None = None,
    ) -> None:
        self.namespace = namespace
        self._on_applied = on_applied
        self._on_replaced = on_replaced or on_applied
        self._digests: deque[tuple[int, bytes]] = deque(maxlen=DIGESTS_MAX)
        self._stored = stored
        self._being_written: deque[tuple[int, dict[int, bytes]]] = deque()
        self._counts: dict[tuple[type, type], Callable[[float], None]] = {}

    @property
    def applied_index(self) -> int:
        """The last entry that the namespace holds."""
        return self.namespace.applied_index

    def apply(self, first_index: int, entries: Sequence[bytes]) -> list[object]:
        """Outcome of each entry (`Applied` or `Rejected`), None where it holds no operation.

        One entry of a batch at most has a digest of slices: who is seconds of log behind must not
        be held up by each of them, and nobody compares what is so old.
        """
        outcomes: list[object] = []
        counts: dict[tuple[type, type], int] = {}
        namespace = self.namespace
        tree, due_ms = namespace.tree, namespace.slices_due_ms
        for index, entry in enumerate(entries, first_index):
            payload = unpack(entry)
            if payload is not None:
                op = decode_op(payload)
                outcome = namespace.apply(op, index)
                outcomes.append(outcome)
                kinds = (type(op), type(outcome))
                counts[kinds] = counts.get(kinds, 0) + 1
            else:
                namespace.advance(index)
                outcomes.append(None)
            if not index % DIGEST_EVERY:
                digest = namespace.digest_interval()
                if digest is not None:
                    self._digests.append((index, digest))
                if tree.clock_ms >= due_ms:  # these slices wait for the next round
                    due_ms = namespace.slices_due_ms
            elif tree.clock_ms >= due_ms:
                self._digests.append((index, namespace.digest_slices(due_ms - 1)))
                due_ms = NEVER_MS
        for (kind, outcome_kind), count in counts.items():
            self._count(kind, outcome_kind, count)
        self._on_applied()
        return outcomes

    def _count(self, op: type, outcome: type, applied: int) -> None:
        count = self._counts.get((op, outcome))
        if count is None:
            kind = "applied" if outcome is Applied else "rejected"
            counter = metrics().counter("namespace_operations_total", op.__name__, kind)
            count = self._counts[op, outcome] = counter.inc
        count(applied)

    def drain_rows(self) -> list[Row]:
        """What the state table must hold."""
        rows = self.namespace.drain_rows()
        inline, contents = self.namespace.tree.inline.drain_rows()
        being_written = self._being_written
        written_index = 0 if self._stored is None else self._stored.state_index
        while being_written and being_written[0][0] <= written_index:
            being_written.popleft()
        if contents:
            being_written.append((self.namespace.applied_index, contents))
        return rows + inline

    def read_inline(self, content_id: int) -> bytes:
        """The content of a small file, as `queries.locate` names it.

        Raises:
            ReplicaNotFound: this master does not hold it now, another one does.
            SealBroken, CorruptionError, StorageError: the state table cannot be read.
        """
        content = self.namespace.tree.inline.get(content_id)
        for _, contents in self._being_written:
            content = contents.get(content_id, content)
        if content is None and self._stored is not None:
            content = self._stored.read_row(TABLE_INLINE, inline_key(content_id))
        if content is None:
            raise ReplicaNotFound(
                f"content {content_id} is not in this master's state table, which is perhaps being "
                "replaced by a snapshot: ask another master",
                chunk_id=content_id,
            )
        return content

    def take_digests(self) -> list[tuple[int, bytes]]:
        """(index, digest) of intervals that ended and slices that had a turn since the last."""
        digests = list(self._digests)
        self._digests.clear()
        return digests

    def load(self, rows: Iterable[Row]) -> object:
        """A new state made of *rows*, for `replace`; slow, in any thread, changes nothing here.

        Raises:
            CorruptionError: the rows do not make up a namespace.
        """
        return load_namespace(rows, self.namespace.sessions.bounds)

    def replace(self, loaded: object) -> None:
        """Go on from *loaded*, which `load` made and which is given up; on the loop's thread."""
        invariant(isinstance(loaded, Namespace), "the state to go on from is no namespace")
        assert isinstance(loaded, Namespace)
        self._digests.clear()
        self._being_written.clear()
        self.namespace.replace(loaded)
        self._on_replaced()


def load_namespace(rows: Iterable[Row], bounds: SessionBounds | None = None) -> Namespace:
    """The namespace that *rows* of the state table describe; a new one when there are none."""
    namespace = Namespace(bounds)
    for table, key, value in rows:
        assert value is not None
        namespace.load_row(table, key, value)
    namespace.finish_load()
    return namespace
