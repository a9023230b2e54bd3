"""One thread, jobs in order, none after a failure."""

from __future__ import annotations

import asyncio
import threading

from pydfsnode.runtime.serial_thread import SerialThread


async def test_jobs_run_in_order_on_one_other_thread_and_end_on_the_loops() -> None:
    thread = SerialThread("t")
    ran: list[tuple[int, int]] = []
    ended: list[tuple[int, BaseException | None, int]] = []
    for i in range(100):
        thread.submit(
            lambda i=i: ran.append((i, threading.get_ident())),
            lambda failure, i=i: ended.append((i, failure, threading.get_ident())),
        )
    await thread.stop()
    assert [i for i, _ in ran] == list(range(100))
    assert len({ident for _, ident in ran}) == 1
    assert ran[0][1] != threading.get_ident()
    assert ended == [(i, None, threading.get_ident()) for i in range(100)]


async def test_after_a_failure_no_job_runs_and_each_hears_of_it() -> None:
    """Trap C11: a group written after one that failed would leave a hole."""
    thread = SerialThread("t")
    ran: list[int] = []
    failures: list[BaseException | None] = []

    def broken() -> None:
        raise OSError(5, "Input/output error")

    thread.submit(lambda: ran.append(1), failures.append)
    thread.submit(broken, failures.append)
    thread.submit(lambda: ran.append(3), failures.append)
    await thread.stop()
    assert ran == [1]
    assert failures[0] is None
    assert isinstance(failures[1], OSError)
    assert failures[2] is failures[1]


async def test_a_blocked_job_does_not_block_the_loop() -> None:
    thread = SerialThread("t")
    gate = threading.Event()
    ended = asyncio.Event()
    thread.submit(lambda: gate.wait() and None, lambda failure: ended.set())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not ended.is_set()
    gate.set()
    await ended.wait()
    await thread.stop()
    await thread.stop()
