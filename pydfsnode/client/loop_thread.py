"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydfsnode.client.builtin_errors import as_builtin
from pydfsnode.client.event_loop import new_event_loop
from pydfsnode.errors import Cancelled

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

T = TypeVar("T")

INTERRUPTED_SECONDS_MAX = 10.0
"""How long an interrupted call cleans up at most; a second interrupt ends that too."""


class LoopThread:
    """An event loop running in its own daemon thread; `run` may be called from any other thread.

    A fork of the process has no such thread: calls there are refused, at once.
    """

    def __init__(self) -> None:
        self.loop = new_event_loop()
        self._process_id = os.getpid()
        self._submitting = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="pydfsnode-client", daemon=True
        )
        self._thread.start()
        # Before the interpreter freezes daemon threads: a file object collected later would wait
        # for this one for ever.
        atexit.register(self.close)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of *work*.

        An interrupt of the caller (Ctrl-C) cancels *work* and is raised once that has ended, so
        that what it was about to leave behind is gone. Errors of the namespace are raised as
        Python's own kinds too, see builtin_errors.py.

        Raises:
            Cancelled: the loop is closed, or was closed meanwhile, or is another process's.
        """
        call = _Call(work)
        refusal = self._refusal()
        if not refusal:
            with self._submitting:
                if not self._closed:
                    self.loop.call_soon_threadsafe(call.start)
                else:
                    refusal = _CLOSED
        if refusal:
            work.close()
            raise Cancelled(refusal)
        try:
            call.finished.acquire()
        except BaseException:
            self.loop.call_soon_threadsafe(call.cancel)
            call.finished.acquire(timeout=INTERRUPTED_SECONDS_MAX)
            raise
        return call.result()

    def _refusal(self) -> str:
        if self._process_id != os.getpid():
            return "the file system was connected before this process was forked: connect here"
        if threading.get_ident() == self._thread.ident:
            return "a blocking call inside the file system's own thread would never end"
        return ""

    def close(self) -> None:
        """Cancel what runs and end the thread; harmless when called twice, and in a fork."""
        if self._process_id != os.getpid():
            return
        with self._submitting:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


_CLOSED = "the file system is closed: connect again"


class _Call(Generic[T]):
    """One coroutine on its way through the loop. Lighter than a future of concurrent.futures."""

    __slots__ = ("_error", "_result", "_task", "_work", "finished")

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self.finished = threading.Lock()
        self.finished.acquire()

    def start(self) -> None:
        """Inside the loop: begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def cancel(self) -> None:
        """Inside the loop: end it; nothing when it has ended."""
        if self._task is not None:
            # Behind its first step: cancelled before, it would run nothing of ours and never end.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    async def _run(self) -> None:
        try:
            self._result.append(await self._work)
        except BaseException as error:  # noqa: BLE001 - raised again, by the caller's thread
            self._error = error
        self.finished.release()

    def result(self) -> T:
        """What came out; raises what went wrong."""
        if self._result:
            return self._result[0]
        error, self._error = self._error, None
        try:
            if error is None or isinstance(error, asyncio.CancelledError):
                raise Cancelled("the file system was closed while it worked") from None
            raise as_builtin(error)
        finally:
            del error


async def _cancel_others() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class SyncBase:
    """What all parts of the synchronous file system have."""

    def __init__(self, thread: LoopThread, fs: AsyncFileSystem) -> None:
        self._thread = thread
        self._fs = fs
