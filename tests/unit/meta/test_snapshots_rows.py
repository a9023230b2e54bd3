"""The rows of snapshots: refused when they do not fit, and found by what is derived."""

from __future__ import annotations

import msgspec
import pytest

from pydfsnode.errors import CorruptionError
from pydfsnode.meta.history_index import HistoryIndex
from pydfsnode.meta.history_rows import PastEntry, PastInode
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tables import KEY, encode

from .harness import Harness
from .snapshot_asking import create, prepared


@pytest.fixture
def harness() -> Harness:
    return prepared()


@pytest.mark.parametrize(
    ("place", "key", "new_key", "fields"),
    [
        (0, 1, 1, {"directory_id": 99}),
        (0, 1, 1, {"directory_id": 3}),
        (0, 1, 9, {}),
        (1, 1, 99, {}),
        (2, 2, 99, {}),
        (2, 3, 3, {"chunks": ((99, 1, 1, 1),)}),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    harness: Harness, place: int, key: int, new_key: int, fields: dict[str, object]
) -> None:
    create(harness, "/d", "s")
    harness.delete("/d/g")
    harness.drain()
    table = harness.namespace.tree.history.tables[place]
    row = msgspec.structs.replace(table.rows[key], **fields)
    harness.rows[table.number, KEY.pack(new_key)] = encode(row)
    again = Namespace()
    for (number, row_key), value in harness.rows.items():
        again.load_row(number, row_key, value)
    with pytest.raises(CorruptionError):
        again.finish_load()


def entry(name: str, born: int, died: int) -> PastEntry:
    return PastEntry(died, 1, name, 7, born, died)


def version(since: int, until: int) -> PastInode:
    return PastInode(until, 7, since, until, False, 0, "", "", 0, 0, 0, 0, None)


def test_a_version_is_that_of_its_time() -> None:
    index = HistoryIndex()
    index.put_inode(1, version(0, 2))
    index.put_inode(2, version(5, 7))
    found = [index.version_at(7, seq) for seq in range(1, 9)]
    assert found == [version(0, 2)] * 2 + [None] * 3 + [version(5, 7)] * 2 + [None]


def test_entries_that_were_dropped_are_passed_over() -> None:
    index = HistoryIndex()
    for number in range(200):
        index.put_entry(number, entry(f"n{number:03}", 0, 1))
    index.put_entry(200, entry("n005", 1, 2))
    for number in range(150):
        index.drop_entry(number)
        found = [one.name for one in index.entries_after(1, "") if one.is_seen_by(1)]
        assert found == [f"n{left:03}" for left in range(number + 1, 200)]
        assert index.entry_at(1, f"n{number:03}", 1) is None
    assert index.entry_at(1, "n005", 2) == entry("n005", 1, 2)
    for number in range(150, 201):
        index.drop_entry(number)
    assert not index._names
