"""Every damage of the log is refused at the start, by name and with a remedy (INV-SEAL, INV-STOP).

Cites the traps C8 and S8 of the reference.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode.errors import (
    CorruptionError,
    SealBroken,
)
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.storage.kv import KeyValue
from pydfsnode.storage.log_recovery import decode_hard_state
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore, numbered_key
from tests.support.sealed_log import (
    CLUSTER,
    entry,
    group,
    keyring,
    open_log,
    sealed,
)

# ---- damage below LevelDB's own checks: somebody edits the store


@pytest.fixture
def kv() -> MemoryKv:
    """Five entries, a vote, a row of the state."""
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1, 2, 2, 3]), [(17, b"k", b"v")], sync=True)
    return kv


def key_of(index: int) -> bytes:
    return b"\x01" + numbered_key(index)


def value_of(kv: KeyValue, key: bytes) -> bytes:
    value = kv.get(key)
    assert value is not None
    return value


@pytest.mark.parametrize("index", [1, 2, 3, 4, 5])
def test_a_removed_entry_is_refused_by_its_number(kv: MemoryKv, index: int) -> None:
    kv.write([(key_of(index), None)], sync=True)
    with pytest.raises(CorruptionError, match=f"log entry {index}: .*backup"):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("index", [1, 3, 5])
@pytest.mark.parametrize("byte", [0, 5, 20, -1])
def test_a_flipped_bit_in_an_entry_is_refused_by_its_number(
    kv: MemoryKv, index: int, byte: int
) -> None:
    value = bytearray(value_of(kv, key_of(index)))
    value[byte] ^= 4
    kv.write([(key_of(index), bytes(value))], sync=True)
    with pytest.raises(SealBroken, match=f"log entry {index}: "):
        RaftLog.open(sealed(kv))


def test_swapped_entries_are_refused(kv: MemoryKv) -> None:
    second, third = value_of(kv, key_of(2)), value_of(kv, key_of(3))
    kv.write([(key_of(2), third), (key_of(3), second)], sync=True)
    with pytest.raises(SealBroken, match="log entry 2: "):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("key", [b"\x01" + numbered_key(4), b"\x02", b"\x03"])
def test_a_record_of_another_node_is_refused(kv: MemoryKv, key: bytes) -> None:
    other = MemoryKv()
    theirs = SealedStore(other, keyring(), CLUSTER, "m2")
    RaftLog.open(theirs).write(group(1, [1, 1, 2, 2, 3]), [], sync=True)
    kv.write([(key, value_of(other, key))], sync=True)
    with pytest.raises(SealBroken, match="belongs to another node"):
        RaftLog.open(sealed(kv))


def test_an_entry_after_the_end_is_refused(kv: MemoryKv) -> None:
    store = sealed(kv)
    kv.write(store.seal_numbered(1, 6, [entry(6, 3)]), sync=True)
    with pytest.raises(CorruptionError, match="its bounds say 5"):
        RaftLog.open(sealed(kv))


def test_an_older_record_of_the_same_place_is_refused_by_its_term() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1, 1]), [], sync=True)
    old = value_of(kv, key_of(2))
    log.write(group(1, [2, 2, 2], truncate_from=1), [], sync=True)
    kv.write([(key_of(2), old)], sync=True)
    with pytest.raises(CorruptionError, match="log entry 2: its term 1 is below 2"):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("index", [2, 3, 4])
def test_an_older_record_between_others_is_refused_by_the_terms(index: int) -> None:
    """Terms that never decrease are no proof: it lies where one term ends and the next begins."""
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1, 1, 1, 1]), [], sync=True)
    old = value_of(kv, key_of(index))
    log.write(group(index, [2] * 3, truncate_from=index), [], sync=True)
    kv.write([(key_of(index), old)], sync=True)
    with pytest.raises(CorruptionError, match=r"the terms of the log's entries: .* an older one"):
        RaftLog.open(sealed(kv))


def test_an_older_record_behind_a_compaction_is_refused_by_the_terms() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1] * 6), [], sync=True)
    old = value_of(kv, key_of(4))
    log.write(group(4, [2, 2, 3], truncate_from=4), [], sync=True, state_index=3)
    log.compact(2, b"members")
    RaftLog.open(sealed(kv))
    kv.write([(key_of(4), old)], sync=True)
    with pytest.raises(CorruptionError, match="the terms of the log's entries: "):
        RaftLog.open(sealed(kv))


def test_an_older_last_record_is_refused_by_the_bounds() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1]), [], sync=True)
    old = value_of(kv, key_of(1))
    log.write(group(1, [2], truncate_from=1), [], sync=True)
    kv.write([(key_of(1), old)], sync=True)
    with pytest.raises(CorruptionError, match="log entry 1: it is not the one that the bounds"):
        RaftLog.open(sealed(kv))


def test_another_last_entry_of_the_same_term_is_refused_by_the_bounds(kv: MemoryKv) -> None:
    kv.write(sealed(kv).seal_numbered(1, 5, [entry(5, 3, b"another payload")]), sync=True)
    with pytest.raises(CorruptionError, match="log entry 5: it is not the one that the bounds"):
        RaftLog.open(sealed(kv))


def test_an_entry_whose_head_names_another_index_is_refused(kv: MemoryKv) -> None:
    kv.write(sealed(kv).seal_numbered(1, 3, [entry(4, 2)]), sync=True)
    with pytest.raises(CorruptionError, match="log entry 3: the record says 4"):
        RaftLog.open(sealed(kv))


def test_an_entry_with_a_wrong_crc_is_refused(kv: MemoryKv) -> None:
    damaged = bytearray(entry(3, 2))
    damaged[-1] ^= 1
    kv.write(sealed(kv).seal_numbered(1, 3, [bytes(damaged)]), sync=True)
    with pytest.raises(CorruptionError, match="log entry 3: "):
        RaftLog.open(sealed(kv))


def test_a_removed_vote_is_refused(kv: MemoryKv) -> None:
    kv.write([(b"\x02", None)], sync=True)
    with pytest.raises(CorruptionError, match="hard state: term 0 is below the last entry's 3"):
        RaftLog.open(sealed(kv))


@pytest.mark.parametrize("older", [HardState(3, ""), HardState(3, "m2"), None])
def test_an_older_vote_is_refused_though_it_is_of_no_older_term_than_the_log(
    kv: MemoryKv, older: HardState | None
) -> None:
    log = RaftLog.open(sealed(kv))
    old = None
    if older is not None:
        log.write(Persist(1, older), [], sync=True)
        old = value_of(kv, b"\x02")
    log.write(Persist(1, HardState(4, "m3")), [], sync=True)
    RaftLog.open(sealed(kv))
    kv.write([(b"\x02", old)], sync=True)
    with pytest.raises(CorruptionError, match="hard state: "):
        RaftLog.open(sealed(kv))


def test_an_older_membership_is_refused() -> None:
    kv = MemoryKv()
    log = RaftLog.open(sealed(kv))
    log.write(group(1, [1] * 6), [], sync=True, state_index=6)
    log.compact(2, b"m1 m2 m3")
    old = value_of(kv, b"\x04")
    log.compact(4, b"m1 m2 m4")
    assert RaftLog.open(sealed(kv)).membership == b"m1 m2 m4"
    kv.write([(b"\x04", old)], sync=True)
    with pytest.raises(CorruptionError, match="membership: "):
        RaftLog.open(sealed(kv))


def test_older_bounds_are_refused_by_the_mark(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1, 1]), [], sync=True)
    kv = log._store.kv
    old = value_of(kv, b"\x03")
    log.write(Persist(1, HardState(2, "m3")), [], sync=True)
    kv.write([(b"\x03", old)], sync=True)
    log.close()
    with pytest.raises(CorruptionError, match="group 2 was durable"):
        open_log(tmp_path / "m1")


def test_bounds_that_name_nothing_yet_are_completed_with_the_next_write(kv: MemoryKv) -> None:
    store = sealed(kv)
    older = RaftLog.open(store).bounds._replace(hard_state_crc=0, membership_crc=0, terms_crc=0)
    store.write([(3, b"", older.encode()[:60])], True)
    log = RaftLog.open(store)
    log.write(None, [], sync=True)
    assert RaftLog.open(store).bounds == log.bounds
    assert log.bounds.hard_state_crc
    assert log.bounds.terms_crc


def test_removed_bounds_are_refused(kv: MemoryKv) -> None:
    kv.write([(b"\x03", None)], sync=True)
    with pytest.raises(CorruptionError, match="log bounds: the record is missing"):
        RaftLog.open(sealed(kv))


def test_a_hard_state_of_a_wrong_form_is_refused(kv: MemoryKv) -> None:
    sealed(kv).write([(2, b"", b"\x01\x02")], sync=True)
    with pytest.raises(CorruptionError, match="hard state"):
        RaftLog.open(sealed(kv))
    with pytest.raises(CorruptionError, match="hard state"):
        decode_hard_state(b"\x01" + bytes(7) + b"\x09\x00m2")


def test_bounds_of_a_wrong_form_are_refused(kv: MemoryKv) -> None:
    sealed(kv).write([(3, b"", b"\x01")], sync=True)
    with pytest.raises(CorruptionError, match="log bounds"):
        RaftLog.open(sealed(kv))


def test_a_damaged_row_of_the_state_is_refused_on_loading(kv: MemoryKv) -> None:
    value = bytearray(value_of(kv, b"\x11k"))
    value[-1] ^= 1
    kv.write([(b"\x11k", bytes(value))], sync=True)
    log = RaftLog.open(sealed(kv))
    with pytest.raises(SealBroken, match="table 17"):
        list(log.load_rows([17]))


# ---- the durable mark


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda mark: mark.unlink(), "durable mark is missing"),
        (lambda mark: mark.write_bytes(b""), "durable mark is damaged"),
        (lambda mark: mark.write_bytes(mark.read_bytes()[:-1] + b"\x00"), "damaged"),
        (lambda mark: mark.write_bytes(mark.read_bytes() + b"\x00"), "damaged"),
    ],
)
def test_a_lost_or_damaged_mark_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1]), [], sync=True)
    log.close()
    damage(tmp_path / "m1" / "durable-mark")
    with pytest.raises(CorruptionError, match=message):
        open_log(tmp_path / "m1")


def test_an_emptied_store_beside_its_mark_is_refused(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1]), [], sync=True)
    log.close()
    shutil.rmtree(tmp_path / "m1" / "store")
    with pytest.raises(CorruptionError, match="1 groups were written"):
        open_log(tmp_path / "m1")


def test_unsynced_groups_are_not_marked_as_durable(tmp_path: Path) -> None:
    log = open_log(tmp_path / "m1")
    log.write(group(1, [1]), [], sync=True)
    mark = (tmp_path / "m1" / "durable-mark").read_bytes()
    log.write(group(2, [1]), [], sync=False)
    assert (tmp_path / "m1" / "durable-mark").read_bytes() == mark
    log.write(None, [], sync=True)
    assert (tmp_path / "m1" / "durable-mark").read_bytes() != mark
    log.close()
