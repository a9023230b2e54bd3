"""How many reads may wait, however many share a barrier."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode import limits
from pydfsnode.errors import NotLeader, Overloaded
from pydfsnode.raft.effects import ReadReady
from pydfsnode.runtime.reads import ReadBarriers


@pytest.fixture
async def reads(monkeypatch: pytest.MonkeyPatch) -> ReadBarriers:
    monkeypatch.setattr(limits, "PENDING_READS_MAX", 5)
    return ReadBarriers(asyncio.get_running_loop())


def is_full(reads: ReadBarriers) -> bool:
    try:
        reads.add().cancel()
    except Overloaded:
        return True
    return False


async def test_each_read_that_shares_a_barrier_counts(reads: ReadBarriers) -> None:
    reads.add(reads=3)
    with pytest.raises(Overloaded):
        reads.add(reads=3)
    reads.add(reads=2)
    assert is_full(reads)


async def test_there_is_room_again_when_they_are_confirmed(reads: ReadBarriers) -> None:
    shared, alone = reads.add(reads=4), reads.add()
    ((read_id, by_lease),) = reads.begin()
    assert (by_lease, is_full(reads)) == (False, True)
    reads.confirmed(ReadReady(read_id, 7), applied_index=6)
    assert is_full(reads)
    reads.applied(7)
    assert shared.done()
    assert alone.done()
    reads.add(reads=5)
    assert is_full(reads)


@pytest.mark.parametrize("begun", [False, True])
async def test_there_is_room_again_when_they_fail(reads: ReadBarriers, begun: bool) -> None:
    barriers = [reads.add(reads=4), reads.add(by_lease=True)]
    if begun:
        assert [by_lease for _, by_lease in reads.begin()] == [False, True]
    reads.fail_all(NotLeader("m2 leads", leader_hint="m2=h:1"))
    for barrier in barriers:
        with pytest.raises(NotLeader):
            await barrier
    reads.add(reads=5)
    assert is_full(reads)
