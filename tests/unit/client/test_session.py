"""OpSession: op ids that the masters can forget in order (INV-ONCE, INV-BOUND)."""

from __future__ import annotations

import asyncio

from pydfsnode import limits
from pydfsnode.client.model import OpId
from pydfsnode.client.session import OpSession, new_client_id


def test_client_ids_are_random_and_never_zero() -> None:
    drawn = {new_client_id() for _ in range(1000)}
    assert len(drawn) == 1000
    assert all(0 < client_id < 2**64 for client_id in drawn)


async def test_operations_are_numbered_from_one() -> None:
    session = OpSession(42)
    for seq in (1, 2, 3):
        async with session.operation() as op:
            assert op == OpId(42, seq, seq)


async def test_first_unacked_stays_at_the_oldest_unanswered_operation() -> None:
    session = OpSession(42)
    first, second = session.operation(), session.operation()
    await first.__aenter__()
    await second.__aenter__()
    await second.__aexit__(None, None, None)
    async with session.operation() as third:
        assert third == OpId(42, 3, 1)
    await first.__aexit__(None, None, None)
    assert session.first_unacked == 4


async def test_a_failed_operation_is_released_too() -> None:
    session = OpSession(42)
    try:
        async with session.operation():
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert session.first_unacked == 2


async def test_a_stuck_operation_holds_new_ones_back_at_the_bound() -> None:
    session = OpSession(42, inflight_max=4)
    stuck = session.operation()
    await stuck.__aenter__()
    done: list[int] = []

    async def work() -> None:
        async with session.operation() as op:
            assert op.seq - session.first_unacked < 4
            done.append(op.seq)

    tasks = [asyncio.create_task(work()) for _ in range(10)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert done == [2, 3, 4]
    await stuck.__aexit__(None, None, None)
    await asyncio.gather(*tasks)
    assert sorted(done) == list(range(2, 12))


async def test_a_cancelled_waiter_does_not_block_the_others() -> None:
    session = OpSession(42, inflight_max=1)
    first = session.operation()
    await first.__aenter__()

    async def work() -> int:
        async with session.operation() as op:
            return op.seq

    cancelled, other = asyncio.create_task(work()), asyncio.create_task(work())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    assert await other == 2


def test_the_window_fits_what_the_masters_remember() -> None:
    assert limits.CLIENT_SESSION_INFLIGHT_MAX < limits.SESSION_OUTCOMES_MAX
