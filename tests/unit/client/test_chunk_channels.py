"""ChannelChunkIO: which server is read from, second requests when it is late, bad ones reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from pydfsnode.client import read_hedge
from pydfsnode.client.chunk_channels import ChannelChunkIO, Reading
from pydfsnode.errors import ChunkUnavailable, Unavailable
from pydfsnode.limits import MIB
from tests.unit.client.chunk_peers import CONTENT, Peers


class Calls:
    """Hears reports."""

    def __init__(self) -> None:
        self.reported: list[tuple[int, str]] = []
        self.fails = False

    async def report_bad_replica(self, chunk_id: int, node_id: str, reason: str) -> None:
        if self.fails:
            raise Unavailable("no leader")
        assert "crc32c" in reason
        self.reported.append((chunk_id, node_id))


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def peers() -> Peers:
    return Peers()


@pytest.fixture
def make(
    calls: Calls, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ChannelChunkIO]:
    # No wait before the second request, and a clock that stands: what happens is the peers' doing.
    monkeypatch.setattr(read_hedge, "DELAY_MS_MAX", 0.0)

    def make(**reading: Any) -> ChannelChunkIO:
        return ChannelChunkIO(
            peers.connect, cast(Any, calls), Reading(**reading), lambda: 0.0, lambda: 1.0
        )

    return make


@pytest.fixture
def chunks(make: Callable[..., ChannelChunkIO]) -> ChannelChunkIO:
    return make()


async def read(chunks: ChannelChunkIO, peers: Peers, offset: int = 0, length: int = 4096) -> None:
    packets = await chunks.read(peers.chunk, offset, length)
    assert b"".join(packets) == CONTENT[offset : offset + length]


async def test_reads_at_the_same_time_are_spread_over_the_servers(
    make: Callable[..., ChannelChunkIO], peers: Peers
) -> None:
    chunks = make(hedged=False)
    for peer in peers.by_name.values():
        peer.may_answer.clear()
    reads = [asyncio.ensure_future(read(chunks, peers, n * 1000, 900)) for n in range(12)]
    await asyncio.sleep(0)
    assert peers.asked() == {"c1": 4, "c2": 4, "c3": 4}
    for peer in peers.by_name.values():
        peer.may_answer.set()
    await asyncio.gather(*reads)
    peers.assert_nothing_is_open()


async def test_a_failed_server_is_asked_last(
    make: Callable[..., ChannelChunkIO], peers: Peers
) -> None:
    chunks = make(hedged=False)
    peers["c1"].dead = True
    for _ in range(6):
        await read(chunks, peers)
    assert peers.asked() == {"c1": 1, "c2": 6, "c3": 0}


async def test_when_all_fail_all_are_asked_each_time(chunks: ChannelChunkIO, peers: Peers) -> None:
    for peer in peers.by_name.values():
        peer.dead = True
    for times in (1, 2):
        with pytest.raises(ChunkUnavailable, match=r"c1: .*gone"):
            await chunks.read(peers.chunk, 0, 10)
        assert peers.asked() == {"c1": times, "c2": times, "c3": times}
    peers.assert_nothing_is_open()


async def test_a_late_server_is_overtaken_by_another(chunks: ChannelChunkIO, peers: Peers) -> None:
    peers["c1"].may_answer.clear()
    await read(chunks, peers, 5, 3000)
    assert peers.asked() == {"c1": 1, "c2": 1, "c3": 0}
    assert peers["c2"].asked == [(5, 3000)]
    assert (chunks.counts.reads, chunks.counts.hedged, chunks.counts.won) == (1, 1, 1)
    peers.assert_nothing_is_open()


async def test_the_rest_of_a_long_read_comes_from_the_one_that_answered(
    chunks: ChannelChunkIO, peers: Peers
) -> None:
    peers["c1"].may_answer.clear()
    await read(chunks, peers, 0, len(CONTENT))
    assert len(CONTENT) > MIB
    assert peers["c2"].packets_sent == 2
    assert peers["c1"].packets_sent == 0


async def test_a_late_server_that_answers_first_all_the_same_is_taken(
    chunks: ChannelChunkIO, peers: Peers
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].may_answer.clear()
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    peers["c1"].may_answer.set()
    async with asyncio.timeout(2.0):  # the other one is not waited for
        await reading
    assert (chunks.counts.hedged, chunks.counts.won) == (1, 0)
    peers.assert_nothing_is_open()
    await read(chunks, peers)
    assert peers["c1"].packets_sent == 2, "the loser of a race is no suspect, nor is the winner"


async def test_both_at_once_are_no_trouble(chunks: ChannelChunkIO, peers: Peers) -> None:
    for _ in range(10):
        peers["c1"].may_answer.clear()
        peers["c2"].may_answer.clear()
        peers["c2"].asked_for.clear()
        chunks._hedging._saved = 1.0
        reading = asyncio.ensure_future(read(chunks, peers))
        await peers["c2"].asked_for.wait()
        peers["c2"].may_answer.set()
        peers["c1"].may_answer.set()
        await reading
        peers.assert_nothing_is_open()


async def test_a_second_server_that_fails_leaves_the_first_its_time(
    chunks: ChannelChunkIO, peers: Peers
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].dead = True
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    peers["c1"].may_answer.set()
    await reading
    assert chunks.counts.won == 0


async def test_a_first_server_that_fails_late_leaves_the_second_its_time(
    chunks: ChannelChunkIO, peers: Peers
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].may_answer.clear()
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    peers["c1"].dead = True
    peers["c1"].may_answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    peers["c2"].may_answer.set()
    await reading
    assert peers.asked() == {"c1": 1, "c2": 1, "c3": 0}


async def test_both_failing_leaves_the_third(chunks: ChannelChunkIO, peers: Peers) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].dead = True
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    peers["c1"].dead = True
    peers["c1"].may_answer.set()
    await reading
    assert peers.asked() == {"c1": 1, "c2": 1, "c3": 1}


async def test_a_read_that_is_cancelled_leaves_nothing_open(
    chunks: ChannelChunkIO, peers: Peers
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].may_answer.clear()
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    peers.assert_nothing_is_open()


async def test_too_many_second_requests_are_not_sent(chunks: ChannelChunkIO, peers: Peers) -> None:
    chunks._hedging._saved = 1.0
    peers["c1"].may_answer.clear()
    await read(chunks, peers)
    late = asyncio.ensure_future(read(chunks, peers))
    while not chunks.counts.refused:
        await asyncio.sleep(0)
    peers["c1"].may_answer.set()
    await late
    assert chunks.counts.hedged == 1


async def test_hedging_can_be_turned_off(make: Callable[..., ChannelChunkIO], peers: Peers) -> None:
    chunks = make(hedged=False)
    peers["c1"].may_answer.clear()
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c1"].asked_for.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert peers.asked() == {"c1": 1, "c2": 0, "c3": 0}
    peers["c1"].may_answer.set()
    await reading
    assert (chunks.counts.reads, chunks.counts.hedged) == (1, 0)


async def test_a_bad_replica_is_reported_and_the_read_goes_on(
    chunks: ChannelChunkIO, peers: Peers, calls: Calls
) -> None:
    peers["c1"].flips = True
    await read(chunks, peers)
    await chunks.close()
    assert calls.reported == [(7, "c1")]


async def test_a_bad_replica_met_by_a_second_request_is_reported_too(
    chunks: ChannelChunkIO, peers: Peers, calls: Calls
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].flips = True
    reading = asyncio.ensure_future(read(chunks, peers))
    while not calls.reported:
        await asyncio.sleep(0)
    peers["c1"].may_answer.set()
    await reading
    await chunks.close()
    assert calls.reported == [(7, "c2")]


async def test_a_bad_first_answer_is_reported_while_the_second_goes_on(
    chunks: ChannelChunkIO, peers: Peers, calls: Calls
) -> None:
    peers["c1"].may_answer.clear()
    peers["c2"].may_answer.clear()
    peers["c1"].flips = True
    reading = asyncio.ensure_future(read(chunks, peers))
    await peers["c2"].asked_for.wait()
    peers["c1"].may_answer.set()
    while not calls.reported:
        await asyncio.sleep(0)
    peers["c2"].may_answer.set()
    await reading
    assert calls.reported == [(7, "c1")]
    assert peers.asked()["c3"] == 0


async def test_a_report_that_fails_harms_nothing(
    chunks: ChannelChunkIO, peers: Peers, calls: Calls, capsys: pytest.CaptureFixture[str]
) -> None:
    peers["c1"].flips, calls.fails = True, True
    await read(chunks, peers)
    await chunks.close()
    await asyncio.sleep(0)
    assert "not reported" in capsys.readouterr().err
