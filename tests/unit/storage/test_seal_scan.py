"""Which keys the rows of a store need, and sealing them anew while the log is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode.errors import SealBroken
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage import seal_scan
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.open_reads import OpenReads
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.seal_scan import SealScan
from pydfsnode.storage.sealed import TABLE_ENTRY, SealedStore, epoch_of, numbered_key
from tests.support.sealed_log import CLUSTER, NODE, entries_of, group

TABLE = 20


class Disk:
    """A log in a directory, with a keyring of its own."""

    def __init__(self, directory: Path) -> None:
        self.keyring = Keyring.open(directory, directory / "kek", CLUSTER, NODE)
        self.store = SealedStore(LevelDb(directory / "store"), self.keyring, CLUSTER, NODE)
        self.log = RaftLog.open(self.store, DurableMark(directory / "mark"))

    def fill(self, first: int, count: int) -> None:
        rows = [(TABLE, numbered_key(n), b"row %d" % n) for n in range(first, first + count)]
        self.log.write(group(first, [1] * count), rows, True, first + count - 1)

    def walk(self, seals: bool = True) -> SealScan:
        """To its end; what is old is sealed anew on the way."""
        scan = SealScan(self.store, self.keyring.epoch)
        more = True
        while more:
            more = scan.step()
            if seals:
                self.log.reseal([key for key, _ in scan.stale], self.keyring.epoch)
        scan.close()
        return scan


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_every_record_is_sealed_anew_and_keeps_its_content(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal_scan, "SLICE_ROWS", 7)
    disk.fill(1, 50)
    disk.keyring.rotate()
    first = disk.walk()
    assert set(first.epochs) == {1}
    disk.fill(51, 3)
    second = disk.walk()
    assert set(second.epochs) == {2}
    assert second.rows_seen == first.rows_seen + 6
    assert disk.keyring.destroy([1]) == [1]
    disk.log.close()
    again = Disk(tmp_path)
    assert len(entries_of(again.log)) == 53
    assert again.log.read_row(TABLE, numbered_key(9)) == b"row 9"


def test_a_row_written_or_removed_since_the_walk_saw_it_stays_so(disk: Disk) -> None:
    disk.fill(1, 3)
    disk.keyring.rotate()
    scan = SealScan(disk.store, 2)
    assert not scan.step()
    old = [key for key, _ in scan.stale]
    scan.close()
    changed = [(TABLE, numbered_key(1), b"newer"), (TABLE, numbered_key(2), None)]
    disk.log.write(None, changed, True)
    disk.log.reseal(old, 2)
    assert disk.log.read_row(TABLE, numbered_key(1)) == b"newer"
    assert disk.log.read_row(TABLE, numbered_key(2)) is None
    assert disk.log.read_row(TABLE, numbered_key(3)) == b"row 3"


def test_a_damaged_record_is_found_and_not_sealed_as_good(disk: Disk) -> None:
    disk.fill(1, 3)
    key = bytes([TABLE_ENTRY]) + numbered_key(2)
    sealed = disk.store.kv.get(key)
    assert sealed is not None
    disk.store.kv.write([(key, sealed[:-1] + bytes([sealed[-1] ^ 1]))], True)
    disk.keyring.rotate()
    with pytest.raises(SealBroken, match="log entry 2"):
        disk.walk()
    kept = disk.store.kv.get(key)
    assert kept is not None
    assert epoch_of(kept) == 1


def test_what_a_key_sealed_that_was_destroyed_cannot_be_played_back(disk: Disk) -> None:
    disk.fill(1, 2)
    key = bytes([TABLE]) + numbered_key(1)
    older = disk.store.kv.get(key)
    disk.log.write(None, [(TABLE, numbered_key(1), b"newer")], True)
    disk.keyring.rotate()
    disk.walk()
    disk.keyring.destroy([1])
    disk.store.kv.write([(key, older)], True)
    with pytest.raises(SealBroken, match="key epoch 1"):
        disk.log.read_row(TABLE, numbered_key(1))


def test_a_view_keeps_reading_and_is_known_until_it_is_closed(disk: Disk) -> None:
    disk.fill(1, 2)
    view = disk.log.open_view()
    disk.keyring.rotate()
    scan = disk.walk()
    assert not disk.store.reads.ended_before(scan.number)
    assert [row[2] for row in view.rows()] == [b"row 1", b"row 2"]
    view.close()
    view.close()
    assert disk.store.reads.ended_before(scan.number)
    later = disk.log.open_view()  # sees only what the walk saw or what was written since
    assert disk.store.reads.ended_before(scan.number)
    later.close()


def test_a_read_is_open_while_its_rows_are_taken(disk: Disk) -> None:
    disk.fill(1, 2)
    rows = disk.log.load_rows([TABLE])
    next(rows)
    scan = disk.walk(seals=False)
    assert not disk.store.reads.ended_before(scan.number)
    assert len(list(rows)) == 1
    assert disk.store.reads.ended_before(scan.number)


def test_reads_are_told_apart_by_when_they_began() -> None:
    reads = OpenReads()
    first, second = reads.begin(), reads.begin()
    assert reads.ended_before(first)
    assert not reads.ended_before(second)
    reads.end(first)
    reads.end(first)
    assert reads.ended_before(second)
