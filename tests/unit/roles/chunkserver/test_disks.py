"""The configured directories of a chunkserver: claimed, opened, left out when they fail."""

from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import NodeConfig, TlsFiles, load_node_config
from pydfsnode.errors import ConfigError, DirectoryLocked, WrongCluster
from pydfsnode.roles.chunkserver.disks import open_disks
from pydfsnode.storage.directory import claim_directory

CLUSTER = "cluster-1"


def _config(tmp_path: Path, **more: Any) -> NodeConfig:
    fields: dict[str, Any] = {"data_dir": str(tmp_path / "own"), **more}
    return NodeConfig(
        role="chunkserver", node_id="c1", listen="h:1", grpc_listen="h:2", http_listen="h:3",
        masters=["m1=h:4"], tls=TlsFiles("", "", ""), reserved_bytes=0, **fields,
    )  # fmt: skip


def _claim_own(tmp_path: Path) -> None:
    claim_directory(tmp_path / "own", CLUSTER, "chunkserver", "c1").release()


async def test_chunks_go_to_all_directories_and_the_epoch_too(tmp_path: Path) -> None:
    _claim_own(tmp_path)
    config = _config(tmp_path, data_dirs=[str(tmp_path / name) for name in "ab"])
    store, epoch, claims, _ = await open_disks(config, CLUSTER)
    with pytest.raises(DirectoryLocked):
        claim_directory(tmp_path / "a", CLUSTER, "chunkserver", "c1")
    epoch.advance(5)
    for chunk_id in range(30):
        await store.create(chunk_id, 1).finish([bytes(2 << 20)], None)
    await store.close()
    claims.close()
    for name in "ab":
        assert any(path.is_file() for path in (tmp_path / name / "chunks").rglob("*"))
        assert (tmp_path / name / "epoch").exists()
        claim_directory(tmp_path / name, CLUSTER, "chunkserver", "c1").release()
    assert not (tmp_path / "own" / "chunks").exists()
    (tmp_path / "own" / "epoch").unlink()
    again = await open_disks(config, CLUSTER)
    assert (again.epoch.highest, len(again.store.index)) == (5, 30)
    await again.store.close()
    again.claims.close()


async def test_data_dir_alone_goes_on_working(tmp_path: Path) -> None:
    _claim_own(tmp_path)
    store, _, claims, _ = await open_disks(_config(tmp_path), CLUSTER)
    await store.create(1, 1).finish([b"small"], None)
    await store.close()
    claims.close()
    assert len(list((tmp_path / "own" / "segments").iterdir())) == 1
    with pytest.raises(ConfigError, match="data_dirs does not name it"):
        await open_disks(_config(tmp_path, data_dirs=[str(tmp_path / "a")]), CLUSTER)


async def test_a_directory_that_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    _claim_own(tmp_path)
    (tmp_path / "a").write_text("a file")
    config = _config(tmp_path, data_dirs=[str(tmp_path / name) for name in "ab"])
    store, epoch, claims, _ = await open_disks(config, CLUSTER)
    assert [disk.directory.name for disk in store.disks.failed] == ["a"]
    epoch.advance(3)
    await store.create(1, 1).finish([b"small"], None)
    await store.close()
    claims.close()
    with pytest.raises(ConfigError):
        await open_disks(_config(tmp_path, data_dirs=[str(tmp_path / "a")]), CLUSTER)


async def test_a_directory_of_another_node_is_an_error(tmp_path: Path) -> None:
    _claim_own(tmp_path)
    claim_directory(tmp_path / "a", CLUSTER, "chunkserver", "c2").release()
    config = _config(tmp_path, data_dirs=[str(tmp_path / name) for name in "ab"])
    with pytest.raises(WrongCluster):
        await open_disks(config, CLUSTER)


NODE = """
role = "chunkserver"
node_id = "c1"
listen = "h:1"
grpc_listen = "h:2"
http_listen = "h:3"
masters = ["m1=h:4"]
tls = {ca = "a", cert = "b", key = "c"}
"""


def _load(tmp_path: Path, more: str) -> NodeConfig:
    path = tmp_path / "node.toml"
    path.write_text(f"{more}\n{NODE}")
    return load_node_config(path)


def test_directories_are_relative_to_the_file_and_the_first_is_the_nodes_own(
    tmp_path: Path,
) -> None:
    config = _load(tmp_path, 'data_dirs = ["d1", "/d2"]')
    assert config.data_dir == str(tmp_path / "d1")
    assert config.chunk_dirs() == [tmp_path / "d1", Path("/d2")]
    assert _load(tmp_path, 'data_dir = "d"').chunk_dirs() == [tmp_path / "d"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('data_dirs = ["a", "./a"]', "twice"),
        ('data_dir = "d"\nreserved_bytes = -1', "reserved_bytes"),
        ('data_dir = "d"\npack_bytes_max = 1048577', "pack_bytes_max"),
        ('data_dir = "d"\nscrub_period_days = -0.5', "scrub_period_days"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _load(tmp_path, more)
