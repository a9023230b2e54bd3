"""A log that is written, compacted and replaced by snapshots without end, to be killed anywhere.

Run as `python -m tests.support.log_crash_loop DIRECTORY START`: says the number of each operation
once it is durable. The operations are the same in every run: `visible` tells what each leads to.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from pydfsnode.raft.effects import HardState, Install, Persist
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore, numbered_key
from tests.support.sealed_log import CLUSTER, NODE, entry

PADDING = b"." * 20_000
"""Makes LevelDB go on to new files now and then."""


@dataclass(frozen=True)
class Visible:
    """What the log shows after an operation: entries first..last, and the state's rows."""

    first: int = 1
    last: int = 0
    state_index: int = 0
    rows: tuple[tuple[int, bytes, bytes], ...] = ()


def after(number: int, now: Visible) -> Visible:
    """What operation *number* makes of *now*."""
    if number % 7 == 3:
        return replace(now, first=max(now.first, now.state_index - 2))
    if number % 7 == 6:
        index = now.last + 3 if number % 2 else now.last
        return Visible(index + 1, index, index, tuple(staged(number)))
    rows = {row[:2]: row[2] for row in now.rows} | {row[:2]: row[2] for row in written(number)}
    live = tuple((*place, value) for place, value in sorted(rows.items()))
    return Visible(now.first, now.last + 3, now.last + 3, live)


def visible(number: int) -> Visible:
    """What the log shows after operations 1 to *number*."""
    now = Visible()
    for done in range(1, number + 1):
        now = after(done, now)
    return now


def written(number: int) -> list[tuple[int, bytes, bytes]]:
    key = numbered_key(number % 10)
    return [(16, b"", b"%d" % number), (17, key, b"%d" % number), (79, key, PADDING)]


def staged(number: int) -> list[tuple[int, bytes, bytes]]:
    rows = [(18, numbered_key(i), b"%d of %d" % (i, number)) for i in range(50)]
    return [(16, b"", b"%d" % number), *rows]


def seen(log: RaftLog) -> Visible:
    """What *log*, just opened, shows; fails when an entry is not what was written."""
    start = log.start
    index = start.first_index
    while index <= start.last_index:
        for found in log.read(index, start.last_index, 1 << 20):
            assert found == entry(index, 1)
            index += 1
    view = log.open_view()
    rows = tuple(view.rows())
    view.close()
    return Visible(start.first_index, start.last_index, view.index, rows)


def open_log(directory: Path) -> RaftLog:
    """The log in *directory*, with a keyring of its own beside it."""
    keys = directory / "keys"
    keys.mkdir(parents=True, exist_ok=True)
    keyring = Keyring.open(keys, directory / "kek", CLUSTER, NODE)
    store = SealedStore(LevelDb(directory / "store"), keyring, CLUSTER, NODE)
    return RaftLog.open(store, DurableMark(directory / "durable-mark"))


def run(log: RaftLog, number: int) -> None:
    """Operation *number*; durable when it returns."""
    now, bounds = after(number, visible(number - 1)), log.bounds
    if number % 7 == 3:
        log.compact(now.first - 1, b"members")
    elif number % 7 == 6:
        rows = staged(number)
        stage = log.stage(now.last, 1)
        for begin in range(stage.row_count, len(rows), 10):
            part = rows[begin : begin + 10]
            stage.add(part, begin + len(part), begin)
        stage.finish(len(rows), stage.crc)
        keep = now.last == bounds.last_index
        log.write(Persist(1, install=Install(now.last, 1, b"members", keep)), [], sync=True)
    else:
        first = bounds.last_index + 1
        entries = [entry(index, 1) for index in range(first, now.last + 1)]
        persist = Persist(1, HardState(1, "m1"), None, first, entries)
        log.write(persist, written(number), True, now.last)
        log.purge_some()


def main() -> None:
    log = open_log(Path(sys.argv[1]))
    number = int(sys.argv[2])
    while True:
        number += 1
        run(log, number)
        print(number, flush=True)


if __name__ == "__main__":
    main()
