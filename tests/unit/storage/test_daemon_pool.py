"""Work is done in threads, and one that hangs keeps nobody from ending."""

import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from pydfsnode.storage.daemon_pool import DaemonPool

HANGS = """
import threading
from pydfsnode.storage.daemon_pool import DaemonPool
pool, entered = DaemonPool(2, "hung"), threading.Event()
pool.submit(lambda: (entered.set(), threading.Event().wait()))
entered.wait()
print(pool.submit(lambda: 7).result(), pool.shutdown(0.01))
"""


def test_results_and_errors_are_told_by_as_many_threads_as_there_may_be() -> None:
    pool, together = DaemonPool(3, "some"), threading.Barrier(3)
    done = [pool.submit(lambda: together.wait(10)) for _ in range(6)]
    assert sorted(one.result() for one in done) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result()
    assert pool._threads == 3
    assert pool.shutdown(10)
    assert pool.shutdown(0), "twice does no harm"
    with pytest.raises(RuntimeError):
        pool.submit(lambda: 1)


def test_threads_that_are_idle_are_used_again() -> None:
    pool = DaemonPool(8, "some")
    for number in range(100):
        assert pool.submit(lambda n=number: n).result() == number  # type: ignore[misc]
    assert pool._threads < 8
    assert pool.shutdown(10)


def test_what_waits_is_done_before_the_end_unless_it_is_cancelled() -> None:
    for cancel in (False, True):
        pool, go, entered = DaemonPool(1, "one"), threading.Event(), threading.Event()
        first = pool.submit(lambda e=entered, g=go: (e.set(), g.wait(10)))  # type: ignore[misc]
        waiting = pool.submit(lambda: 7)
        entered.wait(10)
        assert not pool.shutdown(0, cancel=cancel)
        go.set()
        assert pool.shutdown(10)
        assert first.done()
        if cancel:
            with pytest.raises(CancelledError):
                waiting.result()
        else:
            assert waiting.result() == 7


def test_who_cancels_what_no_thread_began_is_obeyed() -> None:
    pool, go = DaemonPool(1, "one"), threading.Event()
    first, second = pool.submit(lambda: go.wait(10)), pool.submit(lambda: 7)
    assert second.cancel()
    go.set()
    assert first.result()
    assert pool.shutdown(10)


def test_a_process_ends_although_a_thread_hangs() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "7 False\n"
