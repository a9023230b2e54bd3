"""LevelDB and its twin in memory keep the same promises; LevelDB's errors become ours."""

from __future__ import annotations

import os
from pathlib import Path

import plyvel
import pytest

from pydfsnode.errors import CorruptionError, DirectoryLocked, DiskFull, StorageError
from pydfsnode.storage.kv import KeyValue
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.memory_kv import MemoryKv
from tests.conformance.kv import KeyValueConformance, Reopen


class TestLevelDb(KeyValueConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> KeyValue:
        return LevelDb(tmp_path / "db")

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Reopen:
        def again(store: KeyValue) -> KeyValue:
            store.close()
            return LevelDb(tmp_path / "db")

        return again


class TestMemoryKv(KeyValueConformance):
    @pytest.fixture
    def store(self) -> KeyValue:
        return MemoryKv()

    @pytest.fixture
    def reopen(self) -> Reopen:
        def again(store: KeyValue) -> KeyValue:
            assert isinstance(store, MemoryKv)
            store.close()
            return store.after_power_loss(len(store.unsynced))

        return again


def test_a_power_loss_leaves_what_was_synced_and_a_prefix_of_the_rest() -> None:
    store = MemoryKv()
    store.write([(b"a", b"1")], sync=False)
    store.write([(b"b", b"1")], sync=True)
    store.write([(b"a", None)], sync=False)
    store.write([(b"c", b"1")], sync=False)
    assert dict(store.after_power_loss().scan(b"", b"z")) == {b"a": b"1", b"b": b"1"}
    assert dict(store.after_power_loss(1).scan(b"", b"z")) == {b"b": b"1"}


def test_a_directory_open_elsewhere_is_named_as_locked(tmp_path: Path) -> None:
    first = LevelDb(tmp_path / "db")
    with pytest.raises(DirectoryLocked, match="another process"):
        LevelDb(tmp_path / "db")
    first.close()
    LevelDb(tmp_path / "db").close()


def test_a_directory_that_cannot_be_made_is_a_storage_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=str(tmp_path / "no" / "db")):
        LevelDb(tmp_path / "no" / "db")


def test_a_damaged_manifest_is_corruption(tmp_path: Path) -> None:
    LevelDb(tmp_path / "db").close()
    manifest = next((tmp_path / "db").glob("MANIFEST-*"))
    content = bytearray(manifest.read_bytes())
    content[10] ^= 1
    manifest.write_bytes(content)
    with pytest.raises(CorruptionError, match="damaged"):
        LevelDb(tmp_path / "db")


def test_a_damaged_block_is_an_error_and_never_an_absent_key(tmp_path: Path) -> None:
    store = LevelDb(tmp_path / "db")
    store.write([(b"k%03d" % i, b"v" * 500) for i in range(100)], sync=True)
    store.close()
    store = LevelDb(tmp_path / "db")  # opening moved the rows into a table file
    store.close()
    table = next((tmp_path / "db").glob("*.ldb"))
    content = bytearray(table.read_bytes())
    content[1000] ^= 1
    table.write_bytes(content)
    store = LevelDb(tmp_path / "db")
    with pytest.raises(CorruptionError):
        list(store.scan(b"", b"\xff"))
    with pytest.raises(CorruptionError):
        store.get(b"k001")
    store.close()


def test_a_synced_write_syncs_the_files_of_unsynced_ones_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LevelDB syncs only the file that it writes to, and goes on to a new one at any time."""
    store = LevelDb(tmp_path / "db")
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    )
    store.write([(b"a", b"1")], sync=True)
    assert synced == []
    store.write([(b"a", b"2")], sync=False)
    store.write([(b"a", b"3")], sync=True)
    assert synced == [str(file) for file in (tmp_path / "db").glob("*.log")]
    store.write([(b"a", b"4")], sync=True)
    assert len(synced) == 1
    store.close()


class _FailingBatch:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def write(self) -> None:
        raise self._error


class _FailingDb:
    """Stands in for plyvel's DB: LevelDB cannot be made to run out of disk on command."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def write_batch(self, sync: bool) -> _FailingBatch:
        return _FailingBatch(self._error)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"IO error: /d/000003.log: No space left on device", DiskFull),
        (b"IO error: /d/000003.log: Disk quota exceeded", DiskFull),
        (b"IO error: /d/000003.log: Input/output error", StorageError),
    ],
)
def test_a_failed_write_says_whether_the_disk_is_full(
    tmp_path: Path, text: bytes, kind: type[StorageError]
) -> None:
    store = LevelDb(tmp_path / "db")
    store.close()
    store._db = _FailingDb(plyvel.IOError(text))
    with pytest.raises(StorageError, match=r"000003\.log") as caught:
        store.write([(b"a", b"1")], sync=True)
    assert type(caught.value) is kind
