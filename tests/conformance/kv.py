"""What every `KeyValue` keeps: subclass `KeyValueConformance` and give it a store.

A file of tests for an implementation supplies `store` (an open, empty one) and `reopened` (the
same rows after a clean close).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pydfsnode.errors import StorageError
from pydfsnode.storage.kv import KeyValue

Reopen = Callable[[KeyValue], KeyValue]


class KeyValueConformance:
    @pytest.fixture
    def store(self) -> KeyValue:
        raise AssertionError("a subclass supplies the store")

    @pytest.fixture
    def reopen(self) -> Reopen:
        raise AssertionError("a subclass says how to open a store again")

    def test_an_absent_key_has_no_value(self, store: KeyValue) -> None:
        assert store.get(b"a") is None

    def test_a_written_value_is_read_back(self, store: KeyValue) -> None:
        store.write([(b"a", b"1"), (b"\x00\xff", b"")], sync=True)
        assert store.get(b"a") == b"1"
        assert store.get(b"\x00\xff") == b""

    def test_none_deletes_a_key_and_an_absent_one_may_be_deleted(self, store: KeyValue) -> None:
        store.write([(b"a", b"1")], sync=False)
        store.write([(b"a", None), (b"never", None)], sync=False)
        assert store.get(b"a") is None

    def test_a_batch_takes_effect_in_its_order(self, store: KeyValue) -> None:
        store.write([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2")], sync=False)
        assert list(store.scan(b"", b"\xff")) == [(b"b", b"2")]

    def test_an_empty_batch_is_allowed(self, store: KeyValue) -> None:
        store.write([], sync=True)
        assert list(store.scan(b"", b"\xff")) == []

    def test_a_scan_is_half_open_and_ascends_by_bytes(self, store: KeyValue) -> None:
        keys = [b"\x01", b"\x01\x00", b"\x01\xff", b"\x02", b"\x10", b"\x80", b"\xff"]
        store.write([(key, key * 2) for key in reversed(keys)], sync=False)
        assert [key for key, _ in store.scan(b"\x01\x00", b"\x80")] == keys[1:5]
        assert list(store.scan(b"\x02", b"\x02")) == []
        assert list(store.scan(b"\x02", b"\x02\x00")) == [(b"\x02", b"\x02\x02")]

    def test_a_scan_sees_one_moment(self, store: KeyValue) -> None:
        store.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")], sync=False)
        rows = store.scan(b"", b"\xff")
        assert next(rows) == (b"a", b"1")
        store.write([(b"b", None), (b"c", b"2"), (b"d", b"2")], sync=False)
        assert list(rows) == [(b"b", b"1"), (b"c", b"1")]

    def test_a_scan_left_early_does_no_harm(self, store: KeyValue) -> None:
        store.write([(bytes([i]), b"v") for i in range(50)], sync=False)
        assert next(store.scan(b"", b"\xff")) == (b"\x00", b"v")
        store.write([(b"\x00", b"w")], sync=False)
        assert next(store.scan(b"", b"\xff")) == (b"\x00", b"w")

    def test_rows_are_there_after_a_clean_close(self, store: KeyValue, reopen: Reopen) -> None:
        store.write([(b"a", b"1")], sync=True)
        store.write([(b"b", b"x" * 100_000), (b"a", None)], sync=False)
        again = reopen(store)
        assert list(again.scan(b"", b"\xff")) == [(b"b", b"x" * 100_000)]

    def test_a_view_sees_one_moment_for_as_long_as_it_is_open(self, store: KeyValue) -> None:
        store.write([(b"a", b"1"), (b"b", b"1"), (b"c", b"1")], sync=False)
        view = store.view()
        store.write([(b"a", None), (b"b", b"2"), (b"d", b"2")], sync=True)
        for _ in range(2):
            assert list(view.scan(b"", b"\xff")) == [(b"a", b"1"), (b"b", b"1"), (b"c", b"1")]
        assert list(view.scan(b"b", b"c")) == [(b"b", b"1")]
        assert (view.get(b"a"), view.get(b"b"), view.get(b"d")) == (b"1", b"1", None)
        later = store.view()
        assert list(later.scan(b"", b"\xff")) == [(b"b", b"2"), (b"c", b"1"), (b"d", b"2")]
        view.close()
        later.close()

    def test_a_scan_of_a_view_goes_on_beside_writes(self, store: KeyValue) -> None:
        store.write([(bytes([i]), b"v") for i in range(50)], sync=False)
        view = store.view()
        rows = view.scan(b"\x0a", b"\x14")
        assert next(rows) == (b"\x0a", b"v")
        store.write([(bytes([i]), None) for i in range(50)], sync=True)
        assert [key[0] for key, _ in rows] == list(range(11, 20))
        view.close()

    def test_a_closed_view_is_an_error_and_never_a_short_answer(self, store: KeyValue) -> None:
        store.write([(bytes([i]), b"v") for i in range(50)], sync=False)
        view = store.view()
        rows = view.scan(b"", b"\xff")
        assert next(rows) == (b"\x00", b"v")
        view.close()
        view.close()
        with pytest.raises(StorageError, match="closed"):
            list(rows)
        with pytest.raises(StorageError, match="closed"):
            view.get(b"\x01")
        with pytest.raises(StorageError, match="closed"):
            list(view.scan(b"", b"\xff"))

    def test_a_view_outlives_the_store_and_then_lets_go_of_it(
        self, store: KeyValue, reopen: Reopen
    ) -> None:
        store.write([(b"a", b"1")], sync=True)
        view = store.view()
        store.close()
        assert view.get(b"a") == b"1"
        view.close()
        assert reopen(store).get(b"a") == b"1"

    def test_close_may_be_called_twice(self, store: KeyValue) -> None:
        store.close()
        store.close()
