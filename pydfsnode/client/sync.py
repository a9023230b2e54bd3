"""The synchronous file system: the asynchronous one behind a private event loop in a thread."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path as LocalPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.loop_thread import LoopThread
from pydfsnode.client.sync_attributes import SyncAttributes
from pydfsnode.client.sync_browsing import SyncBrowsing
from pydfsnode.client.sync_cluster import SyncCluster
from pydfsnode.client.sync_content import SyncContent
from pydfsnode.client.sync_path import Path
from pydfsnode.client.sync_trees import SyncTrees
from pydfsnode.client.sync_writing import SyncWriting
from pydfsnode.errors import Cancelled

if TYPE_CHECKING:
    from pydfsnode.client.copy import CopyReport, Watcher
    from pydfsnode.client.model import FileStatus, Freshness
    from pydfsnode.client.read_hedge import ReadCounts
    from pydfsnode.config import ClientConfig
    from pydfsnode.rpc.peer_health import PeerHealth


class FileSystem(SyncContent, SyncBrowsing, SyncWriting, SyncAttributes, SyncTrees, SyncCluster):
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
    def connect(cls, config: ClientConfig | str | LocalPath | None = None) -> FileSystem:
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
    def health(self) -> PeerHealth:
        """See AsyncFileSystem."""
        return self._fs.health

    @property
    def read_counts(self) -> ReadCounts:
        """See AsyncFileSystem."""
        return self._fs.read_counts

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

    def rm_file(self, path: str) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.rm_file(path))

    def rmdir(self, path: str) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.rmdir(path))

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

    def put_file(self, lpath: str | LocalPath, rpath: str, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.put_file(lpath, rpath, overwrite=overwrite))

    def get_file(self, rpath: str, lpath: str | LocalPath, *, verify: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.get_file(rpath, lpath, verify=verify))

    def put(
        self,
        lpaths: str | LocalPath | Sequence[str | LocalPath],
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
        lpath: str | LocalPath,
        *,
        overwrite: bool = True,
        verify: bool = False,
        watcher: Watcher | None = None,
    ) -> CopyReport:
        """See AsyncFileSystem; the watcher is called in the loop's thread."""
        return self._thread.run(
            self._fs.get(rpaths, lpath, overwrite=overwrite, verify=verify, watcher=watcher)
        )

    def cp_file(self, path1: str, path2: str, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cp_file(path1, path2, overwrite=overwrite))

    def copy(
        self,
        path1: str | Sequence[str],
        path2: str,
        *,
        overwrite: bool = True,
        watcher: Watcher | None = None,
    ) -> CopyReport:
        """See AsyncFileSystem; the watcher is called in the loop's thread."""
        return self._thread.run(self._fs.copy(path1, path2, overwrite=overwrite, watcher=watcher))

    def path(self, path: str = "/") -> Path:
        """*path* as an object like those of pathlib."""
        return Path(self, path)
