"""The pieces of a backup: all rows, slowly, and no thread on the view when it ends."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

from pydfsnode.errors import SealBroken
from pydfsnode.runtime.backup_stream import BackupStream
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.snapshot_frames import RowFrame, RowsSoFar, StateRow, frame_slices
from pydfsnode.runtime.snapshot_send import RESTS
from tests.unit.runtime.snapshot_fakes import View, state_rows

RATE = 1 << 30


class Encoder:
    """Keeps the frames; `hold` stops the thread that seals."""

    def __init__(self) -> None:
        self.frames: list[RowFrame] = []
        self.sealing = threading.Event()
        self.hold = threading.Event()
        self.hold.set()

    def begin(self) -> bytes:
        return b"begin"

    def frame(self, rows: bytes, crc: int, row_count: int, *, last: bool) -> bytes:
        self.sealing.set()
        self.hold.wait(10)
        self.frames.append(RowFrame(rows, crc, row_count, last))
        return rows

    def end(self) -> bytes:
        return b"end"

    def rows(self) -> list[StateRow]:
        so_far, found = RowsSoFar(), list[StateRow]()
        for frame in self.frames:
            for part in frame_slices(frame, so_far):
                so_far = part[1]
                found += part[0]
        return found


class Rests:
    """Every `sleep`, which takes no time; each look at the stopwatch is a second later."""

    def __init__(self) -> None:
        self.slept_s: list[float] = []
        self._now_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    def stopwatch_s(self) -> float:
        self._now_s += 1
        return self._now_s


async def test_it_has_all_rows_between_begin_and_end() -> None:
    rows, encoder, rests = state_rows(400), Encoder(), Rests()
    stream = BackupStream(View(rows), encoder, ManualClock(), RATE, sleep=rests.sleep)
    pieces = [piece async for piece in stream.pieces()]
    assert (pieces[0], pieces[-1]) == (b"begin", b"end")
    assert encoder.rows() == rows
    assert [frame.last for frame in encoder.frames] == [False] * (len(encoder.frames) - 1) + [True]
    assert stream.row_count == len(rows)
    assert len(encoder.frames) > 2


async def test_a_state_without_rows_is_a_backup_too() -> None:
    encoder = Encoder()
    stream = BackupStream(View([]), encoder, ManualClock(), RATE)
    assert [piece async for piece in stream.pieces()][-1] == b"end"
    assert encoder.rows() == []


async def test_it_rests_for_a_multiple_of_each_slice_of_work() -> None:
    encoder, rests = Encoder(), Rests()
    stream = BackupStream(
        View(state_rows(200)), encoder, ManualClock(), RATE,
        sleep=rests.sleep, stopwatch_s=rests.stopwatch_s,
    )  # fmt: skip
    async for _ in stream.pieces():
        pass
    assert len(rests.slept_s) > 2 * len(encoder.frames), "frames are not cut in slices"
    assert set(rests.slept_s) == {RESTS * 1.0}


async def test_it_goes_no_faster_than_the_rate() -> None:
    encoder, rests = Encoder(), Rests()
    stream = BackupStream(
        View(state_rows(400)), encoder, ManualClock(), 10_000,
        sleep=rests.sleep, stopwatch_s=lambda: 0.0,
    )  # fmt: skip
    async for _ in stream.pieces():
        pass
    sent = sum(len(frame.rows) for frame in encoder.frames[:-1])
    assert rests.slept_s[-1] == pytest.approx(sent / 10_000, rel=0.01)


async def test_a_state_that_cannot_be_read_is_an_error() -> None:
    view = View(state_rows(10))
    view.failure = SealBroken("a row")
    with pytest.raises(SealBroken):
        async for _ in BackupStream(view, Encoder(), ManualClock(), RATE).pieces():
            pass


async def test_who_gives_it_up_waits_for_the_thread() -> None:
    view, encoder = View(state_rows(10)), Encoder()
    encoder.hold.clear()

    async def take() -> None:
        async with aclosing(BackupStream(view, encoder, ManualClock(), RATE).pieces()) as pieces:
            async for _ in pieces:
                pass

    task = asyncio.ensure_future(take())
    await asyncio.to_thread(encoder.sealing.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done, "it did not wait"
    encoder.hold.set()
    await asyncio.wait({task})
    assert task.cancelled()
