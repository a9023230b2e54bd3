"""An event loop in a thread of its own, for callers that block."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from pydfsnode.client.event_loop import new_event_loop
from pydfsnode.errors import Cancelled

if TYPE_CHECKING:
    from pydfsnode.client.filesystem import AsyncFileSystem

T = TypeVar("T")


class LoopThread:
    """An event loop running in its own daemon thread; `run` may be called from any other thread."""

    def __init__(self) -> None:
        self._loop = new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pydfsnode-client", daemon=True
        )
        self._thread.start()
        # Before the interpreter freezes daemon threads: a file object collected later would wait
        # for this one for ever.
        atexit.register(self.close)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of *work*; an interrupt of the caller (Ctrl-C) cancels it.

        Raises:
            Cancelled: the loop is closed, or was closed meanwhile.
        """
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            raise Cancelled(
                "the file system is closed: connect again"
                if self._loop.is_closed()
                else "a blocking call inside the file system's own thread would never end"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except CancelledError:
            raise Cancelled("the file system was closed while it worked") from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what runs and end the thread; harmless when called twice."""
        if self._loop.is_closed():
            return
        atexit.unregister(self.close)
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


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
