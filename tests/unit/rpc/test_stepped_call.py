"""SteppedCall: a coroutine run without a task behaves as in one where handlers can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from pydfsnode.rpc.server_call import SteppedCall


def stepped(work: Coroutine[Any, Any, None]) -> SteppedCall:
    connection = SimpleNamespace(loop=asyncio.get_running_loop())
    call: Any = SimpleNamespace(connection=connection)
    return SteppedCall(call, work)


async def turns(condition: Callable[[], bool]) -> None:
    for _ in range(20):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to pass")


async def test_it_runs_at_once_up_to_the_first_wait_and_goes_on_with_the_result() -> None:
    waited: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def work() -> None:
        seen.append("began")
        seen.append(await waited)
        await asyncio.sleep(0)
        seen.append("ended")

    stepped(work()).start()
    assert seen == ["began"]
    waited.set_result("told")
    await turns(lambda: seen == ["began", "told", "ended"])


async def test_an_exception_of_the_future_is_raised_where_it_waits() -> None:
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    seen: list[BaseException] = []

    async def work() -> None:
        try:
            await waited
        except ZeroDivisionError as error:
            seen.append(error)

    stepped(work()).start()
    waited.set_exception(ZeroDivisionError())
    await turns(lambda: len(seen) == 1)


async def test_cancelling_cancels_the_future_it_waits_for() -> None:
    waited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled: list[bool] = []

    async def work() -> None:
        try:
            await waited
        except asyncio.CancelledError:
            cancelled.append(True)

    call = stepped(work())
    call.start()
    call.cancel()
    assert waited.cancelled()
    await turns(lambda: cancelled == [True])


@pytest.mark.parametrize("value", ["result", "late"])
async def test_a_cancel_after_the_future_was_done_or_from_within_is_raised_all_the_same(
    value: str,
) -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[str] = loop.create_future()
    cancelled: list[bool] = []

    async def work() -> None:
        try:
            if value == "late":
                call.cancel()  # from within: raised at the next wait
            await first
        except asyncio.CancelledError:
            cancelled.append(True)

    call = stepped(work())
    call.start()
    if value == "result":
        first.set_result(value)
        call.cancel()
    await turns(lambda: cancelled == [True])
