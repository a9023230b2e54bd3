"""LeaseKeeper: one task while files are open, a renewal now and then."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode import limits
from pydfsnode.client.lease import RENEW_S, LeaseKeeper
from pydfsnode.errors import Unavailable
from pydfsnode.meta.leases import SOFT_LEASE_MS
from tests.unit.client.fakes import FakeCluster


class Steps:
    """Lets the keeper's sleeps end one by one, and counts what it did."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.renewed = 0
        self.fails = False
        self._may_end = asyncio.Semaphore(0)
        self._sleeps = asyncio.Semaphore(0)
        self.keeper = LeaseKeeper(self._renew, self._sleep)

    async def _renew(self) -> None:
        self.renewed += 1
        if self.fails:
            raise Unavailable("nobody there")

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._sleeps.release()
        await self._may_end.acquire()

    async def sleeps(self) -> None:
        """Return when the keeper sleeps (again)."""
        await asyncio.wait_for(self._sleeps.acquire(), 5)

    async def step(self) -> None:
        """The sleep ends; return when it sleeps again."""
        self._may_end.release()
        await self.sleeps()


@pytest.fixture
async def steps() -> Steps:
    return Steps()


def tasks() -> int:
    return len(asyncio.all_tasks())


def test_two_renewals_may_be_lost_before_others_take_over() -> None:
    assert 3 * RENEW_S * 1000 <= SOFT_LEASE_MS


async def test_it_renews_as_long_as_any_file_is_held(steps: Steps) -> None:
    idle = tasks()
    steps.keeper.hold()
    steps.keeper.hold()
    await steps.sleeps()
    assert tasks() == idle + 1
    await steps.step()
    await steps.step()
    assert steps.renewed == 2
    assert set(steps.slept) == {RENEW_S}
    steps.keeper.release()
    await steps.step()
    assert steps.renewed == 3
    steps.keeper.release()
    await asyncio.sleep(0)
    assert tasks() == idle


async def test_a_renewal_that_fails_is_tried_again(steps: Steps) -> None:
    steps.keeper.hold()
    await steps.sleeps()
    steps.fails = True
    await steps.step()
    steps.fails = False
    await steps.step()
    assert steps.renewed == 2
    await steps.keeper.close()


async def test_it_begins_anew_after_the_last_release(steps: Steps) -> None:
    steps.keeper.hold()
    await steps.sleeps()
    steps.keeper.release()
    steps.keeper.hold()
    await steps.sleeps()
    await steps.step()
    assert steps.renewed == 1
    await steps.keeper.close()


async def test_close_ends_the_task_and_is_harmless_twice(steps: Steps) -> None:
    idle = tasks()
    steps.keeper.hold()
    await steps.keeper.close()
    await steps.keeper.close()
    assert tasks() == idle


async def test_only_writers_of_open_files_hold_the_lease() -> None:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN)
    fs, idle = cluster.connect(), tasks()
    small = await fs.open_writer("/small")
    await small.write(b"x")
    assert tasks() == idle, "it does not exist yet"
    large = await fs.open_writer("/large")
    await large.write(b"x" * (limits.INLINE_BYTES_MAX + 1))
    assert tasks() == idle + 1
    await small.close()
    assert tasks() == idle + 1
    await large.close()
    await asyncio.sleep(0)
    assert tasks() == idle
    again = await fs.append("/large")
    assert tasks() == idle + 1
    await again.abort()
    await asyncio.sleep(0)
    assert tasks() == idle


async def test_closing_the_file_system_ends_the_renewals() -> None:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN)
    fs, idle = cluster.connect(), tasks()
    await fs.open_writer("/f", at_once=True)
    assert tasks() == idle + 1
    await fs.close()
    assert tasks() == idle
