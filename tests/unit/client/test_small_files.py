"""Small files: created with their content by one request, read by one, and what that changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.client.filesystem_base import Creation
from pydfsnode.errors import (
    AlreadyExists,
    CorruptionError,
    InvalidArgument,
    IsADirectory,
    Unavailable,
)
from pydfsnode.meta.ops import Create, CreateInline
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.unit.client.fakes import FakeCluster

MAX = limits.INLINE_BYTES_MAX
OFF = Creation(inline_bytes_max=0)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(limits.CHUNK_BYTES_MIN)


@pytest.mark.parametrize("size", [0, 1, MAX])
async def test_a_small_file_is_one_request_to_create_and_one_to_read(
    cluster: FakeCluster, size: int
) -> None:
    fs, data = cluster.connect(), b"x" * size
    status = await fs.pipe_file("/d/f", data)
    assert cluster.router.calls == ["Create"]
    assert (status.size, status.under_construction) == (size, False)
    assert status.checksum == f"crc32c:{crc32c(data):08x}"
    cluster.router.calls.clear()
    assert await fs.cat_file("/d/f") == data
    assert cluster.router.calls == ["Locate"]
    assert cluster.chunks.stored == {}


async def test_the_status_says_where_the_content_lies(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/small", b"x")
    await fs.pipe_file("/large", b"x" * (MAX + 1))
    assert [entry.inline for entry in await fs.ls("/")] == [False, True]


async def test_one_byte_more_goes_to_chunkservers(cluster: FakeCluster) -> None:
    fs, data = cluster.connect(), b"x" * (MAX + 1)
    await fs.pipe_file("/f", data)
    assert cluster.router.calls == ["Create", "Complete"]
    assert await fs.cat_file("/f") == data


async def test_the_limit_can_be_lowered_and_be_zero(cluster: FakeCluster) -> None:
    fs = cluster.connect(creation=Creation(inline_bytes_max=10))
    await fs.pipe_file("/small", b"x" * 10)
    await fs.pipe_file("/large", b"x" * 11)
    await cluster.connect(creation=OFF).pipe_file("/off", b"x")
    assert [entry.inline for entry in await fs.ls("/")] == [False, False, True]


async def test_a_small_local_file_is_put_with_one_request(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"content")
    fs = cluster.connect()
    await fs.put_file(tmp_path / "f", "/f")
    assert cluster.router.calls == ["Create"]
    await fs.get_file("/f", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"


async def test_small_writes_are_gathered(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    async with await fs.open_writer("/f") as writer:
        for part in (b"one ", bytearray(b"two "), b"three"):
            await writer.write(part)
        assert writer.tell() == 13
        assert cluster.router.calls == []
    assert cluster.router.calls == ["Create"]
    assert await fs.cat_file("/f") == b"one two three"


async def test_what_grows_beyond_the_limit_is_created_and_written_as_chunks(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    async with await fs.open_writer("/f") as writer:
        await writer.write(b"a" * MAX)
        assert cluster.router.calls == []
        await writer.write(b"b")
        assert cluster.router.calls[0] == "Create"
    assert await fs.cat_file("/f") == b"a" * MAX + b"b"


async def test_masters_without_room_for_contents_open_the_file_instead(
    cluster: FakeCluster,
) -> None:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN, inline_total_bytes_max=10)
    fs = cluster.connect()
    await fs.pipe_file("/fits", b"0123456789")
    await fs.pipe_file("/f", b"x")
    assert [type(op) for op in cluster.consensus.proposed[:2]] == [CreateInline, Create]
    assert cluster.router.calls == ["Create", "Create", "AllocateChunk", "Complete"]
    assert await fs.cat_file("/f") == b"x"
    await fs.pipe_file("/empty", b"")
    assert (await fs.info("/empty")).size == 0


@pytest.mark.parametrize("size", [1, MAX + 1])
async def test_errors_of_the_creation_come_with_the_content(
    cluster: FakeCluster, size: int
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"first")
    await fs.mkdir("/d")
    with pytest.raises(AlreadyExists):
        await fs.pipe_file("/f", b"x" * size, overwrite=False)
    with pytest.raises(IsADirectory):
        await fs.pipe_file("/d", b"x" * size)
    assert await fs.cat_file("/f") == b"first"


async def test_a_file_that_must_exist_at_once_is_made_at_once(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    async with await fs.open_writer("/f", overwrite=False, at_once=True) as writer:
        assert (await fs.info("/f")).under_construction
        with pytest.raises(AlreadyExists):
            await fs.open_writer("/f", overwrite=False, at_once=True)
        await writer.write(b"small")
    assert cluster.router.calls[-1] == "CompleteInline"
    assert await fs.cat_file("/f") == b"small"


async def test_a_writer_that_is_given_up_before_its_creation_asks_nothing(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"old")
    cluster.router.calls.clear()
    writer = await fs.open_writer("/f")
    await writer.write(b"new")
    await writer.abort()
    assert cluster.router.calls == []
    assert await fs.cat_file("/f") == b"old"
    with pytest.raises(InvalidArgument, match="not created"):
        writer.status  # noqa: B018


async def test_closing_again_after_a_failure_writes_the_same_content(cluster: FakeCluster) -> None:
    fs, failures = cluster.connect(), [Unavailable("nobody there")]

    def fail_once(path: str, _request: object) -> None:
        if path.endswith("Create") and failures:
            raise failures.pop()

    cluster.router.before = fail_once
    writer = await fs.open_writer("/f")
    await writer.write(b"content")
    with pytest.raises(Unavailable):
        await writer.close()
    assert (await writer.close()).size == 7
    assert await fs.cat_file("/f") == b"content"


async def test_ranges_and_packets_of_a_small_file(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"0123456789")
    assert await fs.cat_file("/f", 2, 5) == b"234"
    assert await fs.cat_file("/f", -3) == b"789"
    assert await fs.cat_file("/f", 4, 99) == b"456789"
    async with await fs.open_reader("/f") as reader:
        assert await reader.read(4) == b"0123"
        assert await reader.read() == b"456789"
        assert await reader.read() == b""
        assert b"".join([bytes(p) async for p in reader.packets(3, 6)]) == b"345"


async def test_a_content_that_does_not_match_its_checksum_is_not_returned(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"content")
    monkeypatch.setattr(cluster.consensus, "read_inline", lambda _content_id: b"cOntent")
    with pytest.raises(CorruptionError, match="/f"):
        await fs.cat_file("/f")


async def test_the_masters_refuse_a_content_above_their_limit_as_a_file_to_be_written(
    cluster: FakeCluster,
) -> None:
    request = pb.CreateRequest(path="/f", content=b"x" * (MAX + 1))
    request.op.client_id, request.op.seq = 7, 1
    answer = await cluster.router.call(
        "/pydfs.v1.Namespace/Create", request.SerializeToString(), timeout_ms=1, changes=True
    )
    assert pb.CreateResponse.FromString(answer).status.under_construction
