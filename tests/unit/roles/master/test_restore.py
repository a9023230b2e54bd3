"""From a running master's backup to a directory that a master starts from."""

from __future__ import annotations

import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import NodeConfig
from pydfsnode.errors import (
    ConfigError,
    CorruptionError,
    KeyUnavailable,
    NotFound,
    Overloaded,
    PydfsError,
    SafeMode,
    WrongCluster,
)
from pydfsnode.meta.administration import SAFE_MODE
from pydfsnode.meta.file_keys import SEAL_XATTR
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master import restore as restoring
from pydfsnode.roles.master.backup_file import BackupContent, inspect_backup
from pydfsnode.roles.master.restore import Restored, restore
from pydfsnode.roles.master.restored_rows import first_free_id
from pydfsnode.roles.master.store import open_store
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.identity import Identity
from pydfsnode.security.key_sources import KekFile
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs
from tests.support.masters import Master, node_config

BACKUP = "/pydfs.v1.Cluster/Backup"
LATER_MS = 1_800_000_000_000


class Received:
    """A caller's end of the stream; `on_piece` is called with each piece."""

    def __init__(self) -> None:
        self.content = b""

    async def send(self, piece: bytes) -> None:
        self.content += piece


async def backup(master: Master, received: Received | None = None) -> bytes:
    received = received or Received()
    call = CallContext(Identity("testcluster", "admin", "alice"), METHODS[BACKUP])
    await master.role.handlers[BACKUP](pb.BackupRequest(), call, received)
    return received.content


async def make(master: Master, path: str) -> None:
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path=path))


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    running = await Master(node_config(tmp_path)).start()
    for number in range(20):
        await make(running, f"/kept/{number}")
    yield running
    await running.stop()


def kek_of(master: Master) -> KekFile:
    return KekFile(Path(master.config.data_dir) / "kek.hex")


def looked_into(content: bytes, kek: KekFile | None) -> BackupContent:
    return inspect_backup(io.BytesIO(content), "x.bak", kek)


def restored(config: NodeConfig, content: bytes, kek: KekFile, wall_ms: int = LATER_MS) -> Restored:
    return restore(config, io.BytesIO(content), "x.bak", kek, wall_ms)


def moved(master: Master, tmp_path: Path, **changes: Any) -> NodeConfig:
    """The same master with another directory."""
    fields: dict[str, Any] = {"tls": master.config.tls, "data_dir": str(tmp_path / "anew")}
    return node_config(tmp_path, **{**fields, **changes})


def stored(config: NodeConfig) -> Namespace:
    """What lies on the disk of a master that does not run."""
    store = open_store(config, TlsStore.load(config.tls).identity)
    try:
        return store.namespace
    finally:
        store.close()


async def test_a_backup_is_the_state_after_the_entry_that_it_names(master: Master) -> None:
    content = await backup(master)
    namespace = master.role._store.namespace
    found = looked_into(content, kek_of(master))
    assert found.state_hash == namespace.state_hash().hex()
    assert (found.index, found.directories) == (namespace.applied_index, 22)
    assert (found.cluster_id, found.written_by) == ("testcluster", "m1")
    without = looked_into(content, None)
    assert (without.index, without.rows, without.state_hash) == (found.index, 0, "")


async def test_names_are_not_readable_in_it(master: Master) -> None:
    await make(master, "/MARKER-of-a-name")
    content = await backup(master)
    assert looked_into(content, kek_of(master)).directories == 23
    assert b"MARKER" not in content


async def test_a_second_one_at_once_is_refused_and_the_slot_comes_back(master: Master) -> None:
    class Nosy(Received):
        async def send(self, piece: bytes) -> None:
            if not self.content:
                with pytest.raises(Overloaded):
                    await backup(master)
            await super().send(piece)

    assert await backup(master, Nosy())
    assert await backup(master)


async def test_a_master_goes_on_from_a_backup(master: Master, tmp_path: Path) -> None:
    content, kek = await backup(master), kek_of(master)
    await make(master, "/later")
    config = moved(master, tmp_path)
    found = restored(config, content, kek)
    assert (found.name, found.directories, found.term) == ("m1", 22, LATER_MS // 1000)
    again = await Master(config).start()
    again.seq = 100
    try:
        await again.namespace("Stat", pb.StatRequest(path="/kept/7"))
        with pytest.raises(NotFound):
            await again.namespace("Stat", pb.StatRequest(path="/later"))
        assert again.role._store.member != master.role._store.member
        assert again.role._driver.term > LATER_MS // 1000
        with pytest.raises(SafeMode):
            await make(again, "/new")
        request = pb.SetSafeModeRequest(op=again.op(), on=False)
        await again.call("/pydfs.v1.Cluster/SetSafeMode", request)
        await make(again, "/new")
    finally:
        await again.stop()


async def test_ids_go_beyond_all_that_were_given_out_and_nothing_else_changes(
    master: Master, tmp_path: Path
) -> None:
    content, before = await backup(master), master.role._store.namespace
    config = moved(master, tmp_path)
    restored(config, content, kek_of(master))
    after = stored(config)
    assert after.tree.next_chunk_id == after.tree.next_inode_id == first_free_id(LATER_MS)
    assert after.tree.administration.mode(SAFE_MODE) is not None
    assert undone(after, before).state_hash() == before.state_hash()


async def test_keys_of_files_are_in_a_backup_and_come_back(master: Master, tmp_path: Path) -> None:
    """So a backup that is kept keeps the files readable that it knows."""
    request = pb.SetXattrRequest(op=master.op(), path="/kept", name=SEAL_XATTR, value=b"file")
    await master.namespace("SetXattr", request)
    await master.namespace("Create", pb.CreateRequest(op=master.op(), path="/kept/f"))
    before = dict(master.role._store.namespace.tree.file_keys.keys.rows)
    content = await backup(master)
    await master.namespace("Delete", pb.DeleteRequest(op=master.op(), path="/kept/f"))
    config = moved(master, tmp_path)
    restored(config, content, kek_of(master))
    found = stored(config).tree.file_keys
    assert found.keys.rows == before
    assert len(before) == found.keyed_directories == 1
    assert not any(row.key in content for row in before.values())


def undone(after: Namespace, before: Namespace) -> Namespace:
    """*after* without what a restore changes."""
    after.tree.next_chunk_id = before.tree.next_chunk_id
    after.tree.next_inode_id = before.tree.next_inode_id
    after.tree.administration.set_mode(SAFE_MODE, None)
    return after


async def test_a_backup_in_safe_mode_is_restored_into_safe_mode_of_the_restore(
    master: Master, tmp_path: Path
) -> None:
    request = pb.SetSafeModeRequest(op=master.op(), on=True)
    await master.call("/pydfs.v1.Cluster/SetSafeMode", request)
    config = moved(master, tmp_path)
    restored(config, await backup(master), kek_of(master))
    mode = stored(config).tree.administration.mode(SAFE_MODE)
    assert mode is not None
    assert mode.user == "cluster restore"


async def test_with_a_log_directory_of_its_own(master: Master, tmp_path: Path) -> None:
    config = moved(master, tmp_path, raft_log_dir=str(tmp_path / "log"))
    restored(config, await backup(master), kek_of(master))
    assert (tmp_path / "log" / "store").exists()
    again = await Master(config).start()
    await again.namespace("Stat", pb.StatRequest(path="/kept/7"))
    await again.stop()


async def test_the_term_is_above_the_backups_though_the_clock_is_wrong(
    master: Master, tmp_path: Path
) -> None:
    content = await backup(master)
    term = looked_into(content, kek_of(master)).term
    assert restored(moved(master, tmp_path), content, kek_of(master), wall_ms=0).term == term + 1


async def test_directories_that_are_not_empty_are_refused(master: Master, tmp_path: Path) -> None:
    content = await backup(master)
    with pytest.raises(ConfigError, match="is not empty"):
        restored(master.config, content, kek_of(master))
    log = tmp_path / "log"
    log.mkdir()
    (log / "x").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        restored(moved(master, tmp_path, raft_log_dir=str(log)), content, kek_of(master))
    assert not (tmp_path / "anew").exists()


async def test_another_cluster_is_refused(master: Master, tmp_path: Path) -> None:
    place = tmp_path / "other"
    tls = make_cluster_certs(place, {"m1": "master"}, cluster_id="othercluster")["m1"]
    with pytest.raises(WrongCluster, match="testcluster"):
        restored(moved(master, tmp_path, tls=tls), await backup(master), kek_of(master))


async def test_another_key_is_refused_and_which_one_is_needed_is_said(
    master: Master, tmp_path: Path
) -> None:
    content, other = await backup(master), tmp_path / "other.hex"
    other.write_text("ab" * 32)
    other.chmod(0o600)
    for attempt in (
        lambda: restored(moved(master, tmp_path), content, KekFile(other)),
        lambda: looked_into(content, KekFile(other)),
        lambda: looked_into(content, KekFile(tmp_path / "absent")),
    ):
        with pytest.raises(KeyUnavailable, match=looked_into(content, None).key_id):
            attempt()
    assert not (tmp_path / "anew").exists()


async def test_a_damaged_backup_leaves_nothing_behind(master: Master, tmp_path: Path) -> None:
    content = await backup(master)
    config = moved(master, tmp_path)
    for size in (len(content) - 1, len(content) - 60, 500):
        with pytest.raises(CorruptionError, match="is cut"):
            restored(config, content[:size], kek_of(master))
    changed = bytearray(content)
    changed[-100] ^= 1
    with pytest.raises(PydfsError):
        restored(config, bytes(changed), kek_of(master))
    assert list(tmp_path.glob("anew*")) == []
    restored(config, content, kek_of(master))


async def test_a_restore_that_was_killed_is_begun_anew(
    master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, config = await backup(master), moved(master, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_put_in_place", lambda *_: None)
        restored(config, content, kek_of(master))
    assert [path.name for path in tmp_path.glob("anew*")] == ["anew.restoring"]
    restored(config, content, kek_of(master))
    assert [path.name for path in tmp_path.glob("anew*")] == ["anew"]
    shutil.rmtree(tmp_path / "anew")
