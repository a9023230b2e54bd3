"""A task that fails stops the node with the right exit code and a sentence for the operator."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.errors import (
    CorruptionError,
    DurabilityFailure,
    InvariantViolation,
    PortInUse,
    PydfsError,
)
from pydfsnode.obs import request_scope
from pydfsnode.runtime.supervisor import Supervisor, exit_code, operator_message


async def test_a_failing_task_stops_the_node() -> None:
    supervisor = Supervisor()

    async def broken() -> None:
        await asyncio.sleep(0)
        raise InvariantViolation("two leaders in one term")

    async def steady() -> None:
        await asyncio.Event().wait()

    other = supervisor.spawn("steady", steady())
    supervisor.spawn("broken", broken())
    assert await supervisor.run_until_stopped() == 70
    assert supervisor.failed.result() is supervisor.failure
    assert not other.done()
    await supervisor.stop()
    assert other.cancelled()


async def test_only_the_first_failure_counts() -> None:
    supervisor = Supervisor()
    supervisor.fail(DurabilityFailure("first"), "log")
    supervisor.fail(ValueError("second"), "somewhere")
    assert str(supervisor.failure) == "first"


async def test_a_task_that_ends_or_is_cancelled_is_no_failure() -> None:
    supervisor = Supervisor()

    async def short() -> int:
        return 1

    assert await supervisor.spawn("short", short()) == 1
    cancelled = supervisor.spawn("cancelled", asyncio.Event().wait())
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert not supervisor.stopping.is_set()
    supervisor.request_stop("SIGTERM")
    assert await supervisor.run_until_stopped() == 0
    assert supervisor.failure is None


async def test_tasks_are_stopped_the_youngest_first_even_when_they_spawn_more() -> None:
    supervisor = Supervisor()
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)
            if name == "b":
                supervisor.spawn("late", work("late"))

    for name in ("a", "b", "c"):
        supervisor.spawn(name, work(name))
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended[:2] == ["c", "b"]
    assert ended[-1] == "a"


async def test_a_failure_while_stopping_is_still_recorded() -> None:
    supervisor = Supervisor()

    async def breaks_on_cancel() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise DurabilityFailure("the last write failed")

    supervisor.spawn("log", breaks_on_cancel())
    await asyncio.sleep(0)
    await supervisor.stop()
    await asyncio.sleep(0)
    assert exit_code(supervisor.failure) == 70


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (None, 0),
        (PydfsError("x"), 1),
        (CorruptionError("x"), 1),
        (PortInUse("x"), 2),
        (InvariantViolation("x"), 70),
        (DurabilityFailure("x"), 70),
        (KeyError("x"), 70),
    ],
)
def test_exit_codes(failure: BaseException | None, code: int) -> None:
    assert exit_code(failure) == code


def test_the_operator_reads_the_message_or_where_to_look() -> None:
    assert operator_message(DurabilityFailure("disk full; free space")) == "disk full; free space"
    assert "traceback" in operator_message(KeyError("x"))


async def test_a_task_is_in_the_scope_of_no_request() -> None:
    supervisor = Supervisor()
    seen: list[object] = []

    async def look() -> None:
        seen.append(request_scope.current.get())

    with request_scope.request():
        await supervisor.spawn("look", look())
    assert seen == [None]
