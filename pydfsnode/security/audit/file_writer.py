"""Writes a trail's lines in a thread of its own: whole blocks, synced now and then, rotated.

A block that cannot be written stays where it is and is tried again: the thread goes on at the byte
where the disk refused, so that no line is lost or torn by a full disk.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.security.files import sync_directory

RETRY_S = 0.5
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Block:
    """Lines from record `first_seq` on; `count` of them."""

    first_seq: int
    count: int
    lines: bytes
    is_urgent: bool = False
    """Synced as soon as it is written, with those that wait behind it: a flood syncs rarely."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When another file is begun."""

    bytes_max: int
    age_s: float


class FileWriter:
    """Give it blocks in order. `problem` says why nothing is written at the moment, "" if it is.

    Args of the constructor:
        name: what a file is called that begins with a record of this number.
        into: the file to go on with; None: begin one with the first block.
        sync_s: how long lines wait for fdatasync.
        monotonic_s: the clock.
    """

    def __init__(
        self, directory: Path, name: Callable[[int], str], into: Path | None, rotation: Rotation,
        sync_s: float, monotonic_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self._directory = directory
        self._name = name
        self._rotation = rotation
        self._sync_s = sync_s
        self._now_s = monotonic_s
        self._blocks: queue.SimpleQueue[Block | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._descriptor = -1
        self._size = 0
        self._opened_s = self._synced_s = monotonic_s()
        self._is_dirty = self._is_urgent = False
        self.problem = ""
        self.written_count = 0
        """Records written, since the start."""
        self.failures = 0
        if into is not None:
            self._open(into)
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, block: Block) -> None:
        """Write it soon."""
        self._blocks.put(block)

    def stop(self, timeout_s: float) -> bool:
        """Write what waits and end; whether all was written in time."""
        self._blocks.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._stopping.set()
            self._thread.join(RETRY_S * 4)
            return False
        return True

    def _run(self) -> None:
        block: Block | None = None
        while not self._stopping.is_set():
            try:
                block = self._blocks.get(timeout=self._sync_s)
            except queue.Empty:
                self._persist(self._sync_if_due)
                continue
            if block is None:
                self._persist(self._sync)
                break
            self._write_block(block)
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _write_block(self, block: Block) -> None:
        done = 0

        def write() -> None:
            nonlocal done
            # A block of no records ends a line that a crash cut: in its own file.
            if self._descriptor < 0 or (block.count and self._is_full()):
                self._rotate(block.first_seq)
            while done < len(block.lines):
                written = os.write(self._descriptor, memoryview(block.lines)[done:])
                done += written
                self._size += written
                self._is_dirty = True

        if self._persist(write):
            self.written_count += block.count
            self._is_urgent |= block.is_urgent
            now = self._is_urgent and self._blocks.empty()
            self._persist(self._sync if now else self._sync_if_due)

    def _is_full(self) -> bool:
        if not self._size:
            return False
        old = self._now_s() - self._opened_s >= self._rotation.age_s
        return old or self._size >= self._rotation.bytes_max

    def _persist(self, work: Callable[[], None]) -> bool:
        """Do *work* until it succeeds; False: asked to stop first."""
        while True:
            try:
                work()
            except OSError as error:
                self.failures += 1
                self.problem = f"{self._directory}: {error.strerror or error}"
                if self._stopping.wait(RETRY_S):
                    return False
            else:
                self.problem = ""
                return True

    def _rotate(self, first_seq: int) -> None:
        if self._descriptor >= 0:
            self._sync()
        self._open(self._directory / self._name(first_seq))
        sync_directory(self._directory)

    def _open(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        opened = os.open(path, flags, _MODE)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = opened
        self._size = os.fstat(opened).st_size
        self._opened_s = self._now_s()

    def _sync_if_due(self) -> None:
        if self._now_s() - self._synced_s >= self._sync_s:
            self._sync()

    def _sync(self) -> None:
        if self._is_dirty:
            os.fdatasync(self._descriptor)
            self._is_dirty = self._is_urgent = False
        self._synced_s = self._now_s()
