"""The synchronous file system: the asynchronous one behind a private event loop in a thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.loop_thread import LoopThread
from pydfsnode.client.sync_attributes import SyncAttributes
from pydfsnode.client.sync_cluster import SyncCluster
from pydfsnode.client.sync_trees import SyncTrees
from pydfsnode.client.sync_writing import SyncWriting
from pydfsnode.errors import Cancelled

if TYPE_CHECKING:
    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.copy import CopyReport, Watcher
    from pydfsnode.client.model import FileLocations, FileStatus, Freshness, Summary
    from pydfsnode.client.read_hedge import ReadCounts
    from pydfsnode.config import ClientConfig

T = TypeVar("T")


class FileSystem(SyncWriting, SyncAttributes, SyncTrees, SyncCluster):
    """`AsyncFileSystem` for threads: every method blocks; all are thread-safe. A context manager.

    Methods, arguments and errors are those of `AsyncFileSystem`, where they are described.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, AsyncFileSystem]]) -> None:
        """Use `connect`; *make* makes the asynchronous file system inside the loop."""
        thread = LoopThread()
        try:
            super().__init__(thread, thread.run(make()))
        except BaseException:
            thread.close()
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

    @property
    def read_counts(self) -> ReadCounts:
        """See AsyncFileSystem."""
        return self._fs.read_counts

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

    def ls_page(
        self, path: str, start_after: str = "", limit: int = 0, *, consistency: Reads = None
    ) -> list[FileStatus]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.ls_page(path, start_after, limit, consistency=consistency))

    def scandir(self, path: str, *, consistency: Reads = None) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.scandir(path, consistency=consistency))

    def find(
        self,
        path: str,
        pattern: str = "*",
        type: str | None = None,
        *,
        consistency: Reads = None,
    ) -> Iterator[FileStatus]:
        """See AsyncFileSystem."""
        return self._each(self._fs.find(path, pattern, type, consistency=consistency))

    def summary(self, path: str, *, consistency: Reads = None) -> Summary:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.summary(path, consistency=consistency))

    def du(self, path: str, *, consistency: Reads = None) -> Summary:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.du(path, consistency=consistency))

    def mkdir(
        self, path: str, create_parents: bool = True, *, mode: int | None = None
    ) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.mkdir(path, create_parents, mode=mode))

    def makedirs(self, path: str, exist_ok: bool = False, *, mode: int | None = None) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.makedirs(path, exist_ok, mode=mode))

    def rm(self, path: str, recursive: bool = False) -> int:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.rm(path, recursive))

    def mv(self, source: str, destination: str, *, overwrite: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.mv(source, destination, overwrite=overwrite))

    def rename(self, source: str, destination: str, *, overwrite: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.rename(source, destination, overwrite=overwrite))

    def delete(self, path: str, recursive: bool = False) -> int:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.delete(path, recursive))

    def symlink(self, target: str, path: str) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.symlink(target, path))

    def locations(self, path: str, *, consistency: Reads = None) -> FileLocations:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.locations(path, consistency=consistency))

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

    def put_file(self, lpath: str | Path, rpath: str, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.put_file(lpath, rpath, overwrite=overwrite))

    def get_file(self, rpath: str, lpath: str | Path, *, verify: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.get_file(rpath, lpath, verify=verify))

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
        verify: bool = False,
        watcher: Watcher | None = None,
    ) -> CopyReport:
        """See AsyncFileSystem; the watcher is called in the loop's thread."""
        return self._thread.run(
            self._fs.get(rpaths, lpath, overwrite=overwrite, verify=verify, watcher=watcher)
        )

    def open(self, path: str, mode: str = "rb") -> IO[Any]:
        """A file object: "rb", "wb", "xb" (must not exist) and "ab" binary, without b UTF-8 text.

        A file opened for writing has its content once it is closed; an exception inside its `with`
        block abandons it, or with "ab" what was not recorded yet. What the masters have against a
        new small file is raised when it is closed; with "xb" here.
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
