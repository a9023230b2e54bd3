"""The receiver's rules: who may send, one at a time, the newer wins, nothing half done counts."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.errors import MalformedMessage, Overloaded, PermissionDenied, Unavailable
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.runtime import snapshot_receive
from pydfsnode.runtime.snapshot_frames import FrameCutter, RowFrame, SnapshotReply, StateRow

from .snapshot_fakes import LEADER, Follower, Pipe, state_rows

ROWS = state_rows(20)


def header(index: int = 100, term: int = 3) -> SnapshotHeader:
    return SnapshotHeader(term, LEADER, 7, index, 2, b"conf")


def frames(rows: list[StateRow], held: int = 0) -> list[RowFrame]:
    cutter = FrameCutter(iter(rows[held:]), held, 8_000)
    cut: list[RowFrame] = []
    while not cut or not cut[-1].last:
        frame = cutter.work()
        if frame is not None:
            cut.append(frame)
    return cut


async def reply_of(pipe: Pipe) -> SnapshotReply:
    async with asyncio.timeout(10):
        reply = await pipe.replies.get()
    assert isinstance(reply, SnapshotReply)
    return reply


class Call:
    """One stream being served."""

    def __init__(self, follower: Follower, of: SnapshotHeader, caller: str = "m1") -> None:
        self.pipe = Pipe()
        self.task = asyncio.ensure_future(follower.receiver.receive(of, caller, self.pipe))

    async def feed(self, some: list[RowFrame]) -> None:
        async with asyncio.timeout(10):
            for frame in some:
                await self.pipe.frames.put(frame)

    async def result(self) -> None:
        async with asyncio.timeout(10):
            await self.task


async def staged(follower: Follower, count: int) -> None:
    async with asyncio.timeout(10):
        while follower.stage is None or follower.stage.row_count < count:
            await asyncio.sleep(0)


async def test_a_header_in_anothers_name_is_refused() -> None:
    follower = Follower()
    with pytest.raises(PermissionDenied):
        await Call(follower, header(), caller="m3").result()
    assert follower.stage is None


@pytest.mark.parametrize("stale", [header(index=10), header(index=9), header(term=2)])
async def test_a_stale_snapshot_is_not_wanted(stale: SnapshotHeader) -> None:
    follower = Follower()
    call = Call(follower, stale)
    await call.result()
    assert not (await reply_of(call.pipe)).wanted
    assert follower.stage is None


async def test_the_same_snapshot_twice_at_once_is_refused() -> None:
    follower = Follower()
    first = Call(follower, header())
    assert (await reply_of(first.pipe)).wanted
    with pytest.raises(Overloaded):
        await Call(follower, header()).result()
    await first.feed(frames(ROWS))
    await first.result()
    assert (await reply_of(first.pipe)).installed


@pytest.mark.parametrize("newer", [header(index=101), header(index=50, term=4)])
async def test_a_newer_snapshot_takes_the_place_of_an_older_one(newer: SnapshotHeader) -> None:
    follower = Follower()
    older = Call(follower, header())
    await reply_of(older.pipe)
    await older.feed(frames(ROWS)[:2])
    await staged(follower, 1)
    call = Call(follower, newer)
    assert await reply_of(call.pipe) == SnapshotReply(wanted=True)
    with pytest.raises(Unavailable, match="newer"):
        await older.result()
    await call.feed(frames(ROWS))
    await call.result()
    assert follower.installed == [newer]
    assert follower.stage is not None
    assert follower.stage.rows == ROWS


async def test_an_older_snapshot_does_not_disturb_the_one_under_way() -> None:
    follower = Follower()
    call = Call(follower, header())
    await reply_of(call.pipe)
    older = Call(follower, header(index=50))
    await older.result()
    assert not (await reply_of(older.pipe)).wanted
    await call.feed(frames(ROWS))
    await call.result()
    assert follower.installed == [header()]


async def test_each_of_many_newer_ones_waits_for_the_ones_before() -> None:
    follower = Follower()
    follower.may_install.clear()
    first = Call(follower, header())
    await first.feed(frames(ROWS))
    async with asyncio.timeout(10):
        while not follower.is_installing:
            await asyncio.sleep(0)
    later = [Call(follower, header(index=index)) for index in (101, 102, 103)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert follower.stage is not None
    assert follower.stage.of == (100, 2)  # an install under way is not disturbed
    follower.may_install.set()
    assert (await reply_of(later[-1].pipe)).wanted
    for call in (first, *later[:-1]):
        with pytest.raises(Unavailable):
            await call.result()
    assert follower.installed == [header()]
    await later[-1].feed(frames(ROWS))
    await later[-1].result()
    assert follower.installed[-1].index == 103


async def test_what_was_staged_before_an_interruption_is_not_asked_for_again() -> None:
    follower = Follower()
    call = Call(follower, header())
    await reply_of(call.pipe)
    await call.feed(frames(ROWS)[:2])
    held = frames(ROWS)[1].row_count
    await staged(follower, held)
    call.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.result()
    again = Call(follower, header())
    assert await reply_of(again.pipe) == SnapshotReply(True, ROWS[held - 1][:2], held)
    await again.feed(frames(ROWS, held))
    await again.result()
    assert follower.stage is not None
    assert follower.stage.rows == ROWS


async def test_a_stream_that_ends_early_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower()
    call = Call(follower, header())
    await call.feed(frames(ROWS)[:-1])

    async def no_more() -> None:
        return None

    monkeypatch.setattr(call.pipe, "receive", no_more)
    with pytest.raises(MalformedMessage, match="ended"):
        await call.result()
    assert follower.installed == []


async def test_a_silent_sender_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_receive, "FRAME_S", 0.0)
    follower = Follower()
    call = Call(follower, header())
    with pytest.raises(Unavailable, match="no frame"):
        await call.result()
    monkeypatch.undo()
    again = Call(follower, header())
    assert (await reply_of(again.pipe)).wanted
    again.task.cancel()


async def test_an_install_that_came_too_late_is_told() -> None:
    follower = Follower()

    async def superseded(_: SnapshotHeader) -> bool:
        return False

    follower.install_snapshot = superseded  # type: ignore[method-assign]
    call = Call(follower, header())
    await call.feed(frames(ROWS))
    await reply_of(call.pipe)
    await call.result()
    assert not (await reply_of(call.pipe)).installed
