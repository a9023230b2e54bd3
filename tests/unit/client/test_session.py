"""OpSession: op ids that the masters can forget in order (INV-ONCE, INV-BOUND)."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from pydfsnode import limits
from pydfsnode.client.session import OpSession, new_client_id


def test_client_ids_are_random_and_never_zero() -> None:
    drawn = {new_client_id() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(0 < client_id < 2**64 for client_id in drawn)


def test_operations_are_numbered_from_one() -> None:
    session = OpSession(42)
    for seq in (1, 2, 3):
        assert session.begin() == seq
        assert session.first_unacked == seq
        session.end(seq)


def test_first_unacked_stays_at_the_oldest_unanswered_operation() -> None:
    session = OpSession(42)
    for seq in (1, 2, 3, 4):
        assert session.begin() == seq
    seen = []
    for seq in (2, 4, 1, 3):
        session.end(seq)
        seen.append(session.first_unacked)
    assert seen == [1, 1, 3, 5]


def random_walk(session: OpSession, chance: Random) -> None:
    """Begins and ends in any order, beside the plainest bookkeeping there is."""
    unanswered: list[int] = []
    begun = 0
    for _ in range(2000):
        if unanswered and (session.is_full or chance.random() < 0.5):
            session.end(unanswered.pop(chance.randrange(len(unanswered))))
        else:
            begun += 1
            assert session.begin() == begun
            unanswered.append(begun)
        assert session.first_unacked == min(unanswered, default=begun + 1)
        assert session.is_full is (begun + 1 - session.first_unacked >= 16)


@pytest.mark.parametrize("seed", range(5))
def test_the_window_is_exact_in_whatever_order_answers_come(seed: int) -> None:
    random_walk(OpSession(42, inflight_max=16), Random(seed))


async def test_a_stuck_operation_holds_new_ones_back_at_the_bound() -> None:
    session = OpSession(42, inflight_max=4)
    stuck = session.begin()
    done: list[int] = []

    async def work() -> None:
        await session.wait_for_room()
        seq = session.begin()
        assert seq - session.first_unacked < 4
        done.append(seq)
        session.end(seq)

    tasks = [asyncio.create_task(work()) for _ in range(10)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert done == [2, 3, 4]
    session.end(stuck)
    await asyncio.gather(*tasks)
    assert sorted(done) == list(range(2, 12))


async def test_a_cancelled_waiter_does_not_block_the_others() -> None:
    session = OpSession(42, inflight_max=1)
    first = session.begin()

    async def work() -> int:
        await session.wait_for_room()
        return session.begin()

    cancelled, other = asyncio.create_task(work()), asyncio.create_task(work())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    session.end(first)
    assert await other == 2


def test_the_window_fits_what_the_masters_remember() -> None:
    assert limits.CLIENT_SESSION_INFLIGHT_MAX < limits.SESSION_OUTCOMES_MAX
