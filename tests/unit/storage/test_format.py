"""FORMAT.md's test vectors are what the code writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydfsnode._fast import crc32c, encode_entry
from pydfsnode.raft.effects import HardState
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.log_bounds import LogBounds
from pydfsnode.storage.log_recovery import (
    decode_hard_state,
    encode_hard_state,
    encode_incarnation,
)
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.sealed import SealedStore
from pydfsnode.storage.snapshot_stage import StageProgress
from pydfsnode.storage.term_runs import checksum, row_checksum
from tests.support.format_vectors import vector


class RecordingSealer:
    def __init__(self) -> None:
        self.aad = b""

    def seal_all(
        self, aad_head: bytes, rows: Iterable[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes | None]]:
        sealed = list(rows)
        self.aad = aad_head + sealed[-1][0]
        return sealed

    def unseal(self, aad: bytes, sealed: bytes) -> bytes:
        assert aad == self.aad
        return sealed


def test_keys_and_additional_data() -> None:
    sealer = RecordingSealer()
    store = SealedStore(MemoryKv(), sealer, "c1", "m1")
    [(key, _)] = store.seal_numbered(1, 2, [b""])
    assert key == vector("LevelDB key")
    assert sealer.aad == vector("additional data")
    store.seal_rows([(1, key[1:], b"")])
    assert sealer.aad == vector("additional data")


def test_entry() -> None:
    assert encode_entry(2, 7, 1, b"mkdir") == vector("entry")


def test_hard_state() -> None:
    assert encode_hard_state(HardState(7, "m2")) == vector("hard state")
    assert decode_hard_state(vector("hard state")) == HardState(7, "m2")


RUNS = "0300000000000000" + "0700000000000000" + "0500000000000000" + "0800000000000000"


def test_bounds() -> None:
    bounds = LogBounds(3, 1, 2, 0, 7, 0x1234ABCD, 2, 1, 0x5F3A9C01, 1, 2, 3)
    assert bounds.encode() == vector("bounds")
    assert LogBounds.decode(vector("bounds")) == bounds


def test_bounds_of_before_snapshots_are_read() -> None:
    assert LogBounds.decode(vector("older bounds")) == LogBounds(3, 1, 2, 0, 7, 0x1234ABCD)


def test_bounds_of_before_they_named_other_rows_are_read() -> None:
    bounds = LogBounds(3, 1, 2, 0, 7, 0x1234ABCD, 2, 1, 0x5F3A9C01)
    assert LogBounds.decode(vector("older bounds with incarnation")) == bounds


def test_the_checksums_that_the_bounds_name() -> None:
    assert checksum([(3, 7), (5, 8)]) == crc32c(bytes.fromhex(RUNS))
    assert row_checksum(vector("hard state")) == crc32c(vector("hard state"))
    assert checksum([]) == row_checksum(None) == 0


def test_snapshot_progress() -> None:
    progress = StageProgress(9, 7, 2, 0x1234ABCD, (17, b"\x00\x05"))
    assert progress.encode() == vector("snapshot progress")
    assert StageProgress.decode(vector("snapshot progress")) == progress
    nothing = StageProgress(9, 7)
    assert StageProgress.decode(nothing.encode()) == nothing


def test_incarnation() -> None:
    assert encode_incarnation(0x5F3A9C01) == vector("incarnation")


def test_durable_mark(tmp_path: Path) -> None:
    mark = DurableMark(tmp_path / "durable-mark")
    mark.create()
    mark.advance(3)
    mark.close()
    assert mark.path.read_bytes() == vector("durable mark")
    assert DurableMark(mark.path).load() == 3
