"""The part of the synchronous file system that changes the content of files; see also `open`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydfsnode.client.loop_thread import SyncBase

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.model import FileStatus


class SyncWriting(SyncBase):
    """Part of `FileSystem`."""

    def pipe_file(self, path: str, value: Buffer, *, overwrite: bool = True) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.pipe_file(path, value, overwrite=overwrite))

    def truncate(self, path: str, size: int) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.truncate(path, size))

    def concat(self, target: str, sources: Sequence[str]) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.concat(target, sources))

    def recover_lease(self, path: str) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.recover_lease(path))
