"""Compaction drops the head of the log, and only what the state holds durably (B10, C6, C9, S6)."""

from __future__ import annotations

import threading

import pytest

from pydfsnode._fast import encode_entry
from pydfsnode.errors import Compacted, CorruptionError, InvariantViolation
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.storage import raft_log
from pydfsnode.storage.kv import Batch
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import numbered_key
from tests.support.sealed_log import entries_of, entry, group, sealed

TERMS = [1, 1, 2, 2, 3]


@pytest.fixture
def kv() -> MemoryKv:
    return MemoryKv()


@pytest.fixture
def log(kv: MemoryKv) -> RaftLog:
    """Entries 1 to 5, the state at 4."""
    log = RaftLog.open(sealed(kv))
    log.write(group(1, TERMS), [(17, b"k", b"v")], sync=True, state_index=4)
    return log


def key_of(index: int) -> bytes:
    return b"\x01" + numbered_key(index)


@pytest.mark.parametrize("through", range(5))
def test_what_is_left_begins_behind_what_was_dropped(
    log: RaftLog, kv: MemoryKv, through: int
) -> None:
    log.compact(through, b"members")
    for found in (log, RaftLog.open(sealed(kv))):
        assert found.bounds.first_index == through + 1
        assert found.bounds.last_index == 5
        assert found.read(through + 1, 5, 1 << 20) == [
            entry(i, TERMS[i - 1]) for i in range(through + 1, 6)
        ]
        assert found.log_bytes == sum(len(entry(i, 1)) for i in range(through + 1, 6))
        assert found.state_index == 4
    again = RaftLog.open(sealed(kv))
    assert again.start.prev_term == (TERMS[through - 1] if through else 0)
    assert again.start.base == (b"members" if through else None)
    first = (through + 1, TERMS[through])
    assert again.start.term_runs[0] == first  # also where its term is that of what went


def test_a_log_compacted_to_its_end_is_empty_and_goes_on(kv: MemoryKv) -> None:
    log = RaftLog.open(sealed(kv))
    log.write(group(1, TERMS), [], sync=True, state_index=5)
    log.compact(5, b"members")
    again = RaftLog.open(sealed(kv))
    assert (again.start.first_index, again.start.last_index, again.start.prev_term) == (6, 5, 3)
    assert (again.log_bytes, again.bounds.last_term, again.bounds.last_crc) == (0, 3, 0)
    again.write(group(6, [3, 4]), [], sync=True, state_index=7)
    again.compact(6, b"members")
    assert entries_of(RaftLog.open(sealed(kv))) == [entry(7, 4)]


def test_what_is_gone_is_said_to_be_compacted(log: RaftLog) -> None:
    log.compact(3, b"members")
    for first in range(4):
        with pytest.raises(Compacted, match=f"entry {first} "):
            log.read(first, 5, 1 << 20)


def test_a_second_or_older_compaction_does_nothing(log: RaftLog, kv: MemoryKv) -> None:
    log.compact(3, b"members")
    before = dict(kv.durable_rows)
    log.compact(3, b"others")
    log.compact(1, b"others")
    log.compact(0, b"others")
    assert kv.durable_rows == before


def test_entries_that_the_state_does_not_hold_are_not_dropped(log: RaftLog) -> None:
    with pytest.raises(InvariantViolation, match="does not hold"):
        log.compact(5, b"members")
    with pytest.raises(InvariantViolation, match="does not hold"):
        log.compact(6, b"members")


def test_the_state_is_durable_before_entries_go(log: RaftLog, kv: MemoryKv) -> None:
    log.write(None, [(17, b"k", b"w")], sync=False, state_index=5)
    synced: list[bytes | None] = []

    class Watching(MemoryKv):
        def write(self, batch: Batch, sync: bool) -> None:
            if any(key == key_of(5) for key, _ in batch):
                synced.append(kv.durable_rows.get(b"\x11k"))
            MemoryKv.write(self, batch, sync)

    kv.__class__ = Watching
    log.compact(5, b"members")
    assert synced == [kv.get(b"\x11k")]


def test_a_compaction_goes_in_synced_batches_and_may_be_cut_between_them(
    kv: MemoryKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_log, "COMPACT_ENTRIES_MAX", 3)
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1] * 10), [], sync=True, state_index=10)
    states: list[dict[bytes, bytes]] = []

    class Recording(MemoryKv):
        def write(self, batch: Batch, sync: bool) -> None:
            assert sync
            MemoryKv.write(self, batch, sync)
            states.append(dict(self.durable_rows))

    kv.__class__ = Recording
    log.compact(8, b"members")
    firsts = [RaftLog.open(sealed(MemoryKv(rows))).start.first_index for rows in states]
    assert firsts == [4, 7, 9]
    assert all(RaftLog.open(sealed(MemoryKv(rows))).start.base == b"members" for rows in states)


def test_a_truncation_down_to_the_new_head_is_right(log: RaftLog, kv: MemoryKv) -> None:
    log.compact(4, b"members")
    log.write(Persist(1, None, truncate_from=5), [], sync=True)
    again = RaftLog.open(sealed(kv))
    assert (again.start.first_index, again.start.last_index, again.start.prev_term) == (5, 4, 2)
    with pytest.raises(InvariantViolation, match="below the log"):
        again.write(Persist(1, None, truncate_from=4), [], sync=True)
    again.write(group(5, [4]), [], sync=True)
    assert entries_of(RaftLog.open(sealed(kv))) == [entry(5, 4)]


# ---- refusals: a head that is missing is right only below the bounds


def test_a_head_missing_without_a_compaction_is_refused(log: RaftLog, kv: MemoryKv) -> None:
    log.compact(2, b"members")
    kv.write([(key_of(3), None)], sync=True)
    with pytest.raises(CorruptionError, match="log entry 3: the record is missing"):
        RaftLog.open(sealed(kv))


def test_an_entry_that_came_back_below_the_head_is_refused(log: RaftLog, kv: MemoryKv) -> None:
    old = kv.get(key_of(2))
    log.compact(2, b"members")
    kv.write([(key_of(2), old)], sync=True)
    with pytest.raises(CorruptionError, match="log entry 3: "):
        RaftLog.open(sealed(kv))


def test_a_compacted_log_without_its_members_is_refused(log: RaftLog, kv: MemoryKv) -> None:
    log.compact(2, b"members")
    kv.write([(b"\x04", None)], sync=True)
    with pytest.raises(CorruptionError, match="membership: the record is missing"):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("state_index", [1, 6])
def test_a_state_that_does_not_meet_the_log_is_refused(
    log: RaftLog, kv: MemoryKv, state_index: int
) -> None:
    log.compact(2, b"members")
    bounds = log.bounds._replace(state_index=state_index)
    sealed(kv).write([(3, b"", bounds.encode())], sync=True)
    with pytest.raises(CorruptionError, match="log bounds: the state is the one after entry"):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("index", [3, 6])
def test_a_state_that_goes_back_or_runs_ahead_is_a_broken_invariant(
    log: RaftLog, index: int
) -> None:
    with pytest.raises(InvariantViolation, match="the state goes back"):
        log.write(None, [], sync=True, state_index=index)


# ---- beside each other


def test_a_read_while_the_log_is_compacted_is_right_or_compacted(
    kv: MemoryKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft_log, "COMPACT_ENTRIES_MAX", 2)
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1] * 400), [], sync=True, state_index=400)
    outcomes = {"read": 0, "compacted": 0}
    failures: list[BaseException] = []
    started = threading.Event()

    def read_on() -> None:
        first = 1
        try:
            while first <= 400:
                try:
                    found = log.read(first, 400, 200)
                except Compacted:
                    outcomes["compacted"] += 1
                    first += 1
                else:
                    assert found[0] == entry(first, 1)
                    outcomes["read"] += 1
                started.set()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    reader = threading.Thread(target=read_on)
    reader.start()
    started.wait(5)
    log.compact(400, b"members")
    reader.join(30)
    assert not failures
    assert outcomes["read"]
    assert outcomes["compacted"] == 400


@pytest.mark.parametrize("at", ["scan", "write"])
def test_a_read_that_meets_a_compaction_half_way_says_compacted(
    log: RaftLog, kv: MemoryKv, at: str
) -> None:
    """By hand: compacted between the check and the scan; read before the write ended."""
    seen: list[BaseException] = []

    class Meeting(MemoryKv):
        def scan(self, first: bytes, end: bytes) -> object:
            if at == "scan" and first == key_of(1):
                kv.__class__ = MemoryKv
                log.compact(3, b"members")
            return MemoryKv.scan(self, first, end)

        def write(self, batch: Batch, sync: bool) -> None:
            MemoryKv.write(self, batch, sync)
            try:
                log.read(1, 5, 1 << 20)
            except Compacted as error:
                seen.append(error)

    kv.__class__ = Meeting
    if at == "scan":
        with pytest.raises(Compacted):
            log.read(1, 5, 1 << 20)
    else:
        log.compact(3, b"members")
        assert len(seen) == 1


# ---- members and incarnation


def test_the_start_tells_the_configurations_in_the_log_and_before_it(kv: MemoryKv) -> None:
    log = RaftLog.open(sealed(kv))
    assert log.start.base is None
    log.write(Persist(1, base=b"first members"), [], sync=True)
    entries = [entry(1, 1), encode_entry(2, 1, 2, b"two"), entry(3, 1), encode_entry(4, 1, 2, b"4")]
    log.write(Persist(2, HardState(1, "m1"), None, 1, entries), [], sync=True, state_index=4)
    start = RaftLog.open(sealed(kv)).start
    assert start.base == b"first members"
    assert start.configurations == [(2, b"two"), (4, b"4")]
    log.compact(3, b"two")
    start = RaftLog.open(sealed(kv)).start
    assert (start.base, start.configurations) == (b"two", [(4, b"4")])
    with pytest.raises(InvariantViolation, match="a log in use"):
        log.write(Persist(3, base=b"again"), [], sync=True)


def test_the_first_configuration_may_come_after_entries(kv: MemoryKv) -> None:
    log = RaftLog.open(sealed(kv))
    log.write(Persist(1, HardState(1, "m1"), None, 1, [entry(1, 1)]), [], sync=True)
    log = RaftLog.open(sealed(kv))
    assert log.start.base is None
    log.write(Persist(2, base=b"first members"), [], sync=True)
    start = RaftLog.open(sealed(kv)).start
    assert (start.base, start.last_index) == (b"first members", 1)


def test_a_directory_has_one_incarnation_for_ever(kv: MemoryKv) -> None:
    numbers = iter([7, 8])
    first = RaftLog.open(sealed(kv), None, lambda: next(numbers))
    assert first.incarnation == 7
    assert RaftLog.open(sealed(kv.after_power_loss()), None, lambda: next(numbers)).incarnation == 7
    first.write(group(1, [1]), [], sync=True)
    assert RaftLog.open(sealed(kv)).incarnation == 7
    assert next(numbers) == 8


def test_a_lost_incarnation_is_refused(log: RaftLog, kv: MemoryKv) -> None:
    kv.write([(b"\x05", None)], sync=True)
    with pytest.raises(CorruptionError, match="incarnation: the record says None"):
        RaftLog.open(sealed(kv))


def test_a_store_of_before_incarnations_has_none_and_keeps_it_so(kv: MemoryKv) -> None:
    older = LogBounds(
        group=1, last_index=1, last_term=1, last_crc=int.from_bytes(entry(1, 1)[:4], "little")
    ).encode()[:44]
    store = sealed(kv)
    store.write([(2, b"", bytes([1, *bytes(7), 0, 0])), (3, b"", older), (17, b"k", b"v")], True)
    kv.write(store.seal_numbered(1, 1, [entry(1, 1)]), sync=True)
    log = RaftLog.open(store)
    assert (log.incarnation, log.state_index, log.bounds.generation) == (0, 0, 0)
    log.write(group(2, [1]), [], sync=True, state_index=2)
    again = RaftLog.open(store)
    assert (again.incarnation, again.state_index) == (0, 2)
    assert list(again.load_rows([17])) == [(17, b"k", b"v")]
