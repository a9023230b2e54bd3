"""Merging groups leaves the log as writing them one after the other would."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.runtime.group_commit import merge

Written = tuple[HardState, list[bytes]]


def write(held: Written, persist: Persist) -> Written:
    """What the log holds after *persist*: the definition in `Persist`."""
    state, entries = held
    entries = list(entries)
    if persist.truncate_from is not None:
        del entries[persist.truncate_from - 1 :]
    if persist.entries:
        assert persist.first_index == len(entries) + 1, "a hole"
        entries += persist.entries
    return persist.hard_state or state, entries


@st.composite
def histories(draw: st.DrawFn) -> tuple[Written, list[Persist]]:
    """A log and groups that a core could hand out for it, one after the other."""
    before: Written = (HardState(1, "m1"), [b"old"] * draw(st.integers(0, 5)))
    length, groups = len(before[1]), []
    for io_id in range(1, draw(st.integers(2, 6))):
        persist = Persist(io_id)
        if draw(st.booleans()):
            persist.hard_state = HardState(io_id + 1, f"m{io_id}")
        if draw(st.booleans()) and length:
            persist.truncate_from = draw(st.integers(1, length))
            length = persist.truncate_from - 1
        count = draw(st.integers(0, 3))
        if count:
            persist.first_index = length + 1
            persist.entries = [b"%d.%d" % (io_id, i) for i in range(count)]
            length += count
        groups.append(persist)
    return before, groups


@given(histories())
@settings(max_examples=300, deadline=None)
def test_a_merged_group_is_what_its_parts_are(history: tuple[Written, list[Persist]]) -> None:
    before, groups = history
    one_by_one = before
    for persist in groups:
        one_by_one = write(one_by_one, persist)
    merged = copy.deepcopy(groups[0])
    for persist in groups[1:]:
        merged = merge(merged, copy.deepcopy(persist))
    assert write(before, merged) == one_by_one
    assert merged.io_id == groups[-1].io_id
