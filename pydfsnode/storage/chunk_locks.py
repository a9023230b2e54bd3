"""One lock for each chunk that is worked on, so that no two change the same one. Thread-safe.

A lock may be held by a thread whose disk hangs: who waits for it gives up after a while.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator

from pydfsnode.errors import StorageError

WAIT_S = 30.0


class ChunkLocks:
    """`with locks.all([1, 2]): ...`; chunks that nobody works on cost nothing."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._mutex = threading.Lock()
        self._locks: dict[int, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def one(self, chunk_id: int) -> Iterator[None]:
        """Keep others from *chunk_id*.

        Raises:
            StorageError: somebody has been working on it for too long.
        """
        with self._mutex:
            lock, count = self._locks.get(chunk_id) or (threading.Lock(), 0)
            self._locks[chunk_id] = lock, count + 1
        try:
            if not lock.acquire(timeout=self._wait_s):
                raise StorageError(
                    f"chunk {chunk_id}: what was begun with it {self._wait_s:g} s ago has not "
                    "ended: its disk does not answer; use another replica",
                    chunk_id=chunk_id,
                )
            try:
                yield
            finally:
                lock.release()
        finally:
            self._leave(chunk_id)

    @contextlib.contextmanager
    def all(self, chunk_ids: Iterable[int]) -> Iterator[None]:
        """Keep others from all of these; raises as `one`."""
        with contextlib.ExitStack() as stack:  # in one order, or two would wait for each other
            for chunk_id in sorted(set(chunk_ids)):
                stack.enter_context(self.one(chunk_id))
            yield

    def _leave(self, chunk_id: int) -> None:
        with self._mutex:
            lock, count = self._locks[chunk_id]
            if count == 1:
                del self._locks[chunk_id]
            else:
                self._locks[chunk_id] = lock, count - 1
