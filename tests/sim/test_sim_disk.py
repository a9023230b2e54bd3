"""The simulated disk keeps what `KeyValue` promises, and its faults are seen by seal and mark."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pydfsnode.errors import CorruptionError, DurabilityFailure, SealBroken
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.storage.kv import KeyValue
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore
from tests.conformance.kv import KeyValueConformance, Reopen
from tests.support.sealed_log import entry
from tests.support.sim.disk import FastSealer, SimDisk, SimKv, SimMark, disk_full, io_error


class TestSimKv(KeyValueConformance):
    @pytest.fixture
    def store(self) -> KeyValue:
        return SimKv(SimDisk())

    @pytest.fixture
    def reopen(self) -> Reopen:
        def again(store: KeyValue) -> KeyValue:
            assert isinstance(store, SimKv)
            return SimKv(store.disk)

        return again


def opened(disk: SimDisk) -> RaftLog:
    kv = SimKv(disk)
    mark: Any = SimMark(disk, kv)
    return RaftLog.open(SealedStore(kv, FastSealer(), "cluster", "m1"), mark, lambda: 7)


def written(groups: int) -> SimDisk:
    """A disk with a log of *groups* groups of two entries each, all synced."""
    disk = SimDisk()
    log = opened(disk)
    for number in range(groups):
        first = 2 * number + 1
        entries = [entry(first, 1), entry(first + 1, 1)]
        log.write(Persist(number + 1, HardState(1, "m1"), None, first, entries), [], True)
    return disk


def test_power_loss_keeps_what_was_synced_and_a_prefix_of_the_rest() -> None:
    kept = set()
    for seed in range(50):
        disk = SimDisk()
        kv = SimKv(disk)
        kv.write([(b"a", b"1")], sync=True)
        for number in range(3):
            kv.write([(b"b%d" % number, b"2"), (b"a", b"%d" % number)], sync=False)
        disk.lose_power(random.Random(seed))
        rows = dict(SimKv(disk).scan(b"", b"\xff"))
        count = len(rows) - 1
        kept.add(count)
        assert rows[b"a"] == (b"%d" % (count - 1) if count else b"1")
        assert [key for key in rows if key != b"a"] == [b"b%d" % n for n in range(count)]
    assert kept == {0, 1, 2, 3}


def test_a_synced_write_covers_the_unsynced_ones_before_it() -> None:
    disk = SimDisk()
    kv = SimKv(disk)
    kv.write([(b"a", b"1")], sync=False)
    kv.write([(b"b", b"1")], sync=True)
    disk.lose_power(random.Random(1))
    assert dict(kv.scan(b"", b"\xff")) == {b"a": b"1", b"b": b"1"}


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_anywhere_in_the_log_refuses_to_open(seed: int) -> None:
    disk = written(4)
    assert disk.rot(random.Random(seed)) is not None
    with pytest.raises((SealBroken, CorruptionError)):
        opened(disk)


@pytest.mark.parametrize("seed", range(40))
def test_misdirected_writes_refuse_to_open(seed: int) -> None:
    disk = written(4)
    assert disk.misdirect(random.Random(seed)) is not None
    with pytest.raises((SealBroken, CorruptionError)):
        opened(disk)


def test_a_lost_synced_tail_is_found_by_the_mark() -> None:
    disk = written(4)
    assert disk.lose_tail()
    with pytest.raises(CorruptionError, match="durable"):
        opened(disk)


@pytest.mark.parametrize("failure", [io_error(), disk_full()])
def test_a_write_that_fails_is_the_last_one(failure: Any) -> None:
    disk = written(2)
    log = opened(disk)
    disk.write_failure = failure
    with pytest.raises(DurabilityFailure):
        log.write(Persist(9, HardState(2, "")), [], True)
    disk.write_failure = None
    with pytest.raises(DurabilityFailure):
        log.write(Persist(10, HardState(2, "")), [], True)
    assert opened(disk).hard_state.term == 1


def test_a_process_that_died_in_a_write_leaves_nothing_after_it() -> None:
    disk = written(1)
    before = dict(disk.rows)
    dead = SimKv(disk, lambda: True)
    dead.write([(b"\x01x", b"1")], sync=True)
    assert disk.rows == before
