"""A local file being received: under a name of its own, beside its final one, until it is whole."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pydfsnode import limits
from pydfsnode.client.chunk_io import Packet

COPIED_BYTES = 4 * limits.MIB
"""Copied locally in one go."""


class PartFile:
    """See the module.

    A cancelled copy discards it while a thread may still be writing: what comes late goes nowhere.
    Whoever receives holds a lock on it, so that only what a dead process left is gone on with.

    Args of the constructor:
        kept: what was received stays when it does not become whole; see `take_left_over`.
    """

    def __init__(self, path: Path, *, kept: bool = False) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
        self._file: BinaryIO | None = None
        self._working = threading.Lock()
        self._discarded = False
        self.kept = kept

    @property
    def where(self) -> Path:
        """The temporary name; the file is there once something was written."""
        return self._part

    def take_left_over(self) -> bool:
        """Go on with the longest part that nobody receives any more; False: there is none."""
        with self._working:
            for part in () if self._discarded else _parts_of(self._path):
                try:
                    file = part.open("r+b", buffering=0)
                except OSError:
                    continue  # somebody else's, or gone
                if _locked(file) and _is_at(part, file):
                    self._part, self._file = part, file
                    return True
                file.close()
        return False

    def cut(self, size: int) -> None:
        """Keep the first *size* bytes, and go on behind them."""
        with self._working:
            if self._file is not None and not self._discarded:
                self._file.truncate(size)
                self._file.seek(size)

    def begin_with(self, path: Path, size: int) -> None:
        """Take the first *size* bytes of the local file *path*."""
        with path.open("rb", buffering=0) as file:
            while size and (piece := file.read(min(COPIED_BYTES, size))):
                self.write([piece])
                size -= len(piece)

    def write(self, packets: Iterable[Packet]) -> None:
        """Append *packets*; the temporary file appears with the first call."""
        with self._working:
            if not self._discarded:
                self._append(packets)

    def _append(self, packets: Iterable[Packet]) -> None:
        if self._file is None:
            self._file = self._part.open("xb", buffering=0)
            _locked(self._file)  # nobody else can have it: what is empty is not taken for a part
        for packet in packets:
            view = memoryview(packet)
            while view:
                view = view[self._file.write(view) :]

    def commit(self, packets: Iterable[Packet] = ()) -> None:
        """Append the last *packets* and give the file its name, replacing another one."""
        with self._working:
            if self._discarded:
                return
            self._append(packets)
            os.replace(self._part, self._path)
            self._part = self._path
            self._close()

    def discard(self) -> None:
        """Remove what was received, unless it is kept; harmless after `commit`."""
        with self._working:
            self._discarded = True
            if self._file is not None:
                if not self.kept:
                    self._part.unlink(missing_ok=True)
                self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()  # and with that the lock goes
            self._file = None


def _parts_of(path: Path) -> list[Path]:
    """Those with any content, the longest first."""
    name = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f]{8}\.part")
    found = []
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                found.append((entry.stat().st_size, path.with_name(entry.name)))
    return [part for size, part in sorted(found, reverse=True) if size]


def _locked(file: BinaryIO) -> bool:
    """Lock *file* if nobody else did and the file system can."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether *file* still has that name: who had the lock before may have made it whole."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False
