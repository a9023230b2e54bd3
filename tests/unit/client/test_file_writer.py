"""AsyncFileWriter: byte-equal files whatever breaks on the way."""

from __future__ import annotations

import asyncio
import random

import pytest

from pydfsnode import limits
from pydfsnode.client import chunked_file
from pydfsnode.client.model import AllocatedChunk
from pydfsnode.errors import (
    InvalidArgument,
    NoChunkservers,
    NotFound,
    PipelineBroken,
    Unavailable,
)
from tests.unit.client.fakes import FakeCluster, FakeSink

MIB = limits.MIB
CHUNK = 2 * MIB


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(CHUNK)


@pytest.mark.parametrize(
    "size", [0, 1, MIB - 1, MIB, MIB + 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * MIB + 77]
)
async def test_a_file_of_any_size_comes_back_equal(cluster: FakeCluster, size: int) -> None:
    fs = cluster.connect()
    status = await fs.pipe_file("/f", content(size))
    assert status.size == size
    assert not status.under_construction
    assert await fs.cat_file("/f") == content(size)


async def test_an_empty_file_has_no_chunk_and_a_full_chunk_no_empty_follower(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/empty", b"")
    await fs.pipe_file("/full", content(CHUNK))
    assert cluster.router.calls == ["Create", "Create", "Complete"]
    assert cluster.namespace.tree.next_chunk_id == 2


async def test_a_file_of_one_chunk_takes_two_calls(cluster: FakeCluster) -> None:
    await cluster.connect().pipe_file("/f", content(5_000))
    assert cluster.router.calls == ["Create", "Complete"]


async def test_who_finds_no_server_for_the_first_chunk_hears_it_when_asking_for_it(
    cluster: FakeCluster,
) -> None:
    cluster.fleet.servers = []
    with pytest.raises(NoChunkservers):
        await cluster.connect().pipe_file("/f", content(5_000))
    assert cluster.router.calls == ["Create", "AllocateChunk", "Abandon"]


async def test_a_file_that_is_created_before_it_is_written_asks_for_its_chunk(
    cluster: FakeCluster,
) -> None:
    writer = await cluster.connect().open_writer("/f", at_once=True)
    await writer.write(content(5_000))
    await writer.close()
    assert cluster.router.calls == ["Create", "AllocateChunk", "Complete"]


@pytest.mark.parametrize("piece", [1_000, 65_536, MIB, 3 * MIB])
async def test_how_writes_are_cut_does_not_matter(cluster: FakeCluster, piece: int) -> None:
    data = content(3 * MIB + 5_000)
    fs = cluster.connect()
    async with await fs.open_writer("/f") as writer:
        for start in range(0, len(data), piece):
            buffer = bytearray(data[start : start + piece])
            await writer.write(buffer)
            buffer[:] = b"\0" * len(buffer)  # the caller's buffer is its own again
        assert writer.tell() == len(data)
    assert await fs.cat_file("/f") == data


class BreakOnce:
    """Breaks the *nth* occurrence of *step*, blaming the server at *position* of the pipeline."""

    def __init__(self, cluster: FakeCluster, step: str, nth: int, position: int) -> None:
        self._cluster = cluster
        self._left = nth
        self._step = step
        self._position = position
        self.happened = False

    def __call__(self, step: str, chunk: AllocatedChunk, _sink: FakeSink | None) -> str | None:
        if step != self._step or self.happened:
            return None
        self._left -= 1
        if self._left:
            return None
        self.happened = True
        failed = chunk.targets[self._position].node_id
        self._cluster.chunks.dead.add(failed)
        return failed


@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    ("step", "nth"),
    [("open", 1), ("open", 2), ("write", 1), ("write", 2), ("write", 3), ("finish", 1),
     ("finish", 2), ("finish", 3)],
)  # fmt: skip
async def test_a_pipeline_that_breaks_at_any_point_leaves_an_equal_file(
    cluster: FakeCluster, step: str, nth: int, position: int
) -> None:
    data = content(5 * MIB + 3)
    broken = cluster.chunks.breaks = BreakOnce(cluster, step, nth, position)
    fs = cluster.connect()
    status = await fs.pipe_file("/f", data)
    assert broken.happened
    assert status.size == len(data)
    assert await fs.cat_file("/f") == data


@pytest.mark.parametrize(
    ("timeout_ms", "step", "opened"),
    [(25_000, "write", 3), (25_000, "finish", 9), (200_000, "write", 9), (None, "write", 9)],
)
async def test_servers_are_left_until_nothing_went_on_for_as_long_as_the_caller_waits(
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    timeout_ms: int | None,
    step: str,
    opened: int,
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s[0])
    cluster.chunks.timeout_ms = timeout_ms

    def breaks(at: str, chunk: AllocatedChunk, sink: FakeSink | None) -> str | None:
        if at != step:
            return None
        now_s[0] += 10
        return chunk.targets[0].node_id

    cluster.chunks.breaks = breaks
    with pytest.raises(PipelineBroken):
        await cluster.connect().pipe_file("/f", content(CHUNK))
    assert len(cluster.chunks.sinks) == opened


async def test_the_failed_server_is_excluded_from_the_next_chunk(cluster: FakeCluster) -> None:
    cluster.chunks.breaks = BreakOnce(cluster, "write", 2, 1)
    await cluster.connect().pipe_file("/f", content(CHUNK + 1))
    assert cluster.fleet.excluded == [[], ["c2"]]


async def test_a_server_that_broke_before_any_acknowledgement_is_excluded_too(
    cluster: FakeCluster,
) -> None:
    cluster.chunks.breaks = BreakOnce(cluster, "write", 1, 2)
    await cluster.connect().pipe_file("/f", content(CHUNK))
    assert cluster.fleet.excluded == [[], ["c3"]]


async def test_what_was_acknowledged_goes_on_in_the_same_chunk_as_its_next_version(
    cluster: FakeCluster,
) -> None:
    cluster.chunks.breaks = BreakOnce(cluster, "write", 2, 1)
    await cluster.connect().pipe_file("/f", content(CHUNK))
    stored = cluster.chunks.stored
    assert stored["c1", 1] == stored["c3", 1] == (2, content(CHUNK))
    assert stored["c2", 1][0] == 1, "the one that failed has an old version"
    assert {chunk_id for _, chunk_id in stored} == {1}


async def test_a_chunk_of_which_nothing_was_acknowledged_is_abandoned(cluster: FakeCluster) -> None:
    cluster.chunks.breaks = BreakOnce(cluster, "write", 1, 0)
    await cluster.connect().pipe_file("/f", content(CHUNK))
    abandoned = [op.abandon_chunk_id for op in cluster.consensus.proposed
                 if hasattr(op, "abandon_chunk_id")]  # fmt: skip
    assert abandoned == [1, 0]


async def test_a_chunk_with_too_few_servers_left_is_sent_again_as_a_whole(
    cluster: FakeCluster,
) -> None:
    cluster.allocation._min_replicas = 3
    cluster.chunks.breaks = BreakOnce(cluster, "write", 2, 1)
    fs = cluster.connect()
    await fs.pipe_file("/f", content(CHUNK))
    assert await fs.cat_file("/f") == content(CHUNK)
    assert cluster.fleet.excluded[1:] == [["c2"], []], "then anybody is welcome"


@pytest.mark.parametrize("seed", range(25))
async def test_random_breaks_leave_an_equal_file(
    cluster: FakeCluster, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked_file, "PIPELINE_BREAKS_MAX", 1000)
    chance = random.Random(seed)

    def breaks(step: str, chunk: AllocatedChunk, sink: FakeSink | None) -> str | None:
        cluster.allocation._min_replicas = chance.choice([1] * 9 + [3])
        if sink is not None:  # acknowledged lags behind what was sent
            base = sink.chunk.base
            begun = 0 if base is None else base.length
            sink.acked_bytes -= chance.randrange(sink.acked_bytes - begun + 1)
        return chance.choice(chunk.targets).node_id if chance.random() < 0.3 else None

    cluster.chunks.breaks = breaks
    data = content(9 * MIB + seed, seed)
    fs = cluster.connect()
    await fs.pipe_file("/f", data)
    assert await fs.cat_file("/f") == data


async def test_a_writer_gives_up_after_many_breaks_and_drops_the_file(cluster: FakeCluster) -> None:
    cluster.chunks.breaks = lambda _step, chunk, _sink: chunk.targets[0].node_id
    fs = cluster.connect()
    with pytest.raises(PipelineBroken):
        await fs.pipe_file("/f", b"x" * MIB)
    assert cluster.router.calls.count("AllocateChunk") > chunked_file.PIPELINE_BREAKS_MAX
    with pytest.raises(NotFound):
        await fs.info("/f")


async def test_an_exception_in_the_block_abandons_the_file(cluster: FakeCluster) -> None:
    fs = cluster.connect()

    async def fail_halfway() -> None:
        async with await fs.open_writer("/f") as writer:
            await writer.write(content(MIB + 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_halfway()
    assert not await fs.exists("/f")
    assert all(sink.cancelled for sink in cluster.chunks.sinks)


async def test_an_unreachable_cluster_does_not_hide_the_first_error(cluster: FakeCluster) -> None:
    fs = cluster.connect()

    def unreachable(path: str, _request: object) -> None:
        if path.endswith("Abandon"):
            raise Unavailable("nobody there")

    cluster.router.before = unreachable
    with pytest.raises(ZeroDivisionError):
        async with await fs.open_writer("/f"):
            raise ZeroDivisionError


async def test_a_closed_file_takes_no_more_and_closes_twice(cluster: FakeCluster) -> None:
    writer = await cluster.connect().open_writer("/f")
    await writer.write(b"x")
    assert await writer.close() == await writer.close()
    with pytest.raises(InvalidArgument, match="/f is closed"):
        await writer.write(b"y")
