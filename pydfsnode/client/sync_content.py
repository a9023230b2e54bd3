"""The part of the synchronous file system that opens files, and has their content as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from pydfsnode.client.filesystem_content import ENDS_BYTES
from pydfsnode.client.loop_thread import SyncBase
from pydfsnode.client.sync_files import open_file

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.consistency import Reads
    from pydfsnode.client.model import FileLocations, FileStatus


class SyncContent(SyncBase):
    """Part of `FileSystem`."""

    def open(
        self,
        path: str,
        mode: str = "rb",
        *,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        consistency: Reads = None,
    ) -> IO[Any]:
        """A file object as Python's `open` returns: `io.BufferedReader` and so on.

        A file opened for writing has its content once it is closed; an exception inside its `with`
        block abandons it, or with "ab" what was not recorded yet. What the masters have against a
        new small file is raised when it is closed; with "xb" here. What is read is the file as it
        was when opened.

        Args:
            mode: "rb", "wb", "xb" (must not exist) and "ab" are binary; without b, or with t, text.
            buffering: bytes; 0: none, binary only; 1: text by lines; -1: 1 MiB.
            encoding, errors, newline: of text, as of Python's `open`; None: "utf-8", "strict", and
                line ends of all kinds read as "\\n".
            consistency: of which content is read.

        Raises:
            InvalidArgument: another mode: nothing is written in the middle of a file.
        """
        return open_file(
            self._thread,
            self._fs,
            path,
            mode,
            buffering=buffering,
            encoding=encoding,
            errors=errors,
            newline=newline,
            consistency=consistency,
        )

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

    def cat(self, path_list: Sequence[str], *, consistency: Reads = None) -> dict[str, bytes]:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.cat(path_list, consistency=consistency))

    def pipe(self, contents: Mapping[str, Buffer]) -> None:
        """See AsyncFileSystem."""
        self._thread.run(self._fs.pipe(contents))

    def head(self, path: str, size: int = ENDS_BYTES) -> bytes:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.head(path, size))

    def tail(self, path: str, size: int = ENDS_BYTES) -> bytes:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.tail(path, size))

    def read_bytes(self, path: str) -> bytes:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.read_bytes(path))

    def write_bytes(self, path: str, value: Buffer) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.write_bytes(path, value))

    def read_text(self, path: str, encoding: str = "utf-8", errors: str = "strict") -> str:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.read_text(path, encoding, errors))

    def write_text(
        self, path: str, value: str, encoding: str = "utf-8", errors: str = "strict"
    ) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.write_text(path, value, encoding, errors))

    def touch(self, path: str, truncate: bool = False) -> FileStatus:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.touch(path, truncate))
