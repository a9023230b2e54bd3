"""A master's store as a start checks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pydfsnode.errors import CorruptionError
from pydfsnode.meta.rows import HEAD_KEY, TABLE_HEAD
from pydfsnode.roles.master.store import MasterStore, kek_with_data, open_store
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.state_tables import disk_table
from tests.support.masters import Master, node_config


@contextmanager
def opened(master: Master) -> Iterator[MasterStore]:
    store = open_store(master.config, TlsStore.load(master.config.tls).identity)
    try:
        yield store
    finally:
        store.close()


async def run_and_write(master: Master) -> None:
    """A life of the master in which entries are added; the directory is made by the first one."""
    await master.start()
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/a"))
    await master.stop()


@pytest.mark.parametrize("removed", [False, True])
async def test_an_older_or_no_head_of_the_state_is_refused(tmp_path: Path, removed: bool) -> None:
    """With it entries that the rows hold already would be applied again."""
    master = Master(node_config(tmp_path))
    await run_and_write(master)
    with opened(master) as store:
        place = bytes([disk_table(TABLE_HEAD, store.log.bounds.generation)]) + HEAD_KEY
        older = store.sealed.kv.get(place)
        assert older is not None
    await run_and_write(master)
    with opened(master) as store:
        newer = store.sealed.kv.get(place)
        store.sealed.kv.write([(place, None if removed else older)], True)
    assert newer not in (None, older)
    with pytest.raises(CorruptionError, match=r"the state's head is of|has no head row"):
        open_store(master.config, TlsStore.load(master.config.tls).identity)


async def test_a_start_warns_of_a_kek_on_a_disk_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    master = Master(node_config(tmp_path))
    await run_and_write(master)
    kek = Path(master.config.data_dir) / "kek.hex"
    capsys.readouterr()
    with opened(master) as store:
        said = capsys.readouterr().err
        assert f"lies on a disk of the data that it opens file={kek} remedy=move it" in said
        assert store.keyring.kek[0] == f"file {kek}, on a disk of the data"
    monkeypatch.setenv("KEK_OF_M1", kek.read_text())
    kek.unlink()
    master.config.kek_env = "KEK_OF_M1"
    assert kek_with_data(master.config) == ""
    with opened(master):
        assert "disk of the data" not in capsys.readouterr().err
