"""The synchronous file system: the asynchronous one behind a private event loop in a thread."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pydfsnode.client.event_loop import new_event_loop
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.errors import Cancelled

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.copy import CopyReport, Watcher
    from pydfsnode.client.filesystem import Reads
    from pydfsnode.client.members import Members, Transferred
    from pydfsnode.client.model import ClusterStatus, FileStatus, Freshness, Summary
    from pydfsnode.config import ClientConfig

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


class FileSystem:
    """`AsyncFileSystem` for threads: every method blocks; all are thread-safe. A context manager.

    Methods, arguments and errors are those of `AsyncFileSystem`, where they are described.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, AsyncFileSystem]]) -> None:
        """Use `connect`; *make* makes the asynchronous file system inside the loop."""
        self._thread = LoopThread()
        try:
            self._fs = self._thread.run(make())
        except BaseException:
            self._thread.close()
            raise

    @classmethod
    def connect(cls, config: ClientConfig | str | Path | None = None) -> FileSystem:
        """See AsyncFileSystem.connect."""
        return cls(lambda: AsyncFileSystem.connect(config))

    def __enter__(self) -> FileSystem:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; harmless when called twice."""
        try:
            self._thread.run(self._fs.close())
        except Cancelled:
            return
        self._thread.close()

    @property
    def stalest(self) -> Freshness | None:
        """See AsyncFileSystem."""
        return self._fs.stalest

    def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.info(path, consistency=consistency))

    def exists(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.exists(path, consistency=consistency))

    def isdir(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.isdir(path, consistency=consistency))

    def isfile(self, path: str, *, consistency: Reads = None) -> bool:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.isfile(path, consistency=consistency))

    def ls(self, path: str, *, consistency: Reads = None) -> list[FileStatus]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.ls(path, consistency=consistency))

    def scandir(self, path: str, *, consistency: Reads = None) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.scandir(path, consistency=consistency))

    def find(self, path: str, *, consistency: Reads = None) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.find(path, consistency=consistency))

    def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.du(path, consistency=consistency))

    def cluster_status(self) -> ClusterStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cluster_status())

    def cluster_members(self) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cluster_members())

    def add_master(self, node_id: str, listen: str, *, learner_only: bool = False) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.add_master(node_id, listen, learner_only=learner_only))

    def remove_master(self, node_id: str, *, force: bool = False) -> Members:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.remove_master(node_id, force=force))

    def transfer_leader(self, to: str = "") -> Transferred:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.transfer_leader(to))

    def mkdir(self, path: str, create_parents: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.mkdir(path, create_parents))

    def makedirs(self, path: str, exist_ok: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.makedirs(path, exist_ok))

    def rm(self, path: str, recursive: bool = False) -> int:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.rm(path, recursive))

    def mv(self, source: str, destination: str) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.mv(source, destination))

    def cat_file(
        self,
        path: str,
        start: int | None = None,
        end: int | None = None,
        *,
        consistency: Reads = None,
    ) -> bytes:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cat_file(path, start, end, consistency=consistency))

    def pipe_file(self, path: str, value: Buffer, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.pipe_file(path, value, overwrite=overwrite))

    def put_file(self, lpath: str | Path, rpath: str, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.put_file(lpath, rpath, overwrite=overwrite))

    def get_file(self, rpath: str, lpath: str | Path) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.get_file(rpath, lpath))

    def put(
        self,
        lpaths: str | Path | Sequence[str | Path],
        rpath: str,
        *,
        overwrite: bool = True,
        watcher: Watcher | None = None,
    ) -> CopyReport:
        """See AsyncFileSystem; the watcher is called in the loop's thread."""
        return self._thread.run(self._fs.put(lpaths, rpath, overwrite=overwrite, watcher=watcher))

    def get(
        self,
        rpaths: str | Sequence[str],
        lpath: str | Path,
        *,
        overwrite: bool = True,
        watcher: Watcher | None = None,
    ) -> CopyReport:
        """See AsyncFileSystem; the watcher is called in the loop's thread."""
        return self._thread.run(self._fs.get(rpaths, lpath, overwrite=overwrite, watcher=watcher))

    def open(self, path: str, mode: str = "rb") -> IO[Any]:
        """A file object: "rb" and "wb" (or "xb": must not exist) binary, "r", "w", "x" UTF-8 text.

        A file opened for writing has its content once it is closed; an exception inside its `with`
        block abandons it.
        """
        from pydfsnode.client.sync_files import open_file

        return open_file(self._thread, self._fs, path, mode)

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> list[T]:
            return [item async for item in _take(items, 256)]

        while batch := self._thread.run(following()):
            yield from batch


async def _take(items: AsyncIterator[T], count: int) -> AsyncIterator[T]:
    for _ in range(count):
        try:
            yield await anext(items)
        except StopAsyncIteration:
            return
