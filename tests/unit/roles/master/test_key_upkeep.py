"""A master follows rotations of keys, seals its store anew, and destroys what nothing needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from pydfsnode.errors import SealBroken, StorageError
from pydfsnode.roles.master import key_upkeep
from pydfsnode.roles.master.key_upkeep import LOG_PAUSE_S, KeyUpkeep, Order
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.seal_scan import SealScan
from pydfsnode.storage.sealed import SealedStore, numbered_key
from tests.support.sealed_log import CLUSTER, NODE, entries_of, group

T = TypeVar("T")
TABLE = 20


class Stop(Exception):
    """The process ends here."""


class World:
    """A master's store; `rotation` is what is replicated. Pauses write a row, like a client."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rotation = 1
        self.order = Order(0, 0)
        self.now_s = 0.0
        self.drops: list[int] = []
        self.drops_at_once = True
        self.jobs = 0
        self.stop_after = -1
        self.pauses = 0
        self.on_pause: Callable[[float], None] = lambda seconds: None
        self.open()

    def open(self) -> None:
        self.keyring = Keyring.open(self.directory, self.directory / "kek", CLUSTER, NODE)
        self.store = SealedStore(LevelDb(self.directory / "store"), self.keyring, CLUSTER, NODE)
        self.log = RaftLog.open(self.store, DurableMark(self.directory / "mark"))
        self.upkeep = KeyUpkeep(
            "m1", self.keyring, self.store, self.log, self, lambda: self.rotation,
            lambda: self.now_s, self._pause, lambda: self.order,
        )  # fmt: skip

    def restart(self) -> None:
        self.log.close()
        self.open()

    def fill(self, count: int) -> None:
        first = self.log.bounds.last_index + 1
        rows = [(TABLE, numbered_key(n), b"row %d" % n) for n in range(first, first + count)]
        self.log.write(group(first, [1] * count), rows, True, first + count - 1)

    def drop_log(self, through: int) -> None:
        self.drops.append(through)
        if self.drops_at_once:
            self.log.compact(through, b"base")

    def run_on_log(self, job: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self.jobs == self.stop_after:
            raise Stop
        self.jobs += 1
        try:
            future.set_result(job())
        except StorageError as error:
            future.set_exception(error)
        return future

    async def _pause(self, seconds: float) -> None:
        self.pauses += 1
        self.on_pause(seconds)

    def epochs(self) -> set[int]:
        """Of all rows."""
        scan = SealScan(self.store, 0)
        while scan.step():
            pass
        scan.close()
        return set(scan.epochs)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.fill(300)
    yield world
    world.log.close()


async def test_the_first_key_of_chunks_is_no_rotation(world: World) -> None:
    await world.upkeep.step()
    assert (world.keyring.epochs, world.keyring.rotation) == ([1], 1)
    assert world.pauses == 0


async def test_a_rotation_seals_everything_anew_and_destroys_the_old_key(world: World) -> None:
    world.rotation = 2
    world.on_pause = lambda _: world.fill(1)
    await world.upkeep.step()
    assert (world.keyring.epochs, world.keyring.rotation) == ([2], 2)
    assert world.epochs() == {2}
    state = world.upkeep.state()
    assert (state.id, list(state.epochs), state.rotation) == ("m1", [2], 2)
    assert state.rows_resealed > 600
    assert state.rows_stale == 0
    before = world.pauses
    await world.upkeep.step()
    assert world.pauses == before  # nothing is walked while there is one key
    world.restart()
    assert entries_of(world.log)


async def test_a_rotation_in_the_middle_of_another_is_followed_at_once(world: World) -> None:
    world.rotation = 2

    def rotate(_: float) -> None:
        world.rotation = 3

    world.on_pause = rotate
    await world.upkeep.step()
    assert (world.keyring.epochs, world.epochs()) == ([3], {3})


async def test_it_goes_on_after_a_crash_at_any_job(world: World) -> None:
    """Jobs of the storage thread are the only ones that change anything."""
    world.rotation = 2
    for crash in range(20):
        world.jobs, world.stop_after = 0, crash
        try:
            await world.upkeep.step()
        except Stop:
            assert len(world.keyring.epochs) == (1 if not crash else 2)
        world.restart()
        assert len(entries_of(world.log)) == 300
        if world.keyring.epochs == [2]:
            break
    assert (world.keyring.epochs, world.epochs()) == ([2], {2})


async def test_an_old_key_stays_as_long_as_somebody_reads_what_it_sealed(world: World) -> None:
    view = world.log.open_view()
    seen: list[int] = []

    def look(seconds: float) -> None:
        if seconds == key_upkeep.READERS_PAUSE_S:
            assert world.upkeep.state().phase == "waiting for readers"
            assert world.keyring.epochs == [1, 2]
            seen.append(len(list(view.rows())))
            view.close()

    world.rotation, world.on_pause = 2, look
    await world.upkeep.step()
    assert seen == [300]
    assert world.keyring.epochs == [2]


async def test_a_row_that_nobody_sealed_anew_keeps_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key goes because a walk found none of its rows, not because all were worked through."""
    monkeypatch.setattr(world.log, "reseal", lambda keys, epoch: len(list(keys)))
    world.rotation = 2

    def end(_: float) -> None:
        if world.pauses > 20:
            raise Stop

    world.on_pause = end
    with pytest.raises(Stop):
        await world.upkeep.step()
    assert world.keyring.epochs == [1, 2]


async def test_what_fails_is_told_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(rotation: int) -> int:
        raise StorageError("the disk is full")

    monkeypatch.setattr(world.keyring, "rotate", full)
    world.rotation = 2
    problems: list[str] = []

    def look(seconds: float) -> None:
        if seconds != key_upkeep.LOOK_INTERVAL_S:
            return
        problems.append(world.upkeep.state().problem)
        monkeypatch.undo()
        if len(problems) == 2:
            raise Stop

    world.on_pause = look
    with pytest.raises(Stop):
        await world.upkeep.run()
    assert problems == ["the disk is full", ""]
    assert world.keyring.epochs == [2]


async def test_the_kek_changes_beside_it(world: World) -> None:
    before = world.keyring.kek
    await world.upkeep.rotate_kek()
    assert world.upkeep.state().kek_id == world.keyring.kek[1] != before[1]


def raw(world: World) -> dict[bytes, bytes]:
    """Every record as it lies on the disk."""
    return dict(world.store.kv.scan(b"", b"\xff"))


async def test_an_order_to_forget_gives_a_new_data_key_once_the_log_is_dropped(
    world: World,
) -> None:
    before = raw(world)
    world.order, world.drops_at_once = Order(1, 200), False
    await world.upkeep.step()
    assert (world.drops, world.keyring.epochs) == ([], [1])  # others may just be behind
    assert world.upkeep.state().phase == "waiting for the log"
    world.now_s = LOG_PAUSE_S
    for _ in range(2):
        await world.upkeep.step()
    assert (world.drops, world.keyring.epochs) == ([200, 200], [1])
    world.log.compact(199, b"base")
    await world.upkeep.step()
    assert world.keyring.epochs == [1]
    assert (world.upkeep.state().forgot, world.keyring.forgotten) == (0, 0)
    world.drops_at_once = True
    await world.upkeep.step()
    assert (world.keyring.epochs, world.keyring.forgotten) == ([2], 1)
    assert world.upkeep.state().forgot == 1
    assert world.keyring.rotation == 1
    assert world.log.bounds.first_index == 201
    for disk_key in before:  # old bytes on the disk: no key that there is opens them
        with pytest.raises(SealBroken, match="key epoch 1"):
            world.keyring.unseal(b"", before[disk_key])
    world.restart()
    await world.upkeep.step()
    assert world.keyring.epochs == [2]


async def test_a_state_that_was_replaced_is_removed_before_the_key_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([True, True, False])
    monkeypatch.setattr(world.log, "purge_some", lambda: next(left))
    world.order = Order(1, 200)
    await world.upkeep.step()
    world.now_s = LOG_PAUSE_S
    for _ in range(2):
        await world.upkeep.step()
        assert world.keyring.epochs == [1]
    await world.upkeep.step()
    assert world.keyring.epochs == [2]


async def test_until_the_old_key_is_destroyed_nothing_is_said_to_be_forgotten(
    world: World,
) -> None:
    world.order = Order(1, 200)
    await world.upkeep.step()
    world.now_s = LOG_PAUSE_S
    told: list[int] = []
    world.on_pause = lambda _: told.append(world.upkeep.state().forgot)
    await world.upkeep.step()
    assert set(told) == {0}
    assert world.upkeep.state().forgot == 1


async def test_a_newer_order_while_the_log_is_waited_for_takes_its_place(world: World) -> None:
    world.order = Order(1, 200)
    await world.upkeep.step()
    world.order = Order(2, 250)
    await world.upkeep.step()
    world.now_s = LOG_PAUSE_S
    await world.upkeep.step()
    assert (world.drops[0], world.keyring.forgotten, world.keyring.epochs) == (250, 2, [2])
