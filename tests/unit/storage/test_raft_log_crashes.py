"""The log on LevelDB through kill -9 and power cuts (INV-DUR; traps C6, C9, F7)."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode.storage.raft_log import RaftLog
from tests.support import log_crash_loop as loop
from tests.support.sealed_log import group, install, open_log, stage, state_of

ROOT = Path(__file__).parents[3]


def killed(directory: Path, number: int, after: int) -> int:
    """Run the loop from *number* on, kill it when it said *after* more; return the last it said."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.log_crash_loop", str(directory), str(number)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdout is not None
    try:
        for _ in range(after):
            number = int(child.stdout.readline())
    finally:
        child.kill()
        rest, _ = child.communicate()
    whole = rest[: rest.rfind(b"\n") + 1].split()
    return int(whole[-1]) if whole else number


@pytest.mark.parametrize("seed", range(2))
def test_what_was_acknowledged_survives_a_kill_at_any_moment(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    number = 0
    for _ in range(4):
        acknowledged = killed(tmp_path / "m1", number, draw.randrange(1, 60))
        log = loop.open_log(tmp_path / "m1")
        found = loop.seen(log)
        log.close()
        assert found in (loop.visible(acknowledged), loop.visible(acknowledged + 1))
        number = acknowledged + (found != loop.visible(acknowledged))
        assert found == loop.visible(number)


OLD = [(16, b"", b"head"), (17, b"a", b"1"), (17, b"b", b"2")]
NEW = [(16, b"", b"HEAD"), (17, b"c", b"3"), (18, b"", b"4"), (79, b"z", b"5")]


def begun(directory: Path) -> RaftLog:
    log = open_log(directory)
    log.write(group(1, [1] * 4), OLD, sync=True, state_index=4)
    log.compact(2, b"members")
    return log


def test_a_cut_in_unsynced_groups_and_stages_opens_to_the_groups_before_it(tmp_path: Path) -> None:
    log = begun(tmp_path / "m1")
    file = next((tmp_path / "m1" / "store").glob("*.log"))
    mark = (tmp_path / "m1" / "durable-mark").read_bytes()
    rows, staged = list(OLD), log.stage(9, 1)
    # (size of the file, last entry, rows of the state, rows that are staged)
    legal = [(file.stat().st_size, 4, list(rows), 0)]
    for number in range(1, 4):
        rows.append((17, b"n%d" % number, b"x"))
        log.write(group(4 + number, [1]), [rows[-1]], sync=False, state_index=4 + number)
        legal.append((file.stat().st_size, 4 + number, list(rows), number - 1))
        staged.add(NEW[number - 1 : number], number, number)
        legal.append((file.stat().st_size, 4 + number, list(rows), number))
    end = file.stat().st_size
    for size in [*range(legal[0][0], end, 29), end]:
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path / "m1", crashed)
        assert (crashed / "durable-mark").read_bytes() == mark  # only what was synced is marked
        with (crashed / "store" / file.name).open("r+b") as cut:
            cut.truncate(size)
        _, last, state, count = [place for place in legal if place[0] <= size][-1]
        again = open_log(crashed)
        assert (again.start.first_index, again.start.last_index) == (3, last)
        assert state_of(again) == (last, state)
        assert again.stage(9, 1).row_count == count
        again.close()
        shutil.rmtree(crashed)
    log.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.compact(4, b"others"),
        lambda log: log.write(install(9, 1), [], sync=True),
        lambda log: log.write(group(5, [2]), [(17, b"a", None)], sync=True, state_index=5),
    ],
    ids=["compaction", "installation", "group"],
)
def test_a_cut_in_the_last_change_opens_to_before_it_or_after_it(
    tmp_path: Path, change: Callable[[RaftLog], None]
) -> None:
    """The sync had not returned, so the mark is the older one: old or new, never neither (F7)."""
    log = begun(tmp_path / "m1")
    stage(log, 9, 1, NEW)
    file = next((tmp_path / "m1" / "store").glob("*.log"))
    mark = (tmp_path / "m1" / "durable-mark").read_bytes()
    whole, before = file.stat().st_size, (log.bounds, state_of(log))
    change(log)
    after, end = (log.bounds, state_of(log)), file.stat().st_size
    log.close()
    for size in [*range(whole, end, 17), end - 1, end]:
        crashed = tmp_path / "crashed"
        shutil.copytree(tmp_path / "m1", crashed)
        (crashed / "durable-mark").write_bytes(mark)
        with (crashed / "store" / file.name).open("r+b") as cut:
            cut.truncate(size)
        again = open_log(crashed)
        assert (again.bounds, state_of(again)) == (before if size < end else after)
        again.close()
        shutil.rmtree(crashed)
