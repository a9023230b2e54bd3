"""A stage that is finished is on the disk: only then may it be installed (trap F7)."""

from __future__ import annotations

from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from tests.support.sealed_log import group, sealed

ROWS = [(16, b"", b"HEAD"), (17, b"b", b"two"), (17, b"c", b"three")]


def test_a_finished_stage_survives_a_power_cut_before_its_installation() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1]), [], sync=True)
    staged = log.stage(9, 2)
    staged.add(ROWS, len(ROWS), 7)
    assert kv.unsynced
    staged.finish(len(ROWS), 7)
    assert not kv.unsynced
    again = RaftLog.open(sealed(kv.after_power_loss())).stage(9, 2)
    assert (again.row_count, again.crc) == (len(ROWS), 7)
