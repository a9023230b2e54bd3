"""A trail goes on after a restart, marks what a crash tore, and never loses a record in silence."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.errors import ConfigError, Unavailable
from pydfsnode.security.audit import file_writer
from pydfsnode.security.audit.record import FORMATS, Record, What
from tests.unit.security.audit_rig import ALICE, TrailRig, record


@pytest.fixture
def rig(tmp_path: Path) -> TrailRig:
    return TrailRig(tmp_path / "audit")


def read(rig: TrailRig) -> list[Record]:
    return [FORMATS["json"].parse(line) for line in rig.lines()]


def test_records_are_numbered_chained_and_only_the_owners(rig: TrailRig) -> None:
    rig.write(3)
    assert [(r.seq, r.cmd, r.src) for r in read(rig)] == [
        (1, "begin", None), (2, "create", "/f0"), (3, "create", "/f1"), (4, "create", "/f2"),
        (5, "end", None),
    ]  # fmt: skip
    assert rig.report().bad == ""
    assert rig.directory.stat().st_mode & 0o777 == 0o700
    assert rig.files[0].stat().st_mode & 0o777 == 0o600


def test_a_restart_goes_on_with_the_chain(rig: TrailRig) -> None:
    rig.write(2)
    rig.write(2)
    assert len(rig.files) == 1
    assert [r.cmd for r in read(rig)][4:] == ["resume", "create", "create", "end"]
    assert json.loads(read(rig)[4].detail)["stopped_in_order"] is True
    assert (rig.report().bad, rig.report().last_seq) == ("", 8)


def test_a_crash_is_told_and_its_torn_line_kept(rig: TrailRig) -> None:
    rig.write(3)
    file = rig.files[0]
    whole = file.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    file.write_bytes(whole[: last + 40])
    rig.write(1)
    told = json.loads(read_one(rig.lines()[5]).detail)
    assert (told["stopped_in_order"], told["torn_bytes"]) == (False, 40)
    report = rig.report()
    assert (report.bad, report.torn_lines, report.last_seq) == ("", 1, 7)


def read_one(line: bytes) -> Record:
    return FORMATS["json"].parse(line)


@pytest.mark.parametrize("garbage", [b"\x00" * 100, b"abc\n\ndef", b"abc\n", b"\n"])
def test_whatever_a_crash_left_is_named(rig: TrailRig, garbage: bytes) -> None:
    rig.write(2)
    with rig.files[0].open("ab") as file:
        file.write(garbage)
    rig.write(2)
    report = rig.report()
    assert (report.bad, report.torn_lines, report.last_seq) == ("", 1, 8)


def test_another_format_goes_on_in_another_file(rig: TrailRig) -> None:
    rig.write(2)
    rig.write(2, "hdfs")
    assert [file.suffix for file in rig.files] == [".jsonl", ".log"]
    assert (rig.report().bad, rig.report().last_seq) == ("", 8)


@pytest.mark.parametrize(("bytes_max", "age_s"), [(1000, 1e9), (1 << 30, 30.0)])
def test_files_are_rotated_by_size_and_age(rig: TrailRig, bytes_max: int, age_s: float) -> None:
    trail = rig.open(bytes_max=bytes_max, age_s=age_s)
    for number in range(8):
        rig.now_s += 20
        record(trail, f"/f{number}")
        rig.flush()
        wait_while(lambda: trail.queued)
    trail.stop()
    assert len(rig.files) > 3
    assert (rig.report().bad, rig.report().records) == ("", 10)
    rig.write(1)
    assert (rig.report().bad, rig.report().records) == ("", 13)


def wait_while(is_so: Callable[[], object]) -> None:
    """Until it is not so any more, by the writer's thread, or the test's own time limit."""
    never = threading.Event()
    while is_so():
        never.wait(0.005)


class FullDisk:
    """`os.write` that refuses while `is_full`, in the middle of a line the first time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.refused = threading.Event()
        self._write = os.write
        monkeypatch.setattr(file_writer.os, "write", self.write)
        monkeypatch.setattr(file_writer, "RETRY_S", 0.01)

    def write(self, descriptor: int, data: memoryview) -> int:
        if not self.is_full:
            return self._write(descriptor, data)
        if not self.refused.is_set():
            self.refused.set()
            return self._write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(rig: TrailRig, disk: FullDisk) -> None:
    """No room from now on, as the writer finds in the middle of what waits."""
    disk.is_full = True
    rig.flush()
    assert disk.refused.wait(5)


def test_a_full_disk_loses_nothing_that_fits_the_queue(
    rig: TrailRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    trail = rig.open()
    record(trail, "/before")
    fill(rig, disk)
    wait_while(lambda: not trail.problem)
    assert "No space left" in trail.problem
    trail.admit()  # it is not the one that refuses
    record(trail, "/meanwhile")
    disk.is_full = False
    trail.stop()
    assert [r.src for r in read(rig)] == [None, "/before", "/meanwhile", None]
    assert (rig.report().bad, trail.problem, rig.report().gaps) == ("", "", 0)


def test_what_finds_no_room_is_counted_and_told(
    rig: TrailRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_QUEUE_RECORDS_MAX", 3)
    disk = FullDisk(monkeypatch)
    trail = rig.open()
    wait_while(lambda: trail.queued)
    record(trail, "/0")
    fill(rig, disk)
    for number in range(1, 7):
        record(trail, f"/{number}")
    assert trail.dropped == 4
    disk.is_full = False
    rig.flush()
    wait_while(lambda: trail.queued)
    record(trail, "/7")
    trail.stop()
    assert [r.src or r.cmd for r in read(rig)] == ["begin", "/0", "/1", "/2", "gap", "/7", "end"]
    report = rig.report()
    assert (report.bad, report.gaps) == ("", 4)


def test_fail_closed_refuses_before_anything_is_done(
    rig: TrailRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    trail = rig.open(fail_closed=True)
    trail.admit()
    record(trail, "/0")
    fill(rig, disk)
    wait_while(lambda: not trail.problem)
    with pytest.raises(Unavailable, match="No space left"):
        trail.admit()
    record(trail, "/admitted before")
    disk.is_full = False
    rig.flush()
    wait_while(lambda: trail.queued)
    trail.admit()
    trail.stop()
    assert [r.src for r in read(rig)] == [None, "/0", "/admitted before", None]


def test_fail_closed_denials_do_not_fill_the_memory(
    rig: TrailRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUDIT_QUEUE_RECORDS_MAX", 3)
    disk = FullDisk(monkeypatch)
    trail = rig.open(fail_closed=True)
    wait_while(lambda: trail.queued)
    record(trail, "/0")
    fill(rig, disk)
    for number in range(1, 9):
        record(trail, f"/{number}", "AccessDenied")
    assert (trail.queued, trail.dropped) == (6, 3)
    disk.is_full = False
    trail.stop()
    report = rig.report()
    assert (report.bad, report.gaps) == ("", 3)


def test_a_flood_of_urgent_records_is_synced_together(
    rig: TrailRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    held, sync = threading.Event(), os.fdatasync

    def slow(descriptor: int) -> None:
        held.wait(5)
        sync(descriptor)
        synced.append(trail.queued)

    monkeypatch.setattr(file_writer.os, "fdatasync", slow)
    trail = rig.open()  # its first record waits in `slow`
    for number in range(50):
        trail.append("security", ALICE, [What("call", f"/{number}")], is_urgent=True)
    held.set()
    trail.stop()
    assert 1 <= len(synced) <= 4
    assert len(read(rig)) == 52


def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="name another directory as dir in"):
        TrailRig(tmp_path / "file" / "audit").open()
