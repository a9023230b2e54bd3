"""Whatever row of the state is another one, a digest of the round shows it (INV-SAME)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from pydfsnode._fast import CHUNKS_PER_PAGE, INODES_PER_BLOCK
from pydfsnode.errors import CorruptionError
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import id_spans, ops, rolling_digest, rows
from pydfsnode.meta.rolling_digest import PAGES_PER_TURN, SMALL_EVERY, WINDOW_MS, slices
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX

from . import op_stream
from .harness import Harness

Stored = dict[tuple[int, bytes], bytes]
PAGES = 3 * PAGES_PER_TURN - 1
COUNT = 4000


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_spans, "IDS_PER_SPAN", 64)
    monkeypatch.setattr(rolling_digest, "PAST_PER_SLICE", 16)
    monkeypatch.setattr(rolling_digest, "ROWS_PER_SLICE", 4)


def stored_of(namespace: Namespace) -> Stored:
    """The rows of a namespace that was never drained."""
    return {(table, key): value for table, key, value in namespace.drain_rows() if value}


def load(stored: Stored, seed: int = 0) -> Namespace:
    """The namespace that the rows in some order give."""
    namespace = Namespace(op_stream.BOUNDS)
    in_some_order = sorted(stored.items())
    random.Random(seed).shuffle(in_some_order)
    for (table, key), value in in_some_order:
        namespace.load_row(table, key, value)
    namespace.finish_load()
    return namespace


@pytest.fixture
def all_kinds() -> Stored:
    """Rows of every table but two."""
    return stored_of(op_stream.run(1, COUNT))


@pytest.fixture
def two_kinds() -> Stored:
    """Rows of the two: pages of a large file, and a tree that is being dropped."""
    harness = Harness(op_stream.BOUNDS)
    harness.write("/pages", *range(1, CHUNKS_PER_PAGE * PAGES + 2))
    harness.mkdirs("/gone")
    for number in range(RECLAIMED_AT_ONCE_MAX + 1):
        harness.mkdirs(f"/gone/{number}")
    harness.delete("/gone", recursive=True)
    return stored_of(harness.namespace)


def digests(namespace: Namespace, count: int) -> list[bytes]:
    """Of so many windows from the namespace's time on."""
    begin_ms = namespace.tree.clock_ms // WINDOW_MS * WINDOW_MS
    found = []
    for window in range(count):
        after_ms = begin_ms + window * WINDOW_MS
        namespace.tree.clock_ms = after_ms + WINDOW_MS
        found.append(namespace.digest_slices(after_ms))
    return found


def round_of(namespace: Namespace) -> int:
    """Windows within which everything has its turn."""
    tree, sessions = namespace.tree, namespace.sessions
    small = max(len(rare.rows) for rare in tree.tables)
    small = max(small, sessions.outcome_count, sessions.client_count() + len(sessions.dormant))
    return max(
        slices(len(tree.spans), 1) * -(-PAGES // PAGES_PER_TURN),
        slices(tree.history.next_past_id, 16),
        SMALL_EVERY * slices(small, 4),
    )


def other_values(stored: Stored, table: int, key: bytes) -> Iterator[bytes]:
    """What could have been in a row before, by its form."""
    value = stored[table, key]
    if table == rows.TABLE_PAGE:
        yield value[:-1] + bytes([value[-1] ^ 1])
    elif table == rows.TABLE_BLOCK:
        block = int.from_bytes(key, "big")
        inodes = load(stored).tree.table
        for inode_id in range(block * INODES_PER_BLOCK, (block + 1) * INODES_PER_BLOCK):
            inode = inodes.get(inode_id)
            if inode is not None:
                inode.mtime_ms -= 1
                encoded = inodes.encode_block(block)
                assert encoded is not None
                yield encoded
    else:
        fields = msgspec.msgpack.decode(value)
        for at, field in enumerate(fields):
            yield msgspec.msgpack.encode([*fields[:at], _other(field), *fields[at + 1 :]])


def _other(field: Any) -> Any:
    if isinstance(field, bool):
        return not field
    if isinstance(field, int):
        return field + 1
    return field + field[:1] if isinstance(field, bytes | str | list) else field


def with_another_row(stored: Stored, table: int, key: bytes) -> Namespace | None:
    """The namespace of *stored* with another value at *key*; None: no such one is accepted."""
    expected = load(stored).state_hash()
    for value in other_values(stored, table, key):
        try:
            changed = load({**stored, (table, key): value})
        except CorruptionError:
            continue
        if changed.state_hash() != expected:
            return changed
    return None


@pytest.mark.parametrize("table", [t for t in rows.TABLES if t != rows.TABLE_HEAD])
def test_another_row_of_any_table_shows_within_a_round(
    all_kinds: Stored, two_kinds: Stored, table: int
) -> None:
    tried = 0
    for stored in (all_kinds, two_kinds):
        twin = load(stored)
        count = round_of(twin)
        expected = digests(twin, count)
        keys = [key for row_table, key in stored if row_table == table]
        for key in random.Random(table).sample(keys, min(4, len(keys))):
            changed = with_another_row(stored, table, key)
            if changed is not None:
                assert digests(changed, count) != expected, (table, key.hex())
                tried += 1
    assert tried, "no row of this table could be changed"


def test_a_row_too_few_and_one_too_many_show_at_once(all_kinds: Stored) -> None:
    twin = load(all_kinds)
    sessions = [key for table, key in all_kinds if table == rows.TABLE_SESSION]
    without = {row: value for row, value in all_kinds.items() if row[1] != sessions[0]}
    for windows in (1, 2):
        assert digests(load(without), windows)[-1] != digests(twin, windows)[-1]


def test_equal_states_have_equal_digests_however_they_were_loaded(all_kinds: Stored) -> None:
    running = op_stream.run(1, COUNT)
    expected = digests(running, round_of(running))
    for seed in range(3):
        loaded = load(all_kinds, seed)
        assert digests(loaded, len(expected)) == expected
    running.drain_rows()
    replaced = Namespace(op_stream.BOUNDS)
    replaced.replace(load(all_kinds))
    assert digests(replaced, len(expected)) == expected


def test_a_pause_of_a_few_windows_leaves_nothing_out() -> None:
    """One digest over some windows sees a change that each of them sees, or another one does."""
    harness = Harness()
    for number in range(300):
        harness.mkdirs(f"/{number}")
    count = slices(len(harness.namespace.tree.spans), 1)
    assert 4 <= count <= rolling_digest.WINDOWS_MAX

    def digest() -> bytes:
        harness.namespace.tree.clock_ms = count * WINDOW_MS
        return harness.namespace.digest_slices(0)

    for inode_id in (ROOT_INODE_ID, 100, 200, 301):
        before = digest()
        inode = harness.namespace.tree.table.get(inode_id)
        assert inode is not None
        inode.mode ^= 1
        assert digest() != before


def test_so_many_slices_cover_all_ids() -> None:
    for per_slice in (1, 8, 4096):
        for bound in (0, 1, per_slice - 1, per_slice, per_slice + 1, 7 * per_slice + 3):
            count = slices(bound, per_slice)
            assert count * per_slice >= bound
            assert count == 1 or count // 2 * per_slice < bound
            assert count & (count - 1) == 0


def test_a_window_begins_with_its_first_millisecond() -> None:
    harness = Harness()
    for now_ms, due_ms in ((0, 1000), (999, 1000), (1000, 2000), (1001, 2000)):
        harness.now_ms = now_ms
        harness.run(ops.RenewLease)
        assert harness.namespace.slices_due_ms == due_ms
