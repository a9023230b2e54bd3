"""A pool of threads that does not keep the process alive: `ThreadPoolExecutor` joins its threads at
the exit, and one that hangs in a call of a broken disk never comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Item = tuple["Future[Any]", Callable[[], Any]]


class DaemonPool:
    """Up to *threads_max* threads called *name*, begun when they are needed."""

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._work: SimpleQueue[_Item | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False
        self._ended = threading.Event()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Begin *work*, when a thread has time.

        Raises:
            RuntimeError: after `shutdown`.
        """
        done: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._name}: no work is taken after the end")
            self._work.put((done, work))
            if not self._idle.acquire(blocking=False) and self._threads < self._threads_max:
                self._threads += 1
                name = f"{self._name}-{self._threads}"
                threading.Thread(target=self._run, name=name, daemon=True).start()
        return done

    def shutdown(self, wait_s: float, *, cancel: bool = False) -> bool:
        """Take no more work, and wait up to *wait_s* for what was begun; whether all has ended.

        Args:
            cancel: what no thread has begun is not done any more.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                if cancel:
                    self._cancel_waiting()
                if not self._threads:
                    self._ended.set()
                for _ in range(self._threads):
                    self._work.put(None)
        return self._ended.wait(wait_s)

    def _cancel_waiting(self) -> None:
        while True:
            try:
                item = self._work.get_nowait()
            except Empty:
                return
            if item is not None:
                item[0].cancel()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            done, work = item
            if done.set_running_or_notify_cancel():
                _settle(done, work)
            del item, done, work  # not kept while nothing is to be done
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._ended.set()

    def _next(self) -> _Item | None:
        try:
            return self._work.get_nowait()
        except Empty:
            self._idle.release()
            return self._work.get()


def _settle(done: Future[T], work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - told to who waits for it
        done.set_exception(error)
    else:
        done.set_result(result)
