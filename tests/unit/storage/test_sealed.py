"""Rows are sealed and bound to their place (INV-SEAL)."""

from __future__ import annotations

import pytest

from pydfsnode.errors import InvariantViolation, SealBroken
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.sealed import SealedStore, numbered_key
from tests.support.sealed_log import CLUSTER, keyring, sealed


@pytest.fixture
def kv() -> MemoryKv:
    return MemoryKv()


def rows(kv: MemoryKv) -> dict[bytes, bytes]:
    return dict(kv.scan(b"", b"\xff"))


def test_rows_are_read_back_by_table_and_key(kv: MemoryKv) -> None:
    store = sealed(kv)
    store.write([(17, b"\x01", b"one"), (18, b"\x01", b"other"), (17, b"\x00", b"")], sync=True)
    assert store.get(17, b"\x01") == b"one"
    assert store.get(17, b"\x02") is None
    assert list(store.scan(17)) == [(b"\x00", b""), (b"\x01", b"one")]
    assert list(store.scan(17, first=b"\x01")) == [(b"\x01", b"one")]
    assert list(store.scan(17, end=b"\x01")) == [(b"\x00", b"")]


def test_none_deletes_a_row(kv: MemoryKv) -> None:
    store = sealed(kv)
    store.write([(17, b"a", b"1"), (17, b"b", b"2")], sync=False)
    store.write([(17, b"a", None)], sync=False)
    assert list(store.scan(17)) == [(b"b", b"2")]


def test_numbered_rows_sort_by_number(kv: MemoryKv) -> None:
    store = sealed(kv)
    kv.write(store.seal_numbered(1, 254, [b"a", b"b", b"c"]), sync=False)
    assert list(store.scan(1, numbered_key(255))) == [
        (numbered_key(255), b"b"),
        (numbered_key(256), b"c"),
    ]


def test_no_plaintext_reaches_the_store_below(kv: MemoryKv) -> None:
    secret = b"/home/alice/tax-return-2031.pdf"
    sealed(kv).write([(17, b"\x00\x07", secret)], sync=True)
    for key, value in rows(kv).items():
        assert secret not in key + value
        assert b"alice" not in key + value


@pytest.mark.parametrize("bit", range(0, 8 * 40, 7))
def test_a_flipped_bit_breaks_the_seal(kv: MemoryKv, bit: int) -> None:
    store = sealed(kv)
    store.write([(17, b"k", b"content")], sync=True)
    value = bytearray(rows(kv)[b"\x11k"])
    position = bit % (8 * len(value))
    value[position // 8] ^= 1 << position % 8
    kv.write([(b"\x11k", bytes(value))], sync=True)
    with pytest.raises(SealBroken, match="row 6b of table 17"):
        store.get(17, b"k")


def test_a_row_moved_to_another_key_or_table_does_not_open(kv: MemoryKv) -> None:
    store = sealed(kv)
    store.write([(17, b"a", b"mine"), (17, b"b", b"yours")], sync=True)
    value = rows(kv)[b"\x11a"]
    kv.write([(b"\x11b", value), (b"\x12a", value)], sync=True)
    with pytest.raises(SealBroken):
        store.get(17, b"b")
    with pytest.raises(SealBroken):
        list(store.scan(18))


@pytest.mark.parametrize(("cluster", "node"), [(CLUSTER, "m2"), ("other", "m1"), (CLUSTER, "m11")])
def test_a_row_of_another_node_or_cluster_does_not_open(
    kv: MemoryKv, cluster: str, node: str
) -> None:
    SealedStore(kv, keyring(), cluster, node).write([(17, b"a", b"theirs")], sync=True)
    with pytest.raises(SealBroken, match="belongs to another node"):
        sealed(kv).get(17, b"a")


def test_names_that_run_together_are_told_apart(kv: MemoryKv) -> None:
    SealedStore(kv, keyring(), "ab", "c").write([(17, b"k", b"v")], sync=True)
    with pytest.raises(SealBroken):
        SealedStore(kv, keyring(), "a", "bc").get(17, b"k")


@pytest.mark.parametrize("table", [0, 255])
def test_a_table_out_of_range_is_refused(kv: MemoryKv, table: int) -> None:
    with pytest.raises(InvariantViolation):
        sealed(kv).write([(table, b"k", b"v")], sync=True)
