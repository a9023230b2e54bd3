"""What a pipeline tells upstream and when, against a next server that is told what to do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode._fast import crc32c
from pydfsnode.client import wire_chunks
from pydfsnode.client.model import Replica
from pydfsnode.client.wire_chunks import WriteAck
from pydfsnode.errors import CorruptionError, PipelineBroken, PydfsError, Unavailable
from pydfsnode.limits import MIB
from pydfsnode.roles.chunkserver.pipeline import ChainPlace, WritePipeline
from pydfsnode.rpc.chunk_packets import make_packet
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.stream_watch import Sign
from pydfsnode.storage.chunk_store import ChunkStore

CRC = crc32c(bytes(2 * MIB))


class FakeStream:
    """Messages in, messages out; an exception among those to receive is raised."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.ended = asyncio.Event()
        self.full = False
        self.only: bytes | None = None  # all that comes, when it comes with the end
        self.cancelled = False

    async def receive(self) -> Any:
        message = await self.incoming.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def receive_only(self) -> Any:
        return self.only

    async def send(self, message: Any, *, end: bool = False) -> None:
        if self.full:
            await asyncio.Event().wait()
        self.sent.append(message)
        if end:
            self.ended.set()

    async def close_send(self) -> None:
        self.ended.set()

    async def cancel(self) -> None:
        self.cancelled = True

    def sign_of_life(self) -> Sign:
        return Sign(0.0, 0)

    def ack(self, acked_bytes: int, **more: Any) -> None:
        self.incoming.put_nowait(pb.WriteChunkAck(acked_bytes=acked_bytes, **more))


class Chain:
    """A pipeline between a fake upstream and a fake next server "c2"."""

    def __init__(self, store: ChunkStore, only: bytes | None = None) -> None:
        self.upstream = FakeStream()
        self.upstream.only = only
        self.downstream = FakeStream()
        self.acks: list[WriteAck] = []
        self.store = store
        self.chunk = store.create(7, 1)
        place = ChainPlace("c1", 5, [Replica("c2", "b:1"), Replica("c3", "c:1")])
        upstream: Any = self.upstream
        pipeline = WritePipeline(self.chunk, place, upstream, self._ack, self._connect)
        self.run = asyncio.ensure_future(pipeline.run())

    def _connect(self, node_id: str, listen: str) -> Any:
        return self

    async def stream(self, path: str, first: Any, *, timeout_ms: int | None = None) -> Any:
        self.opening = first.open
        return self.downstream

    async def _ack(self, ack: WriteAck) -> None:
        self.acks.append(ack)

    def packets(self, count: int) -> None:
        for number in range(count):
            self.upstream.incoming.put_nowait(b"".join(make_packet(number * MIB, bytes(MIB))))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.002)

    async def failure(self) -> PydfsError:
        with pytest.raises(PydfsError) as failed:
            await self.run
        return failed.value


@pytest.fixture
def short_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comes before `chain` in a test's arguments."""
    monkeypatch.setattr(wire_chunks, "STALL_MS", 40)
    monkeypatch.setattr(wire_chunks, "STALL_STEP_MS", 0)


@pytest.fixture
async def chain(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chain]:
    store = await ChunkStore.open(tmp_path, 0)
    made = Chain(store, getattr(request, "param", None))
    yield made
    made.run.cancel()
    await asyncio.wait([made.run])
    await store.close()


ONE = b"".join(make_packet(0, bytes(MIB)))
ONE_CRC = crc32c(bytes(MIB))
of_one_packet = pytest.mark.parametrize("chain", [ONE], indirect=True)


async def test_packets_go_on_as_they_came_to_the_next_server_with_the_rest_of_the_chain(
    chain: Chain,
) -> None:
    chain.packets(1)
    await chain.until(lambda: chain.downstream.sent)
    assert [a.node_id for a in chain.opening.downstream] == ["c3"]
    assert chain.downstream.sent == [b"".join(make_packet(0, bytes(MIB)))]


async def test_the_next_server_has_less_time_than_this_one(chain: Chain) -> None:
    chain.packets(1)
    await chain.until(lambda: chain.downstream.sent)
    assert chain.opening.stall_ms == wire_chunks.stall_s(2) * 750


async def test_only_what_every_server_has_is_acknowledged(chain: Chain) -> None:
    chain.packets(2)
    await chain.until(lambda: chain.chunk.length == 2 * MIB)
    assert chain.acks == []
    chain.downstream.ack(MIB)
    await chain.until(lambda: chain.acks)
    assert chain.acks[-1].acked_bytes == MIB
    chain.downstream.ack(2 * MIB)
    await chain.until(lambda: chain.acks[-1].acked_bytes == 2 * MIB)
    assert not any(ack.durable for ack in chain.acks)


async def test_nothing_is_called_durable_before_the_next_server_is(chain: Chain) -> None:
    chain.packets(2)
    chain.upstream.incoming.put_nowait(None)
    await chain.downstream.ended.wait()
    chain.downstream.ack(2 * MIB)
    await chain.until(lambda: len(chain.store.index) == 1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not chain.run.done()
    assert not any(ack.durable for ack in chain.acks)
    chain.downstream.ack(2 * MIB, durable=True, crc32c=CRC)
    chain.downstream.incoming.put_nowait(None)
    await chain.run
    assert chain.acks[-1] == WriteAck(2 * MIB, True, CRC, "")
    assert [ack.durable for ack in chain.acks].count(True) == 1


@pytest.mark.parametrize(
    ("answers", "blamed"),
    [
        ([Unavailable("connection lost")], "c2"),
        ([PipelineBroken("c3 is gone", failed_node_id="c3")], "c3"),
        ([pb.WriteChunkAck(acked_bytes=MIB, failed_node_id="c3"), Unavailable("gone")], "c3"),
        ([None], "c2"),
        ([pb.WriteChunkAck(acked_bytes=2 * MIB, durable=True, crc32c=CRC ^ 1)], "c2"),
        ([pb.WriteChunkAck(acked_bytes=MIB, durable=True, crc32c=CRC)], "c2"),
    ],
)
async def test_the_last_word_names_who_failed_and_what_was_acknowledged(
    chain: Chain, answers: list[Any], blamed: str
) -> None:
    chain.packets(2)
    await chain.until(lambda: chain.chunk.length == 2 * MIB)
    chain.upstream.incoming.put_nowait(None)
    await chain.downstream.ended.wait()
    for answer in [pb.WriteChunkAck(acked_bytes=MIB), *answers]:
        chain.downstream.incoming.put_nowait(answer)
    error = await chain.failure()
    assert isinstance(error, PipelineBroken)
    assert error.fields["failed_node_id"] == blamed
    assert not any(ack.durable for ack in chain.acks)
    assert chain.acks[-1].failed_node_id == blamed
    assert chain.acks[-1].acked_bytes >= MIB
    assert chain.downstream.cancelled


@pytest.mark.parametrize("full", [False, True])
async def test_a_next_server_without_progress_is_given_up(
    short_stall: None, chain: Chain, full: bool
) -> None:
    chain.downstream.full = full
    chain.packets(2)
    error = await chain.failure()
    assert error.fields["failed_node_id"] == "c2"
    assert "no progress" in str(error)


async def test_an_idle_upstream_is_waited_for(short_stall: None, chain: Chain) -> None:
    chain.packets(1)
    chain.downstream.ack(MIB)
    await chain.until(lambda: chain.acks)
    await asyncio.sleep(0.1)
    assert not chain.run.done()


async def test_a_lost_upstream_ends_the_chain_and_blames_nobody_behind(chain: Chain) -> None:
    chain.packets(1)
    await chain.until(lambda: chain.chunk.length == MIB)
    chain.upstream.incoming.put_nowait(Unavailable("connection lost"))
    assert isinstance(await chain.failure(), Unavailable)
    assert chain.downstream.cancelled


async def test_a_slow_disk_holds_back_upstream(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def waiting(buffers: Any) -> None:
        await gate.wait()

    monkeypatch.setattr(chain.chunk, "append", waiting)
    chain.packets(40)
    for _ in range(500):
        await asyncio.sleep(0)
    assert chain.upstream.incoming.qsize() > 30


@of_one_packet
async def test_a_chunk_of_one_packet_goes_on_with_its_end_and_is_acknowledged_once(
    chain: Chain,
) -> None:
    await chain.until(lambda: len(chain.store.index) == 1)
    assert chain.downstream.sent == [ONE]
    assert chain.downstream.ended.is_set()
    assert not chain.run.done()
    assert chain.acks == []
    chain.downstream.ack(MIB, durable=True, crc32c=ONE_CRC)
    chain.downstream.incoming.put_nowait(None)
    await chain.run
    assert chain.acks == [WriteAck(MIB, True, ONE_CRC, "")]


@of_one_packet
@pytest.mark.parametrize(
    ("answers", "blamed"),
    [
        ([Unavailable("connection lost")], "c2"),
        ([PipelineBroken("c3 is gone", failed_node_id="c3")], "c3"),
        ([pb.WriteChunkAck(failed_node_id="c3"), Unavailable("gone")], "c3"),
        ([None], "c2"),
        ([pb.WriteChunkAck(acked_bytes=MIB, durable=True, crc32c=ONE_CRC ^ 1)], "c2"),
    ],
)
async def test_who_fails_a_chunk_of_one_packet_is_named_and_nothing_is_acknowledged(
    chain: Chain, answers: list[Any], blamed: str
) -> None:
    for answer in answers:
        chain.downstream.incoming.put_nowait(answer)
    assert (await chain.failure()).fields["failed_node_id"] == blamed
    assert not any(ack.durable for ack in chain.acks)
    assert chain.acks[-1].failed_node_id == blamed
    assert chain.downstream.cancelled


@of_one_packet
@pytest.mark.parametrize("full", [False, True])
async def test_a_next_server_that_stalls_a_chunk_of_one_packet_is_given_up(
    short_stall: None, chain: Chain, full: bool
) -> None:
    chain.downstream.full = full
    error = await chain.failure()
    assert error.fields["failed_node_id"] == "c2"
    assert "no progress" in str(error)


@pytest.mark.parametrize("chain", [ONE[:-1] + b"x"], indirect=True)
async def test_a_damaged_packet_goes_neither_to_the_disk_nor_to_the_next_server(
    chain: Chain,
) -> None:
    assert isinstance(await chain.failure(), CorruptionError)
    assert chain.downstream.sent == []
    assert len(chain.store.index) == 0
