"""Safe mode takes its place among the rows of a backup, wherever its slices end."""

from __future__ import annotations

import pytest

from pydfsnode.meta.administration import BALANCE, SAFE_MODE, TABLE_MODE
from pydfsnode.meta.rows import KEY
from pydfsnode.roles.master.restored_rows import RestoredRows
from pydfsnode.runtime.snapshot_frames import StateRow

BEFORE: list[StateRow] = [(17, KEY.pack(1), b"block"), (27, KEY.pack(9), b"duty")]
OWN: StateRow = (TABLE_MODE, KEY.pack(SAFE_MODE), b"an operator's")
AFTER: list[StateRow] = [(TABLE_MODE, KEY.pack(BALANCE), b"balance"), (37, KEY.pack(1), b"key")]


@pytest.mark.parametrize("rows", [[*BEFORE, *AFTER], [*BEFORE, OWN, *AFTER], BEFORE, AFTER, [OWN]])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_it_is_there_once_and_in_order(rows: list[StateRow], size: int) -> None:
    changing = RestoredRows(1_700_000_000_000)
    found: list[StateRow] = []
    for start in range(0, len(rows), size):
        found += changing.of(rows[start : start + size])
    found += changing.rest()
    places = [row[:2] for row in found]
    assert places == sorted(set(places))
    assert places.count((TABLE_MODE, KEY.pack(SAFE_MODE))) == 1
    assert OWN not in found
    assert [row for row in found if row[:2] != OWN[:2]] == [row for row in rows if row != OWN]
