"""The durable log: atomic groups, recovery of every crash prefix, refusal of every damage.

Cites INV-DUR, INV-SEAL, INV-STOP and the traps A1, C4, C8, C9, C11, S7, S8 of the reference.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pydfsnode.errors import (
    Compacted,
    CorruptionError,
    DirectoryLocked,
    DiskFull,
    DurabilityFailure,
    InvariantViolation,
    SealBroken,
    StorageError,
)
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.storage.kv import Batch
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import numbered_key
from tests.support.sealed_log import (
    entries_of,
    entry,
    group,
    open_log,
    sealed,
)

REFUSALS = (CorruptionError, SealBroken)

# Each step: a group, then what the log holds after it as (hard state, entries).
HISTORY: list[tuple[Persist | None, HardState, list[tuple[int, int]]]] = [
    (Persist(1, HardState(1, "m2")), HardState(1, "m2"), []),
    (group(1, [1, 1, 1]), HardState(1, "m2"), [(1, 1), (2, 1), (3, 1)]),
    (None, HardState(1, "m2"), [(1, 1), (2, 1), (3, 1)]),
    (group(4, [2]), HardState(2, "m2"), [(1, 1), (2, 1), (3, 1), (4, 2)]),
    (
        group(3, [3, 3, 3], truncate_from=3),
        HardState(3, "m2"),
        [(1, 1), (2, 1), (3, 3), (4, 3), (5, 3)],
    ),
    (group(2, [4], truncate_from=2), HardState(4, "m2"), [(1, 1), (2, 4)]),
    (Persist(7, HardState(5, "")), HardState(5, ""), [(1, 1), (2, 4)]),
    (Persist(8, None, truncate_from=2), HardState(5, ""), [(1, 1)]),
    (Persist(9, None, truncate_from=1), HardState(5, ""), []),
    (group(1, [5, 6, 7]), HardState(7, "m2"), [(1, 5), (2, 6), (3, 7)]),
]


def runs_of(model: list[tuple[int, int]]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index, term in model:
        if not runs or runs[-1][1] != term:
            runs.append((index, term))
    return runs


def assert_holds(log: RaftLog, state: HardState, model: list[tuple[int, int]]) -> None:
    assert log.hard_state == state
    assert (log.start.first_index, log.start.last_index) == (1, len(model))
    assert log.start.term_runs == runs_of(model)
    assert entries_of(log) == [entry(index, term) for index, term in model]


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    assert_holds(log, HardState(), [])
    assert log.membership is None
    assert list(log.load_rows([4, 16, 17])) == []
    log.close()


def test_every_crash_prefix_recovers_to_the_model(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    for step, (persist, state, model) in enumerate(HISTORY):
        log.write(persist, [(17, b"step", b"%d" % step)], sync=True)
        crashed = tmp_path / f"crash-{step}"
        shutil.copytree(tmp_path / "m1", crashed)  # what a kill -9 here leaves
        again = open_log(crashed)
        assert_holds(again, state, model)
        assert list(again.load_rows([17])) == [(17, b"step", b"%d" % step)]
        again.close()
    log.close()


def test_a_log_goes_on_after_each_restart(tmp_path: Path) -> None:
    for persist, state, model in HISTORY:
        log = open_log(tmp_path / "m1")
        log.write(persist, [], sync=True)
        log.close()
        log = open_log(tmp_path / "m1")
        assert_holds(log, state, model)
        log.close()


def test_a_cut_anywhere_in_the_unfinished_group_recovers_the_one_before(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1, 1]), [], sync=True)
    mark = (tmp_path / "m1" / "durable-mark").read_bytes()
    file = next((tmp_path / "m1" / "store").glob("*.log"))
    whole = file.stat().st_size
    log.write(group(3, [1]), [(17, b"k", b"v")], sync=True)
    end = file.stat().st_size
    for size in range(whole, end, 23):
        crashed = tmp_path / f"cut-{size}"
        shutil.copytree(tmp_path / "m1", crashed)
        (crashed / "durable-mark").write_bytes(mark)  # the sync had not returned
        with next((crashed / "store").glob("*.log")).open("r+b") as cut:
            cut.truncate(size)
        again = open_log(crashed)
        assert_holds(again, HardState(1, "m2"), [(1, 1), (2, 1)])
        assert list(again.load_rows([17])) == []
        again.close()
    log.close()


def test_a_lost_tail_of_what_was_durable_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    for index in range(1, 6):
        log.write(group(index, [1]), [], sync=True)
    log.close()
    with next((tmp_path / "m1" / "store").glob("*.log")).open("r+b") as file:
        file.truncate(file.seek(0, 2) - 1)  # LevelDB alone takes this for the end of the log
    with pytest.raises(CorruptionError, match="group 5 was durable: its last 1 groups are lost"):
        open_log(tmp_path / "m1")


def test_a_flip_of_any_bit_of_the_files_is_refused_or_harmless(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    for index in range(1, 5):
        log.write(group(index, [index]), [(17, b"k", b"%d" % index)], sync=True)
    log.close()
    files = [p for p in (tmp_path / "m1").rglob("*") if p.is_file() and p.name != "LOG"]
    refused = 0
    for file in files:
        size = file.stat().st_size
        for position in range(0, size, max(1, size // 60)):
            damaged = tmp_path / "damaged"
            shutil.copytree(tmp_path / "m1", damaged)
            target = damaged / file.relative_to(tmp_path / "m1")
            content = bytearray(target.read_bytes())
            content[position] ^= 1 << position % 8
            target.write_bytes(content)
            try:
                again = open_log(damaged)
            except StorageError:  # what LevelDB and the log say of damage
                refused += 1
            except SealBroken:
                refused += 1
            else:
                assert_holds(again, HardState(4, "m2"), [(1, 1), (2, 2), (3, 3), (4, 4)])
                assert list(again.load_rows([17])) == [(17, b"k", b"4")]
                again.close()
            shutil.rmtree(damaged)
    assert refused > 60


# ---- five entries, a vote, a row of the state


@pytest.fixture
def kv() -> MemoryKv:
    """Five entries, a vote, a row of the state."""
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1, 2, 2, 3]), [(17, b"k", b"v")], sync=True)
    return kv


def key_of(index: int) -> bytes:
    return b"\x01" + numbered_key(index)


def value_of(kv: MemoryKv, key: bytes) -> bytes:
    value = kv.get(key)
    assert value is not None
    return value


# ---- writing


def test_a_group_is_one_batch_synced_as_asked() -> None:
    written: list[tuple[int, bool]] = []

    class Counting(MemoryKv):
        def write(self, batch: Batch, sync: bool) -> None:
            written.append((len(batch), sync))
            super().write(batch, sync)

    log = RaftLog.open(sealed(Counting()))
    assert written == [(1, True)]  # the incarnation
    written.clear()
    log.write(group(1, [1, 1]), [(17, b"k", b"v")], sync=True)
    log.write(group(2, [2], truncate_from=2), [], sync=False)
    log.write(group(1, [3], truncate_from=1), [(17, b"k", None)], sync=True)
    # hard state, entries, bounds, row; a truncation deletes what the new entries do not replace
    assert written == [(5, True), (3, False), (5, True)]


def test_a_power_loss_leaves_whole_groups_in_their_order() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1]), [], sync=True)
    log.write(group(2, [2, 2]), [], sync=False)
    log.write(group(2, [3], truncate_from=2), [], sync=False)
    models = [[(1, 1)], [(1, 1), (2, 2), (3, 2)], [(1, 1), (2, 3)]]
    for surviving, model in enumerate(models):
        again = RaftLog.open(sealed(kv.after_power_loss(surviving)))
        assert_holds(again, HardState(model[-1][1], "m2"), model)


class FailingKv(MemoryKv):
    """Fails once `error` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.error: StorageError | None = None
        self.attempts = 0

    def write(self, batch: Batch, sync: bool) -> None:
        self.attempts += 1
        if self.error is not None:
            raise self.error
        super().write(batch, sync)


def test_a_failed_write_is_fatal_and_nothing_is_written_after_it() -> None:
    kv = FailingKv()
    log = RaftLog.open(sealed(kv))
    kv.error, kv.attempts = StorageError("000003.log: Input/output error"), 0
    with pytest.raises(DurabilityFailure, match=r"Input/output error.*verifies its log"):
        log.write(group(1, [1]), [], sync=True)
    kv.error = None  # the disk seems well again: what it holds is unknown all the same
    with pytest.raises(DurabilityFailure):
        log.write(group(1, [1]), [], sync=True)
    assert kv.attempts == 1


def test_a_full_disk_says_so_and_that_nothing_acknowledged_is_lost() -> None:
    kv = FailingKv()
    log = RaftLog.open(sealed(kv))
    kv.error = DiskFull("the disk is full")
    with pytest.raises(DurabilityFailure, match=r"disk is full.*Nothing that was acknowledged"):
        log.write(group(1, [1]), [], sync=True)


@pytest.mark.parametrize(
    "persist",
    [
        Persist(1, None, None, 3, [entry(3, 1)]),  # a hole
        Persist(1, None, None, 1, [entry(1, 1)]),  # a second entry 1 without a truncation
        Persist(1, None, None, 2, [entry(7, 1)]),  # an entry of another place
    ],
)
def test_a_group_that_does_not_continue_the_log_is_a_broken_invariant(persist: Persist) -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1]), [], sync=True)
    before = dict(kv.durable_rows)
    with pytest.raises(InvariantViolation):
        log.write(persist, [], sync=True)
    assert kv.durable_rows == before


def test_a_truncation_above_the_end_removes_nothing() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1]), [], sync=True)
    log.write(group(2, [1, 1], truncate_from=4), [], sync=True)
    assert_holds(RaftLog.open(sealed(kv)), HardState(1, "m2"), [(1, 1), (2, 1), (3, 1)])


# ---- reading


def test_a_read_is_bounded_but_gives_at_least_one_entry() -> None:
    log = RaftLog.open(sealed(MemoryKv()))
    log.write(group(1, [1] * 10), [], sync=True)
    size = len(entry(3, 1))
    assert log.read(3, 9, 0) == [entry(3, 1)]
    assert log.read(3, 9, 2 * size) == [entry(3, 1), entry(4, 1)]
    assert log.read(3, 4, 100 * size) == [entry(3, 1), entry(4, 1)]


def test_a_read_of_what_is_missing_is_an_error_and_never_a_short_answer(kv: MemoryKv) -> None:
    log = RaftLog.open(sealed(kv))
    with pytest.raises(CorruptionError, match="log entry 6"):
        log.read(4, 7, 1 << 20)
    with pytest.raises(Compacted):
        log.read(0, 1, 1 << 20)
    kv.write([(key_of(3), None)], sync=True)
    with pytest.raises(CorruptionError, match="log entry 3"):
        log.read(2, 5, 1 << 20)
    with pytest.raises(CorruptionError, match="log entry 3"):
        log.read(3, 5, 1 << 20)


def test_rows_of_the_state_are_loaded_table_by_table(kv: MemoryKv) -> None:
    log = RaftLog.open(sealed(kv))
    log.write(None, [(18, b"b", b"2"), (18, b"a", b"1"), (4, b"", b"m1,m2,m3")], sync=True)
    assert list(log.load_rows([17, 18])) == [
        (17, b"k", b"v"),
        (18, b"a", b"1"),
        (18, b"b", b"2"),
    ]
    assert RaftLog.open(sealed(kv)).membership == b"m1,m2,m3"
    with pytest.raises(InvariantViolation):
        list(log.load_rows([1]))


# ---- secrecy


def test_neither_names_nor_content_occur_in_any_file_of_the_directory(tmp_path: Path) -> None:
    """INV-SEAL: what entries and rows say is not readable in a master's data directory."""
    words = [b"tax-return-2031.pdf", b"alice-and-bob", b"the-content-of-a-small-file"]
    log = open_log(tmp_path / "m1")
    for index in range(1, 200):
        payload = words[0] + b"%d" % index
        persist = Persist(index, HardState(1, "m2"), None, index, [entry(index, 1, payload)])
        log.write(persist, [(17, numbered_key(index), words[1]), (18, b"i", words[2])], sync=True)
    log.close()
    open_log(tmp_path / "m1").close()  # now in table files as well
    files = [p for p in (tmp_path / "m1").rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) > 200 * len(words[0])
    for file in files:
        content = file.read_bytes()
        for word in words:
            assert word not in content, f"{file.name} holds {word!r}"


def test_a_log_open_elsewhere_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    with pytest.raises(DirectoryLocked):
        LevelDb(tmp_path / "m1" / "store")
    log.close()


def test_the_bounds_survive_their_encoding() -> None:
    bounds = LogBounds(9, 1, 2**40, 0, 7, 0xFFFFFFFF, 2**40 - 1, 1, 0xFEDCBA98)
    assert LogBounds.decode(bounds.encode()) == bounds
