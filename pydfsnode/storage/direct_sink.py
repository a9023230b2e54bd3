"""Writes a file from front to back past the page cache, in large aligned units.

Copying a chunk into the page cache costs its server more CPU than TLS does, as every page is new to
it (ADR 4), and chunks are rarely read by the server that wrote them soon after. What does not fill
a unit, and everything on file systems without O_DIRECT, goes through the page cache.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence

from pydfsnode._fast import is_page_aligned
from pydfsnode.storage.aligned_units import UNIT_BYTES, give_unit, take_unit


class DirectSink:
    """The sequential end of an open file; not for several threads at once.

    Bytes given to `write` may wait in memory until `settle`. The file is at *descriptor*, which
    stays the caller's.
    """

    def __init__(self, descriptor: int, written: int = 0) -> None:
        """Go on behind the *written* bytes that the file holds."""
        self._fd = descriptor
        self._written = written
        self._fill = 0
        self._unit: mmap.mmap | None = None
        self._is_direct = False

    @property
    def is_direct(self) -> bool:
        """Whether what was written lately went past the page cache."""
        return self._is_direct

    def write(self, buffers: Sequence[memoryview | bytes]) -> None:
        """Take *buffers* behind what is there. Raises OSError as `os.pwrite`."""
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            if self._unit is None and len(view) < UNIT_BYTES:
                self._written += write_all(self._fd, view, self._written)
            else:
                self._stage(view)

    def settle(self) -> int:
        """Put what waits into the file, which then reads as any other; returns its length."""
        if self._is_direct:
            self._is_direct = self._set_direct(False)
        unit = self._unit
        if unit is not None:
            with memoryview(unit) as whole, whole[: self._fill] as rest:
                self._written += write_all(self._fd, rest, self._written)
            self.release()
        return self._written

    def release(self) -> None:
        """Give the unit back without writing it; harmless twice."""
        if self._unit is not None:
            give_unit(self._unit)
            self._unit = None
            self._fill = 0

    def free_end(self) -> memoryview:
        """What is free of the unit, to be filled from its start; the caller releases it."""
        return memoryview(self._staged())[self._fill :]

    def filled(self, size: int) -> None:
        """*size* bytes of `free_end` count now. Raises OSError as `os.pwrite`."""
        self._fill += size
        if self._fill == UNIT_BYTES:
            with memoryview(self._staged()) as whole:
                self._written += write_all(self._fd, whole, self._written)
            self._fill = 0

    def _staged(self) -> mmap.mmap:
        if self._unit is None:
            self._unit = take_unit()
            self._fill = 0
            # Behind a start that is no multiple of a unit, direct writes are not possible.
            self._is_direct = self._written % UNIT_BYTES == 0 and self._set_direct(True)
        return self._unit

    def _stage(self, view: memoryview) -> None:
        unit = self._staged()
        while view:
            whole = view[:UNIT_BYTES]
            if self._is_direct and not self._fill and self._is_unit(whole):
                self._written += write_all(self._fd, whole, self._written)
                view = view[UNIT_BYTES:]
                continue
            taken = view[: UNIT_BYTES - self._fill]
            unit[self._fill : self._fill + len(taken)] = taken
            self.filled(len(taken))
            view = view[len(taken) :]

    @staticmethod
    def _is_unit(view: memoryview) -> bool:
        """Whether *view* can go to the disk as it is, as packets that were received into place."""
        return len(view) == UNIT_BYTES and is_page_aligned(view)

    def _set_direct(self, on: bool) -> bool:
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        wanted = flags | os.O_DIRECT if on else flags & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, wanted)
        except OSError:  # a file system without it, as tmpfs
            return False
        return on


def write_all(descriptor: int, view: memoryview, offset: int) -> int:
    """Write all of *view* at *offset*; returns its size."""
    done = 0
    while done < len(view):
        with view[done:] as rest:
            done += os.pwrite(descriptor, rest, offset + done)
    return done
