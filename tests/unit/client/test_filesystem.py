"""AsyncFileSystem: the words of fsspec, through the real wire layer, service and namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import Freshness
from pydfsnode.errors import (
    AlreadyExists,
    ConfigError,
    DirectoryNotEmpty,
    InvalidPath,
    IsADirectory,
    NotADirectory,
    NotFound,
)
from tests.unit.client.fakes import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(limits.CHUNK_BYTES_MIN)


async def test_info_tells_what_the_masters_know(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"hello")
    status = await fs.info("/d/f")
    assert (status.path, status.name, status.type, status.size) == ("/d/f", "f", "file", 5)
    assert (status.replication, status.owner, status.mode) == (3, "ann", 0o644)
    assert status.checksum.startswith("crc32c:")
    directory = await fs.info("/d")
    assert directory.is_directory
    assert directory.child_count == 1


async def test_exists_isdir_and_isfile_agree(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"")
    for path, there, directory in [
        ("/d/f", True, False),
        ("/d", True, True),
        ("/nothing", False, False),
        ("/d/f/below-a-file", False, False),
    ]:
        assert await fs.exists(path) is there
        assert await fs.isdir(path) is directory
        assert await fs.isfile(path) is (there and not directory)


async def test_a_directory_larger_than_a_page_is_listed_whole_and_in_order(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LIST_ENTRIES_MAX", 10)
    fs = cluster.connect()
    for number in range(35):
        await fs.mkdir(f"/d/{number:03}")
    names = [entry.name for entry in await fs.ls("/d")]
    assert names == [f"{number:03}" for number in range(35)]
    assert cluster.router.calls.count("List") == 4


async def test_a_file_lists_itself(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"x")
    assert [entry.path for entry in await fs.ls("/f")] == ["/f"]


async def test_find_walks_a_tree_each_directory_before_its_entries(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    for path in ("/t/a/x", "/t/a/y", "/t/b/c/z", "/t/f"):
        await fs.pipe_file(path, b"1")
    found = [entry.path async for entry in fs.find("/t")]
    assert sorted(found) == [
        "/t", "/t/a", "/t/a/x", "/t/a/y", "/t/b", "/t/b/c", "/t/b/c/z", "/t/f",
    ]  # fmt: skip
    for path in found[1:]:
        assert found.index(path.rpartition("/")[0]) < found.index(path)
    assert [entry.path async for entry in fs.find("/t/f")] == ["/t/f"]


async def test_mkdir_refuses_what_exists_and_optionally_a_missing_parent(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.mkdir("/a/b")
    with pytest.raises(AlreadyExists):
        await fs.mkdir("/a/b")
    with pytest.raises(AlreadyExists):
        await fs.makedirs("/a/b")
    await fs.makedirs("/a/b", exist_ok=True)
    with pytest.raises(NotFound):
        await fs.mkdir("/x/y", create_parents=False)
    await fs.pipe_file("/f", b"")
    with pytest.raises(NotADirectory):
        await fs.mkdir("/f/y", create_parents=False)


async def test_rm_needs_recursive_for_a_tree(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/t/a/f", b"1")
    with pytest.raises(DirectoryNotEmpty):
        await fs.rm("/t")
    assert await fs.rm("/t", recursive=True) == 3
    with pytest.raises(NotFound):
        await fs.rm("/t")


async def test_mv_goes_into_a_directory_and_else_to_the_name(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"1")
    await fs.mkdir("/d")
    assert (await fs.mv("/f", "/d")).path == "/d/f"
    assert (await fs.mv("/d/f", "/g")).path == "/g"
    assert await fs.cat_file("/g") == b"1"


async def test_du_counts_below_a_path(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/t/a", b"12345")
    await fs.pipe_file("/t/b", b"123")
    total = await fs.du("/t")
    assert (total.files, total.directories, total.bytes, total.bytes_replicated) == (2, 1, 8, 24)


async def test_pipe_file_overwrites_only_when_allowed(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"1")
    await fs.pipe_file("/f", b"2")
    with pytest.raises(AlreadyExists):
        await fs.pipe_file("/f", b"3", overwrite=False)
    assert await fs.cat_file("/f") == b"2"
    await fs.mkdir("/d")
    with pytest.raises(IsADirectory):
        await fs.pipe_file("/d", b"")


async def test_replication_and_chunk_size_of_a_file_can_be_chosen(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    async with await fs.open_writer("/f", replication=2, chunk_bytes=2 * limits.MIB) as writer:
        await writer.write(b"x")
    status = await fs.info("/f")
    assert (status.replication, status.chunk_bytes) == (2, 2 * limits.MIB)


@pytest.mark.parametrize(
    ("given", "meant"), [("a/b", "/a/b"), ("//a//b/", "/a/b"), ("/a/./b", "/a/b"), ("", "/")]
)
async def test_paths_are_brought_into_their_shortest_form(
    cluster: FakeCluster, given: str, meant: str
) -> None:
    fs = cluster.connect()
    await fs.makedirs("/a/b", exist_ok=True)
    assert (await fs.info(given)).path == meant


@pytest.mark.parametrize("path", ["/a/../b", "..", "/caf\udce9"])
async def test_paths_that_mean_nothing_certain_are_refused(cluster: FakeCluster, path: str) -> None:
    with pytest.raises(InvalidPath):
        await cluster.connect().info(path)


# ---- consistency


async def test_reads_take_a_consistency_and_their_answers_are_labelled(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"hello")
    cluster.consensus.staleness = 70
    cluster.router.calls.clear()
    label = Freshness(linearizable=False, staleness_ms=70, served_by="m1")
    assert (await fs.info("/d/f", consistency="stale")).freshness == label
    assert fs.stalest == label
    assert [e.freshness for e in await fs.ls("/d", consistency="bounded:100")] == [label]
    assert [e.freshness for e in [e async for e in fs.find("/d", consistency="stale")]] == [
        label,
        label,
    ]
    assert (await fs.du("/d", consistency="stale")).freshness == label
    assert await fs.exists("/d", consistency="stale")
    assert await fs.isdir("/d", consistency="stale")
    assert await fs.isfile("/d/f", consistency="stale")
    assert await fs.cat_file("/d/f", consistency="stale") == b"hello"
    assert cluster.router.any_master == cluster.router.calls
    assert fs.stalest == label
    assert cluster.router.hints == []


async def test_who_leads_is_learned_from_the_answers_of_others(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"hello")
    cluster.consensus.is_leader = False
    await fs.info("/d/f", consistency="stale")
    await fs.ls("/d", consistency="stale")
    await fs.cat_file("/d/f", consistency="stale")
    await fs.du("/d", consistency="stale")
    assert cluster.router.hints == [cluster.consensus.leader_hint] * 4


async def test_lease_and_follower_reads_are_linearizable_and_ask_whom_they_may(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    found = await fs.info("/", consistency="lease")
    assert found.freshness == Freshness(linearizable=True, staleness_ms=0, served_by="m1")
    assert cluster.router.any_master == []
    await fs.info("/", consistency=Consistency.parse("follower"))
    assert cluster.router.any_master == ["Stat"]
    assert cluster.consensus.barriers == ["lease", "any"]
    assert fs.stalest is None


async def test_a_plain_read_has_no_label(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    assert (await fs.info("/")).freshness is None
    assert cluster.consensus.barriers == ["leader"]


async def test_the_clients_own_consistency_is_of_reads_that_do_not_say(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect(consistency="stale")
    await fs.info("/")
    await fs.info("/", consistency="linearizable")
    assert cluster.router.any_master == ["Stat"]
    assert cluster.consensus.barriers == ["leader"]


async def test_what_decides_on_a_change_is_read_linearizably(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    fs = cluster.connect(consistency="stale")
    (tmp_path / "source").write_bytes(b"content")
    await fs.put(tmp_path / "source", "/put")
    await fs.mkdir("/d")
    await fs.mkdir("/d/e", create_parents=False)
    await fs.mv("/d/e", "/d/f")
    assert cluster.router.any_master == []
    assert "leader" in cluster.consensus.barriers


async def test_a_consistency_that_is_none_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(ConfigError, match="'eventual'"):
        await cluster.connect().info("/", consistency="eventual")
    with pytest.raises(ConfigError, match="'eventual'"):
        cluster.connect(consistency="eventual")
