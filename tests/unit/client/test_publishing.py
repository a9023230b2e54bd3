"""flush and sync of open files, and appends that go on with the last chunk."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.client.replacement import replacements
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import InvalidArgument
from pydfsnode.limits import MIB
from pydfsnode.meta import ops

from .fakes import FakeCluster

CHUNK = 2 * MIB


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(CHUNK, ["c1", "c2", "c3", "c4"])


def content(size: int, begin: int = 0) -> bytes:
    return bytes((begin + n) % 251 for n in range(size))


def chunk_ids(cluster: FakeCluster, path: str) -> list[int]:
    tree = cluster.namespace.tree
    file = tree.walk_file(path, tree.caller("root"))
    return [chunk[0] for chunk in tree.table.chunks(file)]


async def test_flush_makes_what_was_written_readable_and_close_still_closes(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    data = content(CHUNK + 100)
    async with await fs.open_writer("/f") as writer:
        for end in (10, 11, 70_000, MIB + 3, CHUNK, CHUNK + 100):
            await writer.write(data[writer.tell() : end])
            await writer.flush()
            assert await fs.cat_file("/f") == data[:end]
            await writer.flush()
    assert await fs.cat_file("/f") == data
    assert len(chunk_ids(cluster, "/f")) == 2


async def test_sync_makes_the_length_known_to_the_masters(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    data = content(CHUNK + 100)
    async with await fs.open_writer("/f") as writer:
        for end in (10, 11, 70_000, CHUNK, CHUNK + 100):
            await writer.write(data[writer.tell() : end])
            await writer.sync()
            info = await fs.info("/f")
            assert (info.size, info.under_construction) == (end, True)
            assert await fs.cat_file("/f") == data[:end]
            await writer.sync()
    assert await fs.cat_file("/f") == data
    assert len(chunk_ids(cluster, "/f")) == 2, "writing on continues the chunk"


async def test_what_was_synced_stays_when_the_rest_is_given_up(cluster: FakeCluster) -> None:
    fs = cluster.connect()

    async def fail() -> None:
        async with await fs.open_writer("/f") as writer:
            await writer.write(b"kept")
            await writer.sync()
            await writer.write(b" and lost")
            await writer.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await fs.cat_file("/f") == b"kept"
    assert not (await fs.info("/f")).under_construction


async def test_flush_of_nothing_makes_the_file_and_a_closed_one_refuses(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    writer = await fs.open_writer("/f")
    assert not await fs.exists("/f")
    await writer.flush()
    assert await fs.cat_file("/f") == b""
    await writer.sync()
    await writer.close()
    with pytest.raises(InvalidArgument):
        await writer.flush()


async def test_appends_of_a_few_bytes_stay_in_one_chunk(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    data = content(MIB)
    await fs.pipe_file("/f", data)
    for n in range(30):
        async with await fs.append("/f") as writer:
            await writer.write(b"%02d" % n)
        data += b"%02d" % n
    assert await fs.cat_file("/f") == data
    assert len(chunk_ids(cluster, "/f")) == 1


@pytest.mark.parametrize("first", [1, 4000, 5000, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("more", [1, CHUNK - 1, CHUNK, CHUNK + 1])
async def test_an_append_fills_the_last_chunk_first(
    cluster: FakeCluster, first: int, more: int
) -> None:
    fs = cluster.connect()
    data = content(first + more)
    await fs.pipe_file("/f", data[:first])
    async with await fs.append("/f") as writer:
        await writer.write(data[first:])
        await writer.flush()
        assert await fs.cat_file("/f") == data
    assert await fs.cat_file("/f") == data
    assert len(chunk_ids(cluster, "/f")) == -(-(first + more) // CHUNK) or first + more < 5000


async def test_an_append_that_is_given_up_changes_nothing(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", content(MIB))
    before = chunk_ids(cluster, "/f")
    writer = await fs.append("/f")
    await writer.write(content(MIB + 1))
    await writer.abort()
    assert await fs.cat_file("/f") == content(MIB)
    assert chunk_ids(cluster, "/f") == before


@pytest.mark.parametrize("step", ["open", "write", "flush", "finish"])
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_an_append_outlives_a_server_that_fails(
    cluster: FakeCluster, step: str, position: int
) -> None:
    fs = cluster.connect()
    data = content(MIB + 5000)
    await fs.pipe_file("/f", data[:MIB])
    broken: list[str] = []

    def breaks(at: str, chunk: Any, _sink: object) -> str | None:
        if at != step or broken:
            return None
        broken.append(chunk.targets[position].node_id)
        cluster.chunks.dead.add(broken[0])
        return broken[0]

    cluster.chunks.breaks = breaks
    async with await fs.append("/f") as writer:
        await writer.write(data[MIB : MIB + 2000])
        await writer.flush()
        assert await fs.cat_file("/f") == data[: MIB + 2000]
        await writer.write(data[MIB + 2000 :])
    assert broken
    assert await fs.cat_file("/f") == data
    # As HDFS: what continues another chunk gets a server in place of the one that failed.
    resumed = [op for op in cluster.consensus.proposed if isinstance(op, ops.ResumeChunk)]
    assert all(len(op.targets) == 3 and op.targets[-1] == "c4" for op in resumed)
    assert resumed or step == "open" or (step, position) == ("write", 0) or step in ("write",)


def test_flush_and_sync_of_file_objects(cluster: FakeCluster) -> None:
    async def make() -> Any:
        return cluster.connect()

    with FileSystem(make) as fs, fs.open("/f", "w") as file:
        file.write("first\n")
        file.flush()
        assert fs.cat_file("/f") == b"first\n"
        file.write("second\n")
        file.sync()  # type: ignore[attr-defined]
        assert fs.info("/f").size == 13
        with fs.open("/g", "wb") as small:
            small.write(b"small")
        assert fs.info("/g").inline, "closing is no flush"


@pytest.mark.parametrize(
    ("policy", "replication", "left", "is_kept", "expected"),
    [
        ("never", 3, 1, True, 0),
        ("always", 3, 2, False, 1),
        ("always", 2, 1, False, 1),
        ("default", 3, 2, False, 0),  # floor(3/2) = 1 < 2
        ("default", 3, 1, False, 2),
        ("default", 3, 2, True, 1),
        ("default", 2, 1, True, 0),  # r < 3
        ("default", 5, 2, False, 3),
        ("default", 5, 3, False, 0),
        ("default", 3, 3, True, 0),
    ],
)
def test_the_rule_of_hdfs(
    policy: Any, replication: int, left: int, is_kept: bool, expected: int
) -> None:
    assert replacements(policy, replication, left, is_kept=is_kept) == expected
