"""A reader whose capability has expired asks the masters for another, once, and goes on."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.client.model import ChunkLocation
from pydfsnode.errors import CapabilityRefused, PydfsError
from pydfsnode.security.capability import (
    LIFE_MS,
    LONG_LIFE_MS,
    READING_OPEN,
    WRITING,
    Operation,
    verify,
)
from tests.support.capabilities import CHUNK_KEY
from tests.unit.client.fakes import FakeCluster

DATA = bytes(range(256)) * 5000
NOW_MS = 1_700_000_000_000


@pytest.fixture
async def cluster() -> FakeCluster:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN)
    await cluster.connect().pipe_file("/f", DATA)
    return cluster


async def test_an_expired_capability_is_renewed_without_a_pause(cluster: FakeCluster) -> None:
    shown: list[bytes] = []

    def refuse_the_first(chunk: ChunkLocation) -> None:
        shown.append(chunk.capability)
        if len(shown) == 1:
            raise CapabilityRefused("it has expired", reason="expired")

    async with await cluster.connect().open_reader("/f") as reader:
        cluster.chunks.before_read = refuse_the_first
        asked, begun_ms = len(cluster.router.calls), cluster.clock.monotonic_ms()
        assert await reader.read_range(0, 1000) == DATA[:1000]
        assert await reader.read_range(1000, 2000) == DATA[1000:2000]
    assert cluster.router.calls[asked:] == ["Locate"]
    assert cluster.clock.monotonic_ms() == begun_ms
    assert len(shown) == 3


async def test_one_that_is_refused_again_is_told(cluster: FakeCluster) -> None:
    def refuse(_chunk: ChunkLocation) -> None:
        raise CapabilityRefused("somebody else's", reason="user")

    async with await cluster.connect().open_reader("/f") as reader:
        cluster.chunks.before_read = refuse
        with pytest.raises(PydfsError, match="somebody else's"):
            await reader.read_range(0, 1000)


async def test_what_the_masters_give_out(cluster: FakeCluster) -> None:
    keys = {1: CHUNK_KEY}
    found = await cluster.connect().locations("/f")
    for chunk in found.chunks:
        said = verify(chunk.capability, keys.get, NOW_MS)
        wanted = (chunk.chunk_id, chunk.version, Operation.READ, "ann", NOW_MS + LIFE_MS)
        assert said == wanted
    fs = cluster.connect()
    async with await fs.append("/f") as writer:
        await writer.write(DATA)
        await writer.flush()
        allocated = cluster.chunks.sinks[-1].chunk
        said = verify(allocated.capability, keys.get, NOW_MS)
        assert said == (allocated.chunk_id, allocated.version, WRITING, "ann", NOW_MS + LIFE_MS)
        bases = [sink.chunk.base for sink in cluster.chunks.sinks if sink.chunk.base is not None]
        for base in bases:
            said = verify(base.capability, keys.get, NOW_MS)
            wanted = (base.chunk_id, base.version, Operation.READ, "ann", NOW_MS + LONG_LIFE_MS)
            assert said == wanted
        assert bases
        opened = (await fs.locations("/f")).open_chunk
        assert opened is not None
        said = verify(opened.capability, keys.get, NOW_MS)
        assert (said.chunk_id, said.operations) == (opened.chunk_id, READING_OPEN)
