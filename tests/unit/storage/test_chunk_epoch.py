"""The highest epoch is kept, and what is older is refused."""

import os
import threading
from pathlib import Path

import pytest

from pydfsnode.errors import CorruptionError, DurabilityFailure, StaleEpoch
from pydfsnode.storage.chunk_epoch import EpochFile


def test_the_highest_epoch_is_kept_over_restarts(tmp_path: Path) -> None:
    epoch = EpochFile(tmp_path)
    assert epoch.highest == 0
    for seen in (3, 9, 7):
        epoch.advance(seen)
    assert EpochFile(tmp_path).highest == epoch.highest == 9
    assert [path.name for path in tmp_path.iterdir()] == ["epoch"]


def test_an_older_epoch_is_refused_with_the_one_of_now(tmp_path: Path) -> None:
    epoch = EpochFile(tmp_path)
    epoch.advance(9)
    epoch.check(9)
    epoch.check(10)
    with pytest.raises(StaleEpoch) as refused:
        epoch.check(8)
    assert refused.value.fields["epoch"] == 9


@pytest.mark.parametrize("position", range(20))
def test_a_damaged_file_is_not_read_as_an_epoch(tmp_path: Path, position: int) -> None:
    EpochFile(tmp_path).advance(9)
    content = bytearray((tmp_path / "epoch").read_bytes())
    content[position] ^= 1
    (tmp_path / "epoch").write_bytes(content)
    with pytest.raises(CorruptionError, match="remove the file"):
        EpochFile(tmp_path)


def test_an_epoch_that_is_not_durable_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(fd: int) -> None:
        raise OSError(5, "broken")

    epoch = EpochFile(tmp_path)
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(DurabilityFailure):
        epoch.advance(9)
    assert epoch.highest == 0


def test_the_highest_of_several_disks_counts_and_one_that_fails_is_told(tmp_path: Path) -> None:
    disks = [tmp_path / name for name in "abc"]
    for disk in disks:
        disk.mkdir()
    EpochFile(disks[1]).advance(7)
    lost: list[Path] = []
    epoch = EpochFile(*disks, on_failure=lambda disk, why: lost.append(disk))
    assert epoch.highest == 7
    disks[0].rmdir()
    epoch.advance(9)
    assert lost == [disks[0]]
    assert EpochFile(disks[1]).highest == EpochFile(disks[2]).highest == 9
    (disks[1] / "epoch").write_bytes(b"damaged")
    assert EpochFile(*disks[1:]).highest == 9
    (disks[2] / "epoch").unlink()
    with pytest.raises(CorruptionError):
        EpochFile(*disks[1:])


class HangingWrites:
    """What is made durable below a directory waits for `goes_on`."""

    def __init__(self, below: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on = threading.Event()
        self._below = str(below)
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(self._below):
            self.goes_on.wait(60)
        self._fsync(fd)


def test_a_disk_that_hangs_holds_no_epoch_up_and_takes_the_newest_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = [tmp_path / name for name in "ab"]
    for disk in disks:
        disk.mkdir()
    lost: list[Path] = []
    epoch = EpochFile(*disks, on_failure=lambda disk, why: lost.append(disk), late_s=0.01)
    hanging = HangingWrites(disks[0], monkeypatch)
    for seen in (7, 8, 9):
        epoch.advance(seen)
        assert epoch.highest == EpochFile(disks[1]).highest == seen
    assert EpochFile(disks[0]).highest == 0
    assert lost == [], "who hangs is for others to judge"
    hanging.goes_on.set()
    epoch._late_s = 60
    epoch.advance(10)
    assert EpochFile(disks[0]).highest == EpochFile(disks[1]).highest == 10


def test_an_only_disk_that_hangs_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = EpochFile(tmp_path, late_s=0.01)
    hanging = HangingWrites(tmp_path, monkeypatch)
    waiting = threading.Thread(target=epoch.advance, args=(7,))
    waiting.start()
    waiting.join(0.1)
    assert (waiting.is_alive(), epoch.highest) == (True, 0)
    hanging.goes_on.set()
    waiting.join(10)
    assert epoch.highest == EpochFile(tmp_path).highest == 7
