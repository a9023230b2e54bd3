"""Views of the state, staging a snapshot and putting it in place at once (F1, F4, F7, S4, S6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode.errors import CorruptionError, InvariantViolation, SealBroken, StorageError
from pydfsnode.raft.effects import HardState
from pydfsnode.storage import dead_state
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from tests.support.sealed_log import (
    entries_of,
    entry,
    group,
    install,
    open_log,
    sealed,
    stage,
    state_of,
)

OLD = [(16, b"", b"head"), (17, b"a", b"1"), (17, b"b", b"2"), (19, b"a", b"3")]
NEW = [(16, b"", b"HEAD"), (17, b"b", b"two"), (17, b"c", b"three"), (18, b"", b"four")]


@pytest.fixture
def kv() -> MemoryKv:
    return MemoryKv()


@pytest.fixture
def log(kv: MemoryKv) -> RaftLog:
    """Entries 1 to 5 of terms 1 and 2, the state at 3."""
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1, 1, 2, 2]), OLD, sync=True, state_index=3)
    return log


def dead_rows(kv: MemoryKv, generation: int) -> list[bytes]:
    first = 16 + 96 * generation
    return [key for key, _ in kv.scan(bytes([first]), bytes([first + 64]))]


# ---- views


def test_a_view_is_the_state_at_one_index_while_the_log_goes_on(log: RaftLog) -> None:
    view = log.open_view()
    log.write(group(6, [2]), [(17, b"a", None), (17, b"z", b"9")], sync=True, state_index=6)
    log.compact(5, b"members")
    assert (view.index, list(view.rows())) == (3, OLD)
    assert list(view.rows()) == OLD
    assert state_of(log) == (6, [OLD[0], OLD[2], (17, b"z", b"9"), OLD[3]])
    view.close()
    view.close()
    with pytest.raises(StorageError, match="closed"):
        list(view.rows())


def test_a_view_goes_on_behind_any_row(log: RaftLog) -> None:
    view = log.open_view()
    for position, (table, key, _) in enumerate(OLD):
        assert list(view.rows((table, key))) == OLD[position + 1 :]
    assert list(view.rows((16, b"zz"))) == OLD[1:]
    assert list(view.rows((17, b"a\x00"))) == OLD[2:]
    assert list(view.rows((18, b""))) == OLD[3:]
    assert list(view.rows((79, b"\xff"))) == []
    view.close()


def test_a_view_of_an_empty_log_is_empty(kv: MemoryKv) -> None:
    assert state_of(RaftLog.open(sealed(kv))) == (0, [])


def test_a_state_of_unknown_index_is_not_shown(kv: MemoryKv) -> None:
    """A store of an older release: labelled with index 0 its state would be applied twice (S4)."""
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1]), [(17, b"k", b"v")], sync=True)
    with pytest.raises(StorageError, match="not on record"):
        log.open_view()
    log.write(None, [], sync=True, state_index=1)
    assert state_of(log) == (1, [(17, b"k", b"v")])


def test_a_damaged_row_is_refused_by_a_view(log: RaftLog, kv: MemoryKv) -> None:
    value = kv.get(b"\x11b")
    kv.write([(b"\x11a", value)], sync=True)
    view = log.open_view()
    with pytest.raises(SealBroken, match="row 61 of table 17"):
        list(view.rows())
    view.close()


# ---- staging


def test_what_is_staged_shows_nowhere_before_it_is_installed(log: RaftLog, kv: MemoryKv) -> None:
    stage(log, 9, 2, NEW)
    for found in (log, RaftLog.open(sealed(kv))):
        assert state_of(found) == (3, OLD)
        assert list(found.load_rows([16, 17, 18, 19])) == OLD
        assert len(found.read(1, 5, 1 << 20)) == 5


def test_a_transfer_goes_on_where_it_was_in_the_same_process_and_after_a_restart(
    log: RaftLog, kv: MemoryKv
) -> None:
    first = log.stage(9, 2)
    assert (first.after, first.row_count, first.crc) == (None, 0, 0)
    first.add(NEW[:2], 2, 11)
    second = log.stage(9, 2)
    assert (second.after, second.row_count, second.crc) == ((17, b"b"), 2, 11)
    with pytest.raises(StorageError, match="dropped"):
        first.add(NEW[2:], 4, 12)
    second.add(NEW[2:3], 3, 12)
    log = RaftLog.open(sealed(kv))
    third = log.stage(9, 2)
    assert (third.after, third.row_count, third.crc) == ((17, b"c"), 3, 12)
    third.add(NEW[3:], 4, 13)
    third.finish(4, 13)
    log.write(install(9, 2), [], sync=True)
    assert state_of(RaftLog.open(sealed(kv))) == (9, NEW)


@pytest.mark.parametrize("other", [(9, 3), (8, 2), (10, 2)])
def test_another_snapshot_begins_anew(log: RaftLog, kv: MemoryKv, other: tuple[int, int]) -> None:
    staged = log.stage(9, 2)
    staged.add(OLD, 4, 11)
    fresh = log.stage(*other)
    assert (fresh.after, fresh.row_count) == (None, 0)
    assert dead_rows(kv, 1) == []
    with pytest.raises(StorageError, match="dropped"):
        staged.finish(4, 11)


def test_a_power_cut_leaves_a_shorter_stage_that_goes_on(log: RaftLog, kv: MemoryKv) -> None:
    staged = log.stage(9, 2)
    for count in range(1, 5):
        staged.add(NEW[count - 1 : count], count, count)
    for surviving in range(len(kv.unsynced) + 1):
        after = RaftLog.open(sealed(kv.after_power_loss(surviving)))
        again = after.stage(9, 2)
        assert again.row_count in (surviving, max(0, surviving - 1))
        assert again.crc == again.row_count
        again.add(NEW[again.row_count :], 4, 4)
        again.finish(4, 4)
        after.write(install(9, 2), [], sync=True)
        assert state_of(after) == (9, NEW)


@pytest.mark.parametrize("lost", [b"\x70", b"\x71b"])
def test_a_stage_of_before_a_crash_that_lacks_a_row_begins_anew(
    log: RaftLog, kv: MemoryKv, lost: bytes
) -> None:
    """Of unsynced batches LevelDB may lose an earlier one and keep a later one."""
    log.stage(9, 2).add(NEW[:2], 2, 2)
    kv.write([(lost, None)], sync=True)
    again = RaftLog.open(sealed(kv)).stage(9, 2)
    assert (again.row_count, again.after) == (0, None)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (NEW[2:], 3),  # one too few
        (NEW[2:], 5),
        (NEW[1:], 5),  # the last one again
        ([NEW[3], NEW[2]], 4),
    ],
)
def test_rows_that_do_not_follow_are_refused_and_nothing_of_them_is_staged(
    log: RaftLog, kv: MemoryKv, rows: list[tuple[int, bytes, bytes]], count: int
) -> None:
    staged = log.stage(9, 2)
    staged.add(NEW[:2], 2, 2)
    with pytest.raises(CorruptionError):
        staged.add(rows, count, 4)
    assert len(dead_rows(kv, 1)) == staged.row_count == 2


@pytest.mark.parametrize(("count", "crc"), [(4, 5), (3, 4), (5, 4)])
def test_a_snapshot_that_is_not_whole_is_not_installed(log: RaftLog, count: int, crc: int) -> None:
    staged = log.stage(9, 2)
    staged.add(NEW, 4, 4)
    with pytest.raises(CorruptionError, match="after entry 9 does not match"):
        staged.finish(count, crc)
    with pytest.raises(InvariantViolation, match="not the one that is staged"):
        log.write(install(9, 2), [], sync=True)


def test_only_rows_of_the_state_are_staged(log: RaftLog) -> None:
    with pytest.raises(InvariantViolation, match="not a table of the state"):
        log.stage(9, 2).add([(3, b"", LogBounds().encode())], 1, 1)


# ---- installing


def test_a_snapshot_beyond_the_log_replaces_all_of_it(log: RaftLog, kv: MemoryKv) -> None:
    stage(log, 9, 2, NEW)
    log.write(install(9, 2, base=b"others"), [], sync=False)  # synced all the same
    assert not kv.unsynced
    assert kv.get(b"\x06") is None
    for found in (log, RaftLog.open(sealed(kv))):
        assert state_of(found) == (9, NEW)
        assert list(found.load_rows([16, 17, 18, 19])) == NEW
        assert found.log_bytes == 0
    start = RaftLog.open(sealed(kv)).start
    assert (start.first_index, start.last_index, start.prev_term) == (10, 9, 2)
    assert (start.base, start.term_runs, start.configurations) == (b"others", [], [])
    log.write(group(10, [2, 3]), [(17, b"b", None)], sync=True, state_index=11)
    again = RaftLog.open(sealed(kv))
    assert entries_of(again) == [entry(10, 2), entry(11, 3)]
    assert state_of(again) == (11, [NEW[0], *NEW[2:]])


@pytest.mark.parametrize("index", [3, 4, 5])
def test_a_snapshot_whose_entry_the_log_holds_keeps_what_follows_it(
    log: RaftLog, kv: MemoryKv, index: int
) -> None:
    term = [1, 2, 2][index - 3]
    stage(log, index, term, NEW)
    log.write(install(index, term, keep_log=True), [], sync=True)
    for found in (log, RaftLog.open(sealed(kv))):
        assert state_of(found) == (index, NEW)
        assert (found.bounds.first_index, found.bounds.last_index) == (index + 1, 5)
        assert found.bounds.prev_term == term
        assert found.log_bytes == sum(len(entry(i, 2)) for i in range(index + 1, 6))
    assert entries_of(RaftLog.open(sealed(kv))) == [entry(i, 2) for i in range(index + 1, 6)]


def test_a_snapshot_inside_a_log_of_another_history_drops_all_of_it(
    log: RaftLog, kv: MemoryKv
) -> None:
    """S6: entries above the snapshot must not come back after a restart."""
    stage(log, 4, 3, NEW)
    persist = install(4, 3)
    persist.hard_state = HardState(3, "")
    log.write(persist, [], sync=True)
    again = RaftLog.open(sealed(kv))
    assert (again.start.first_index, again.start.last_index, again.start.prev_term) == (5, 4, 3)
    assert again.hard_state == HardState(3, "")
    assert entries_of(again) == []


def test_a_log_that_does_not_hold_the_entry_is_not_kept(log: RaftLog, kv: MemoryKv) -> None:
    before = dict(kv.durable_rows)
    stage(log, 4, 1, NEW)
    with pytest.raises(InvariantViolation, match="disagrees"):
        log.write(install(4, 1, keep_log=True), [], sync=True)
    stage(log, 6, 2, NEW)
    with pytest.raises(InvariantViolation, match="does not hold its entry"):
        log.write(install(6, 2, keep_log=True), [], sync=True)
    assert {key: kv.durable_rows[key] for key in before} == before


def test_an_older_snapshot_than_the_state_is_a_broken_invariant(log: RaftLog) -> None:
    stage(log, 2, 1, NEW)
    with pytest.raises(InvariantViolation, match="older than the state"):
        log.write(install(2, 1), [], sync=True)


def test_rows_of_the_state_that_is_replaced_are_left_out(log: RaftLog) -> None:
    stage(log, 9, 2, NEW)
    log.write(install(9, 2), [(17, b"old", b"old")], sync=True, state_index=5)
    assert state_of(log) == (9, NEW)
    with pytest.raises(InvariantViolation, match="the state goes back"):
        log.write(None, [(17, b"old", b"old")], sync=True, state_index=5)


def test_a_view_of_the_replaced_state_stays_whole(log: RaftLog) -> None:
    view = log.open_view()
    stage(log, 9, 2, NEW)
    log.write(install(9, 2), [], sync=True)
    while log.purge_some():
        pass
    assert (view.index, list(view.rows())) == (3, OLD)
    view.close()


def test_every_crash_between_stage_and_purge_leaves_the_old_or_the_new(
    log: RaftLog, kv: MemoryKv
) -> None:
    """F7: whole, and never neither."""
    stage(log, 9, 2, NEW)
    assert state_of(RaftLog.open(sealed(kv.after_power_loss()))) == (3, OLD)
    log.write(install(9, 2), [], sync=True)
    while log.purge_some():
        pass
    assert kv.unsynced
    for surviving in range(len(kv.unsynced) + 1):
        crashed = kv.after_power_loss(surviving)
        again = RaftLog.open(sealed(crashed))
        assert state_of(again) == (9, NEW)
        while again.purge_some():
            pass
        assert dead_rows(crashed, 0) == []


def test_generations_take_turns(log: RaftLog, kv: MemoryKv) -> None:
    for round_ in range(1, 5):
        rows = [(17, b"round", b"%d" % round_), (18, b"%d" % round_, b"x")]
        stage(log, 10 * round_, 2, rows)
        log.write(install(10 * round_, 2), [], sync=True)
        assert log.bounds.generation == round_ % 2
        log = RaftLog.open(sealed(kv))
        assert state_of(log) == (10 * round_, rows)


# ---- purging


def test_the_dead_generation_goes_a_few_rows_at_a_time(
    log: RaftLog, kv: MemoryKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_state, "PURGE_ROWS_MAX", 3)
    stage(log, 9, 2, NEW)
    log.write(install(9, 2), [], sync=True)
    assert len(dead_rows(kv, 0)) == 4
    assert log.purge_some()
    assert len(dead_rows(kv, 0)) == 1
    log = RaftLog.open(sealed(kv))
    assert not log.purge_some()
    assert dead_rows(kv, 0) == []
    assert not log.purge_some()
    assert state_of(log) == (9, NEW)


def test_a_stage_is_not_purged_until_the_state_has_got_as_far(log: RaftLog, kv: MemoryKv) -> None:
    staged = log.stage(5, 2)
    staged.add(NEW, 4, 4)
    assert not log.purge_some()
    log = RaftLog.open(sealed(kv))
    assert not log.purge_some()
    assert len(dead_rows(kv, 1)) == 4
    log.write(None, [], sync=True, state_index=5)
    assert not log.purge_some()
    assert dead_rows(kv, 1) == []
    assert kv.get(b"\x06") is None
    assert log.stage(5, 2).row_count == 0


def test_a_stage_that_was_purged_takes_no_more_rows(log: RaftLog) -> None:
    staged = log.stage(5, 2)
    staged.add(NEW[:2], 2, 2)
    log.write(None, [], sync=True, state_index=5)
    log.purge_some()
    with pytest.raises(StorageError, match="not needed any more"):
        staged.add(NEW[2:], 4, 4)


# ---- damage


def flipped(kv: MemoryKv, key: bytes) -> None:
    value = bytearray(kv.get(key) or b"")
    value[-1] ^= 1
    kv.write([(key, bytes(value))], sync=True)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (b"\x02", "hard state"),
        (b"\x03", "log bounds"),
        (b"\x04", "membership"),
        (b"\x05", "incarnation"),
        (b"\x06", "snapshot progress"),
    ],
)
def test_a_flipped_bit_in_a_row_of_the_log_is_refused_by_its_name(
    log: RaftLog, kv: MemoryKv, key: bytes, name: str
) -> None:
    log.compact(2, b"members")
    log.stage(9, 2).add(NEW, 4, 4)
    flipped(kv, key)
    with pytest.raises(SealBroken, match=f"^{name}: the seal does not open"):
        RaftLog.open(sealed(kv))


def test_a_flipped_bit_in_an_installed_row_is_refused_on_loading(
    log: RaftLog, kv: MemoryKv
) -> None:
    stage(log, 9, 2, NEW)
    log.write(install(9, 2), [], sync=True)
    flipped(kv, b"\x71b")
    with pytest.raises(SealBroken, match="row 62 of table 113"):
        list(RaftLog.open(sealed(kv)).load_rows([17]))


def test_a_row_of_the_other_generation_does_not_open(log: RaftLog, kv: MemoryKv) -> None:
    stage(log, 9, 2, NEW)
    log.write(install(9, 2), [], sync=True)
    kv.write([(b"\x71b", kv.get(b"\x11b"))], sync=True)
    with pytest.raises(SealBroken):
        list(log.load_rows([17]))


@pytest.mark.parametrize(
    ("table", "name"), [(3, "log bounds"), (5, "incarnation"), (6, "snapshot progress")]
)
def test_a_row_of_a_wrong_form_is_refused(
    log: RaftLog, kv: MemoryKv, table: int, name: str
) -> None:
    sealed(kv).write([(table, b"", b"\x01\x02")], sync=True)
    with pytest.raises(CorruptionError, match=name):
        RaftLog.open(sealed(kv))


def test_a_generation_that_there_is_not_is_refused(log: RaftLog, kv: MemoryKv) -> None:
    sealed(kv).write([(3, b"", log.bounds._replace(generation=2).encode())], sync=True)
    with pytest.raises(CorruptionError, match="generation 2"):
        RaftLog.open(sealed(kv))


# ---- on disk


def test_stage_install_and_compaction_on_leveldb(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1, 1, 1, 2, 2]), OLD, sync=True, state_index=5)
    log.compact(3, b"members")
    log.stage(9, 2).add(NEW[:2], 2, 2)
    view = log.open_view()
    log.close()
    assert (view.index, list(view.rows())) == (5, OLD)
    view.close()
    log = open_log(tmp_path / "m1")
    assert log.start.first_index == 4
    staged = log.stage(9, 2)
    assert staged.row_count == 2
    staged.add(NEW[2:], 4, 4)
    staged.finish(4, 4)
    log.write(install(9, 2), [], sync=True)
    log.close()
    log = open_log(tmp_path / "m1")
    assert not log.purge_some()
    assert state_of(log) == (9, NEW)
    log.close()
