"""One thread for the log's blocking writes, cheaper per job than an executor's futures."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

_Done = Callable[[BaseException | None], None]


class SerialThread:
    """`ports.SerialExecutor`; make it inside the running loop."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], None], _Done] | None] = queue.SimpleQueue()
        # A daemon: a process that must end at once does not wait for a stuck disk.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], None], done: _Done) -> None:
        """See `ports.SerialExecutor.submit`."""
        self._jobs.put((work, done))

    async def stop(self) -> None:
        """See `ports.SerialExecutor.stop`; the thread has ended then."""
        if not self._thread.is_alive():
            return
        drained: asyncio.Future[None] = self._loop.create_future()

        def note(_: BaseException | None) -> None:
            if not drained.done():
                drained.set_result(None)

        self.submit(lambda: None, note)
        await drained
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        failure: BaseException | None = None
        while (job := self._jobs.get()) is not None:
            work, done = job
            # A group written after one that failed would leave a hole in the log: none is.
            if failure is None:
                try:
                    work()
                except Exception as error:  # noqa: BLE001 - carried to the loop, whose it is
                    failure = error
            self._loop.call_soon_threadsafe(done, failure)
