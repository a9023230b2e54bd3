"""Keys of files that have one of their own, by chunk: in memory only, bounded, for minutes.

The masters hold them and give them to chunkservers, which open and seal such chunks with them. They
are never written down: once the masters have forgotten a file's key, nobody opens its chunks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping

from pydfsnode import limits
from pydfsnode.errors import FileKeyMissing, KeyUnavailable, PydfsError

KEPT_S = 300.0
"""Then a key is asked for again: its file may have been deleted."""

Fetch = Callable[[list[int]], Awaitable[Mapping[int, bytes]]]
"""Asks the masters for the keys of chunks; of those whose files have none there is none."""


class FileKeys:
    """Any thread may `get`; the rest is for the event loop, but `drop`, which is for any too."""

    def __init__(
        self,
        seconds: Callable[[], float] = lambda: 0.0,
        keys_max: int = limits.FILE_KEYS_MAX,
    ) -> None:
        """*seconds* is a clock that only goes forward."""
        self._seconds = seconds
        self._keys_max = keys_max
        self._lock = threading.Lock()
        self._held: dict[int, tuple[bytes, float]] = {}  # the oldest first
        self._fetch: Fetch | None = None
        self._wanted: dict[int, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"FileKeys({len(self._held)})"

    def __len__(self) -> int:
        return len(self._held)

    def bind(self, fetch: Fetch) -> None:
        """From now on the masters can be asked."""
        self._fetch = fetch

    def get(self, chunk_id: int) -> bytes | None:
        """The key for a chunk's file, if it is here and not too old."""
        with self._lock:
            found = self._held.get(chunk_id)
            if found is None or self._seconds() - found[1] > KEPT_S:
                return None
            return found[0]

    def put(self, keys: Mapping[int, bytes]) -> None:
        """Hold *keys*, by chunk, in place of what is old and, past the bound, of the oldest."""
        now = self._seconds()
        with self._lock:
            for chunk_id, key in keys.items():
                self._held.pop(chunk_id, None)
                self._held[chunk_id] = key, now
        self.sweep()

    def drop(self, chunk_id: int) -> None:
        """The chunk is deleted."""
        with self._lock:
            self._held.pop(chunk_id, None)

    def sweep(self) -> None:
        """Drop what is too old, or too many."""
        now = self._seconds()
        with self._lock:
            while self._held:
                oldest = next(iter(self._held))
                is_old = now - self._held[oldest][1] > KEPT_S
                if not is_old and len(self._held) <= self._keys_max:
                    return
                del self._held[oldest]

    async def have(self, chunk_id: int, likely: Iterable[int] = ()) -> bytes:
        """The key for a chunk, from the masters if it is not here.

        What is asked for at the same time goes in one question.

        Args:
            likely: other chunks whose keys may be needed soon.

        Raises:
            KeyUnavailable: no leading master answers, or it knows of no key: the file was deleted.
        """
        found = self.get(chunk_id)
        if found is None:
            await self._ask(chunk_id, likely)
            found = self.get(chunk_id)
        if found is None:
            raise KeyUnavailable(
                f"chunk {chunk_id} needs the key of its file, and the masters hold none for it: "
                "its file was deleted, and what is left of the chunk goes soon",
                chunk_id=chunk_id,
            )
        return found

    async def _ask(self, chunk_id: int, likely: Iterable[int]) -> None:
        answered = self._want(chunk_id)
        for other in likely:
            if len(self._wanted) >= limits.FILE_KEYS_PER_ASK_MAX:
                break
            if self.get(other) is None:
                self._want(other)
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask_all())
        await asyncio.shield(answered)

    def _want(self, chunk_id: int) -> asyncio.Future[None]:
        """Have the next question ask for a chunk's key; done when it is answered."""
        answered = self._wanted.get(chunk_id)
        if answered is None:
            answered = self._wanted[chunk_id] = asyncio.get_running_loop().create_future()
            # Nobody may be left to look at its error.
            answered.add_done_callback(lambda done: done.cancelled() or done.exception())
        return answered

    async def _ask_all(self) -> None:
        """Ask until nobody wants anything; what comes meanwhile is the next question."""
        try:
            while self._wanted:
                chunk_ids = list(self._wanted)[: limits.FILE_KEYS_PER_ASK_MAX]
                waiting = [self._wanted[chunk_id] for chunk_id in chunk_ids]
                failure: PydfsError | None = None
                try:
                    self.put(await self._fetched(chunk_ids))
                except PydfsError as error:
                    failure = KeyUnavailable(
                        "the key of its file cannot be had now; see that this server reaches "
                        f"a leading master: {error}",
                        chunk_id=chunk_ids[0],
                    )
                for chunk_id in chunk_ids:
                    del self._wanted[chunk_id]
                for future in waiting:
                    if future.done():
                        continue
                    if failure is None:
                        future.set_result(None)
                    else:
                        future.set_exception(failure)
        finally:
            self._asking = None
            left, self._wanted = self._wanted, {}
            for future in left.values():
                future.cancel()

    async def _fetched(self, chunk_ids: list[int]) -> Mapping[int, bytes]:
        if self._fetch is None:
            raise KeyUnavailable("no master can be asked for keys of files here")
        return await self._fetch(chunk_ids)


def missing(chunk_id: int) -> FileKeyMissing:
    """The error for a chunk whose file's key has to be asked for first."""
    return FileKeyMissing(
        f"chunk {chunk_id} needs the key of its file, which is not here now; this server gets such "
        "keys from the masters: see that it reaches them",
        chunk_id=chunk_id,
    )
