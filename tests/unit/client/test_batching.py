"""What is asked at the same time goes in one message; each call has its own answer or error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pydfsnode.client.batching import (
    CALL_BYTES_MAX,
    CALLS_MAX,
    BatchingChannel,
    BatchingChannels,
)
from pydfsnode.client.wire_batch import BATCH
from pydfsnode.config import Peer
from pydfsnode.errors import MalformedMessage, MessageTooLarge, NotFound, NotLeader, Unavailable
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.status import status_of

STAT = "/pydfs.v1.Namespace/Stat"
SUMMARY = "/pydfs.v1.Namespace/Summary"


class FakeChannel:
    """Holds every call until it is let go, then answers stat by path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.drop_an_answer = False

    async def ask(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        sent = rpc_of(path).parse_request(request)
        self.asked.append((path, sent, timeout_ms))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        if path != BATCH:
            return self._stat(sent).SerializeToString()
        answers = [self._answer(item) for item in sent.items]
        return pb.BatchResponse(answers=answers[self.drop_an_answer :]).SerializeToString()

    def _answer(self, item: pb.BatchItem) -> pb.BatchAnswer:
        request = pb.StatRequest.FromString(item.request)
        if request.path == "/large":
            error = MessageTooLarge("beside the others")
            return pb.BatchAnswer(error=status_of(error).error_info)
        if request.path == "/missing":
            return pb.BatchAnswer(error=status_of(NotFound("/missing", path="/missing")).error_info)
        return pb.BatchAnswer(response=self._stat(request).SerializeToString())

    def _stat(self, request: pb.StatRequest) -> pb.StatResponse:
        return pb.StatResponse(status=pb.FileStatus(path=request.path))


@pytest.fixture
async def below() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
async def channel(below: FakeChannel) -> BatchingChannel:
    return BatchingChannel(lambda: below, frozenset({STAT}))


async def ask(channel: BatchingChannel, path: str, timeout_ms: int) -> pb.StatResponse:
    request = pb.StatRequest(path=path).SerializeToString()
    return pb.StatResponse.FromString(await channel.ask(STAT, request, timeout_ms=timeout_ms))


def stat(
    channel: BatchingChannel, path: str, timeout_ms: int = 1000
) -> asyncio.Task[pb.StatResponse]:
    return asyncio.ensure_future(ask(channel, path, timeout_ms))


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_lone_call_goes_as_it_is(channel: BatchingChannel, below: FakeChannel) -> None:
    below.go.set()
    for path in ("/a", "/b"):
        assert (await stat(channel, path)).status.path == path
    assert [path for path, _, _ in below.asked] == [STAT, STAT]


async def test_calls_of_one_turn_go_together(channel: BatchingChannel, below: FakeChannel) -> None:
    calls = [stat(channel, f"/{i}", timeout_ms=1000 - i) for i in range(5)]
    await turns()
    assert [path for path, _, _ in below.asked] == [STAT, BATCH]
    assert [item.method for item in below.asked[1][1].items] == ["Stat"] * 4
    assert below.asked[1][2] == 996, "no call waits longer than it may"
    below.go.set()
    assert [answer.status.path for answer in await asyncio.gather(*calls)] == [
        f"/{i}" for i in range(5)
    ]


async def test_one_call_beside_another_goes_as_it_is(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    first = stat(channel, "/a")
    await turns()
    second = stat(channel, "/missing-alone")
    await turns()
    assert [path for path, _, _ in below.asked] == [STAT, STAT]
    below.go.set()
    assert [(await call).status.path for call in (first, second)] == ["/a", "/missing-alone"]


async def test_an_answer_that_fits_beside_no_other_is_asked_for_alone(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    calls = [stat(channel, path) for path in ("/first", "/large", "/there")]
    await turns()
    below.go.set()
    paths = [answer.status.path for answer in await asyncio.gather(*calls)]
    assert paths == ["/first", "/large", "/there"]
    assert [path for path, _, _ in below.asked] == [STAT, BATCH, STAT]


async def test_after_all_answers_a_call_is_a_lone_one_again(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    for paths in (("/first", "/missing", "/large", "/there"), ("/alone", "/one")):
        below.go.clear()
        calls = [stat(channel, path) for path in paths]
        await turns()
        below.go.set()
        await asyncio.gather(*calls, return_exceptions=True)
    assert [path for path, _, _ in below.asked] == [STAT, BATCH, STAT, STAT, STAT]
    below.asked.clear()
    await stat(channel, "/last")
    assert [path for path, _, _ in below.asked] == [STAT]
    assert channel._under_way == 0


async def test_an_error_is_its_own_calls_only(channel: BatchingChannel, below: FakeChannel) -> None:
    calls = [stat(channel, path) for path in ("/first", "/missing", "/there")]
    await turns()
    below.go.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[1], NotFound)
    assert answers[1].fields["path"] == "/missing"
    assert isinstance(answers[2], pb.StatResponse)


@pytest.mark.parametrize(
    "error",
    [NotLeader("m2 leads", leader_hint="m2=h:1"), Unavailable("gone")],
    ids=lambda e: e.code,
)
async def test_a_failed_message_fails_each_call_with_an_error_of_its_own(
    channel: BatchingChannel, below: FakeChannel, error: NotLeader | Unavailable
) -> None:
    calls = [stat(channel, f"/{i}") for i in range(3)]
    await turns()
    below.error = error
    below.go.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(error)] * 3
    assert all(a.fields == error.fields for a in answers if isinstance(a, type(error)))
    assert len({id(answer) for answer in answers}) == 3


async def test_an_answer_too_few_is_refused(channel: BatchingChannel, below: FakeChannel) -> None:
    below.drop_an_answer = True
    calls = [stat(channel, f"/{i}") for i in range(3)]
    await turns()
    below.go.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers[1:]] == [MalformedMessage] * 2


async def test_messages_are_bounded(channel: BatchingChannel, below: FakeChannel) -> None:
    count = 2 * CALLS_MAX + 3
    calls = [stat(channel, f"/{i}") for i in range(count)]
    await turns()
    sizes = [len(request.items) for path, request, _ in below.asked if path == BATCH]
    assert sizes == [CALLS_MAX, CALLS_MAX, 2]
    below.go.set()
    await asyncio.gather(*calls)


async def test_large_requests_and_other_methods_go_alone(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    first = stat(channel, "/first")
    large = stat(channel, "/" + "x" * CALL_BYTES_MAX)
    other = asyncio.ensure_future(
        channel.ask(SUMMARY, pb.SummaryRequest(path="/").SerializeToString(), timeout_ms=1000)
    )
    await turns()
    assert sorted(path for path, _, _ in below.asked) == sorted([STAT, STAT, SUMMARY])
    below.go.set()
    await asyncio.gather(first, large, other)


async def test_a_caller_that_leaves_does_not_disturb_the_others(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    calls = [stat(channel, f"/{i}") for i in range(3)]
    await turns()
    calls[1].cancel()
    below.go.set()
    assert (await calls[2]).status.path == "/2"


async def test_a_bug_below_never_leaves_a_caller_waiting(
    channel: BatchingChannel, below: FakeChannel
) -> None:
    below.error = RuntimeError("a bug")
    calls = [stat(channel, f"/{i}") for i in range(3)]
    await turns()
    below.go.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, BaseException) for answer in answers)


async def test_each_master_has_its_own_and_they_are_bounded(below: FakeChannel) -> None:
    asked: list[Peer] = []

    def channel_for(peer: Peer) -> FakeChannel:
        asked.append(peer)
        return below

    channels = BatchingChannels(channel_for, frozenset({STAT}))
    below.go.set()
    first, second = Peer("m1", "h:1"), Peer("m2", "h:2")
    assert channels.of(first) is channels.of(first)
    await ask(channels.of(second), "/", 10)
    assert asked == [second]
    for number in range(100):
        channels.of(Peer(f"n{number}", "h:3"))
    assert len(channels._channels) <= 64
