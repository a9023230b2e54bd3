"""Whole transfers between a sender and a receiver in memory, with everything that breaks one."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from pydfsnode.errors import CorruptionError, SealBroken, StorageError, Unavailable
from pydfsnode.raft.effects import SnapshotWanted
from pydfsnode.runtime import snapshot_send
from pydfsnode.runtime.snapshot_frames import RowFrame
from pydfsnode.runtime.snapshot_send import FRUITLESS_ATTEMPTS_MAX, Pace

from .snapshot_fakes import FOLLOWER, Follower, Network, Sending, View, state_rows

ROWS = state_rows(60)
WANTED = SnapshotWanted(FOLLOWER, 7)
FRAMES = 8


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_send, "FRAME_ROWS_BYTES", 16 * 1024)


def complete(follower: Follower) -> bool:
    return follower.stage is not None and follower.stage.rows == ROWS and bool(follower.installed)


async def test_a_whole_snapshot_arrives_and_is_installed() -> None:
    follower, view = Follower(), View(ROWS)
    network = Network(follower)
    sending = Sending(view, network)
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert complete(follower)
    assert sending.leader.finished == [(FOLLOWER, 7, True)]
    assert network.frames == FRAMES
    assert sending.leader.alive > FRAMES
    assert view.is_closed
    assert not sending.slept_s


@pytest.mark.parametrize("broken", range(1, FRAMES + 1))
async def test_a_stream_broken_at_any_frame_goes_on_where_it_was(broken: int) -> None:
    follower, view = Follower(), View(ROWS)
    network = Network(follower)
    sending = Sending(view, network)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        if number == broken:
            raise Unavailable("the connection is gone")
        return frame

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert complete(follower)
    assert network.dials == 2
    assert len(sending.views) == 1
    # Frames in the pipe when it broke are sent again, no others.
    assert FRAMES < network.frames <= FRAMES + 4


async def test_a_stream_that_breaks_at_every_frame_still_makes_progress() -> None:
    follower = Follower()
    network = Network(follower)
    sending = Sending(View(ROWS), network)
    staged = -1

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        nonlocal staged
        held = follower.stage.row_count if follower.stage else 0
        if held > staged:  # at least one frame has arrived since the last break
            staged = held
            raise Unavailable("the connection is gone")
        return frame

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert complete(follower)
    assert network.dials > 2


@pytest.mark.parametrize("field", ["rows", "crc32c", "row_count"])
async def test_a_damaged_frame_is_refused_and_sent_again(field: str) -> None:
    follower = Follower()
    network = Network(follower)
    sending = Sending(View(ROWS), network)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        if number != 3:
            return frame
        if field == "rows":
            return dataclasses.replace(frame, rows=frame.rows[:-9] + bytes(9))
        return dataclasses.replace(frame, **{field: getattr(frame, field) ^ 1})

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert complete(follower)
    assert network.dials == 2
    assert len(network.refused) == 1


async def test_an_end_that_never_gets_better_is_given_up() -> None:
    follower, view = Follower(), View(ROWS)
    network = Network(follower)
    sending = Sending(view, network)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        raise Unavailable("no connection")

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert not await sending.ended()
    assert sending.leader.finished == [(FOLLOWER, 7, False)]
    assert network.dials == FRUITLESS_ATTEMPTS_MAX
    assert sending.slept_s == sorted(sending.slept_s)
    assert view.is_closed
    assert follower.installed == []


async def test_a_sender_that_leads_no_more_ends() -> None:
    for term in (0, 4):
        follower, view = Follower(), View(ROWS)
        network = Network(follower)
        sending = Sending(view, network)

        def tamper(
            number: int, frame: RowFrame, sending: Sending = sending, term: int = term
        ) -> RowFrame:
            if number == 3:
                sending.leader.term = term
            return frame

        network.tamper = tamper
        sending.transfers.start(WANTED)
        assert not await sending.ended()
        assert network.frames == 3
        assert view.is_closed
        assert follower.installed == []


async def test_a_sender_that_leads_no_more_does_not_dial_again() -> None:
    follower = Follower()
    network = Network(follower)
    sending = Sending(View(ROWS), network)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        sending.leader.term = 0
        raise Unavailable("the connection is gone")

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert not await sending.ended()
    assert network.dials == 1


async def test_a_receiver_that_has_it_already_ends_the_transfer_well() -> None:
    follower = Follower()
    follower.commit_index = 100
    network = Network(follower)
    sending = Sending(View(ROWS), network)
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert network.frames == 0
    assert follower.stage is None


async def test_starting_again_while_it_runs_does_nothing() -> None:
    follower = Follower()
    follower.may_install.clear()
    network = Network(follower)
    sending = Sending(View(ROWS), network)
    for _ in range(3):
        sending.transfers.start(WANTED)
        await asyncio.sleep(0)
    follower.may_install.set()
    assert await sending.ended()
    assert (network.dials, len(sending.leader.finished)) == (1, 1)


async def test_a_newer_view_of_the_peer_replaces_the_transfer() -> None:
    follower = Follower()
    network = Network(follower)
    first = View(ROWS)
    sending = Sending(first, network)
    reached = asyncio.Event()

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        if number == 3:
            sending.transfers.start(SnapshotWanted(FOLLOWER, 8))
            reached.set()
        return frame

    network.tamper = tamper
    sending.transfers.start(WANTED)
    async with asyncio.timeout(20):
        await reached.wait()
        first.is_closed = False
        while len(sending.leader.finished) < 2:
            first.is_closed = False  # one object stands for both views here
            await asyncio.sleep(0)
    assert sending.leader.finished == [(FOLLOWER, 7, False), (FOLLOWER, 8, True)]
    assert complete(follower)


@pytest.mark.parametrize("error", [CorruptionError, SealBroken])
async def test_a_view_that_cannot_be_read_stops_the_node(error: type[StorageError]) -> None:
    view = View(ROWS)
    network = Network(Follower())
    sending = Sending(view, network)

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        view.failure = error("a row is damaged")
        return frame

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert not await sending.ended()
    assert isinstance(sending.supervisor.failure, error)
    assert network.dials == 1
    assert view.is_closed


async def test_stopping_ends_all_and_closes_the_views() -> None:
    view = View(ROWS)
    follower = Follower()
    follower.may_install.clear()
    sending = Sending(view, Network(follower))
    sending.transfers.start(WANTED)
    async with asyncio.timeout(20):
        while follower.stage is None or not follower.stage.rows:
            await asyncio.sleep(0)
        follower.may_install.set()  # a receiver does not leave an install half way
        await sending.transfers.stop()
    assert view.is_closed
    assert [end[2] for end in sending.leader.finished] in ([False], [True])
    sending.transfers.start(SnapshotWanted(FOLLOWER, 9))
    assert len(sending.views) == 1
    assert sending.supervisor.failure is None


async def test_a_transfer_keeps_to_its_rate() -> None:
    follower = Follower()
    network = Network(follower)
    sending = Sending(View(ROWS), network, bytes_per_s=20_000)
    sizes: list[int] = []

    def tamper(number: int, frame: RowFrame) -> RowFrame:
        sizes.append(len(frame.rows))
        return frame

    network.tamper = tamper
    sending.transfers.start(WANTED)
    assert await sending.ended()
    assert sum(sending.slept_s) == pytest.approx(sum(sizes[:-1]) / 20_000, rel=0.05)


def test_pace_is_a_function_of_the_clock() -> None:
    pace = Pace(1_000)
    assert pace.delay_ms(500, 10_000) == 0
    assert pace.delay_ms(500, 10_000) == 500
    assert pace.delay_ms(100, 10_900) == 100
    assert pace.delay_ms(100, 60_000) == 0  # time that passed unused is not saved up
    assert pace.delay_ms(100, 60_000) == 100
