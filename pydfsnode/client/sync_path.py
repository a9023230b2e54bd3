"""Paths as objects for the synchronous file system: used as those of pathlib."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Self

from pydfsnode.client.builtin_errors import NotADirectory
from pydfsnode.client.pure_path import PurePath

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pydfsnode.client.copy import CopyReport
    from pydfsnode.client.model import FileStatus
    from pydfsnode.client.sync import FileSystem


class Path(PurePath):
    """A path of a `FileSystem`; made by its `path`. Errors as there."""

    __slots__ = ("_fs",)

    def __init__(self, fs: FileSystem, path: str | PurePosixPath) -> None:
        super().__init__(path)
        self._fs = fs

    def _with(self, path: PurePosixPath) -> Self:
        return type(self)(self._fs, path)

    def stat(self) -> FileStatus:
        """What the namespace knows of it; raises NotFound."""
        return self._fs.info(str(self))

    def exists(self) -> bool:
        """Whether there is a file or a directory."""
        return self._fs.exists(str(self))

    def is_dir(self) -> bool:
        """Whether there is a directory."""
        return self._fs.isdir(str(self))

    def is_file(self) -> bool:
        """Whether there is a file."""
        return self._fs.isfile(str(self))

    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """See FileSystem.open; as with pathlib, text unless the mode says otherwise."""
        return self._fs.open(
            str(self), mode, buffering=buffering, encoding=encoding, errors=errors, newline=newline
        )

    def read_bytes(self) -> bytes:
        """All of the file."""
        return self._fs.cat_file(str(self))

    def write_bytes(self, data: Buffer) -> int:
        """Make *data* the file's content; its size."""
        return self._fs.pipe_file(str(self), data).size

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of the file as text; line ends stay as they are."""
        return self._fs.read_text(str(self), encoding, errors)

    def write_text(self, data: str, encoding: str = "utf-8", errors: str = "strict") -> int:
        """Make *data* the file's content; its letters."""
        self._fs.write_text(str(self), data, encoding, errors)
        return len(data)

    def iterdir(self) -> Iterator[Self]:
        """The entries of the directory, in order of names; raises NotADirectory."""
        for entry in self._fs.scandir(str(self)):
            if entry.path == str(self):  # a file lists itself
                raise NotADirectory(f"{self} is a file")
            yield self._with(PurePosixPath(entry.path))

    def glob(self, pattern: str) -> Iterator[Self]:
        """What is below and matches; see AsyncFileSystem.glob."""
        for found in self._fs.glob(str(self / pattern)):
            yield self._with(PurePosixPath(found))

    def rglob(self, pattern: str) -> Iterator[Self]:
        """As `glob`, at any depth."""
        return self.glob(f"**/{pattern}")

    def walk(self, top_down: bool = True) -> Iterator[tuple[Self, list[str], list[str]]]:
        """See AsyncFileSystem.walk."""
        for directory, directories, files in self._fs.walk(str(self), topdown=top_down):
            yield self._with(PurePosixPath(directory)), directories, files

    def mkdir(self, mode: int | None = None, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory; raises AlreadyExists, and NotFound unless *parents*."""
        if not (exist_ok and self.is_dir()):
            self._fs.mkdir(str(self), create_parents=parents, mode=mode)

    def touch(self, exist_ok: bool = True) -> None:
        """Make an empty file, or set its times to now; raises AlreadyExists."""
        if exist_ok:
            self._fs.touch(str(self))
        else:
            self._fs.pipe_file(str(self), b"", overwrite=False)

    def rmdir(self) -> None:
        """Remove the empty directory; raises NotADirectory, DirectoryNotEmpty."""
        self._fs.rmdir(str(self))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file; raises IsADirectory, and NotFound unless *missing_ok*."""
        if not missing_ok or self.exists():
            self._fs.rm_file(str(self))

    def rename(self, target: Self | str) -> Self:
        """Move it to *target*, which must not exist; returns that."""
        return self._moved(target, overwrite=False)

    def replace(self, target: Self | str) -> Self:
        """Move it to *target*, in the place of a file there; returns that."""
        return self._moved(target, overwrite=True)

    def copy(self, target: Self | str) -> CopyReport:
        """Copy the file or tree to *target*, or into it when that is a directory."""
        return self._fs.copy(str(self), str(target))

    def _moved(self, target: Self | str, overwrite: bool) -> Self:
        status = self._fs.rename(str(self), str(target), overwrite=overwrite)
        return self._with(PurePosixPath(status.path))
