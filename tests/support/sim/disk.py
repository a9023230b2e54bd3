"""A simulated disk: the `KeyValue` promises, and every way in which a disk can break them.

What is written lies in `SimDisk`, which outlives processes; a process opens it as `SimKv`. A fault
that the store's own checks cannot see (a flipped bit, two records exchanged) must be seen by the
seal; a tail that was lost though it was synced must be seen by the durable mark.
"""

from __future__ import annotations

import random
import struct
import zlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from pydfsnode.errors import DiskFull, SealBroken, StorageError
from pydfsnode.storage.kv import Batch
from tests.support.sim.loop import NodeLoop, Scheduler

_SEAL = struct.Struct("<I")


class FastSealer:
    """Binds a value to its additional data by a CRC: as strict as AES-GCM against accidents."""

    def seal_all(
        self, aad_head: bytes, rows: Iterable[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes | None]]:
        """See `storage.sealed.Sealer`."""
        return [
            (key, None if value is None else self._seal(aad_head + key, value))
            for key, value in rows
        ]

    def _seal(self, aad: bytes, plaintext: bytes) -> bytes:
        return _SEAL.pack(zlib.crc32(plaintext, zlib.crc32(aad))) + plaintext

    def unseal(self, aad: bytes, sealed: bytes) -> bytes:
        """See `storage.sealed.Sealer`."""
        plaintext = sealed[_SEAL.size :]
        if sealed[: _SEAL.size] != _SEAL.pack(zlib.crc32(plaintext, zlib.crc32(aad))):
            raise SealBroken("the simulated seal does not fit")
        return plaintext


class SimDisk:
    """What the platters of one node hold, and the faults that are armed.

    `unsynced` are the batches that a power loss may take, oldest first.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []
        self._durable: dict[bytes, bytes] | None = {}
        self.unsynced: list[Batch] = []
        self.mark: int | None = None
        self._mark_before: int | None = None
        self.write_failure: StorageError | None = None
        self.read_failure: StorageError | None = None
        self.damaged = False
        self._is_marked = False
        self._last_synced: tuple[Batch, list[tuple[bytes, bytes | None]]] | None = None

    def apply(self, batch: Batch, sync: bool) -> None:
        """Take *batch*; with *sync* it and all before it survive everything."""
        undo = [(key, self.rows.get(key)) for key, _ in batch]
        for key, value in batch:
            self._set(key, value)
        if not sync or self.unsynced:
            if self._durable is None or not self.unsynced:
                self._durable = dict(self.rows)
                for key, value in reversed(undo):
                    _put(self._durable, key, value)
            self.unsynced.append(batch)
        if sync:
            self.unsynced.clear()
            self._last_synced = (batch, undo)
            self._is_marked = False

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is not None:
            if key not in self.rows:
                insort(self.keys, key)
            self.rows[key] = value
        elif key in self.rows:
            del self.rows[key]
            del self.keys[bisect_left(self.keys, key)]

    def set_mark(self, group: int) -> None:
        """Overwrite the durable mark; it is not synced."""
        self._mark_before, self.mark = self.mark, group
        self._is_marked = True

    # ---- what can happen to it

    def lose_power(self, rng: random.Random) -> None:
        """Keep what was synced and a prefix of what was not; the mark may be the one before."""
        if self.unsynced:
            kept = rng.randrange(len(self.unsynced) + 1)
            rows = dict(self._durable or {})
            for batch in self.unsynced[:kept]:
                for key, value in batch:
                    _put(rows, key, value)
            self.rows, self.keys = rows, sorted(rows)
            self.unsynced.clear()
        if self._mark_before is not None and rng.random() < 0.5:
            self.mark = self._mark_before
            self._is_marked = False

    def rot(self, rng: random.Random) -> bytes | None:
        """Flip one bit of one stored record; its key, None when nothing is stored."""
        if not self.keys:
            return None
        key = rng.choice(self.keys)
        value = bytearray(self.rows[key])
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
        self.rows[key] = bytes(value)
        self.damaged = True
        return key

    def misdirect(self, rng: random.Random) -> tuple[bytes, bytes] | None:
        """Exchange the values of two records, as two misdirected writes leave them."""
        if len(self.keys) < 2:
            return None
        first, second = rng.sample(self.keys, 2)
        if self.rows[first] == self.rows[second]:
            return None
        self.rows[first], self.rows[second] = self.rows[second], self.rows[first]
        self.damaged = True
        return first, second

    def lose_tail(self) -> bool:
        """Drop the last synced batch, as LevelDB does with a damaged last block.

        Only one that the mark knows of: what was never marked was never acknowledged.
        """
        if self._last_synced is None or self.unsynced or not self._is_marked:
            return False
        for key, value in reversed(self._last_synced[1]):
            self._set(key, value)
        self._last_synced = None
        self.damaged = True
        return True


def _put(rows: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


class SimKv:
    """`KeyValue` on a `SimDisk` for one process.

    `boundary` is called before and after each write, to crash there; once it says so, nothing of
    this process reaches the disk any more.
    """

    def __init__(self, disk: SimDisk, boundary: Callable[[], bool] = lambda: False) -> None:
        self.disk = disk
        self.batches_written = 0
        self.last_was_written = False
        self._boundary = boundary

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValue.get`."""
        self._check_reads()
        return self.disk.rows.get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValue.scan`."""
        self._check_reads()
        return _rows(self.disk.rows, self.disk.keys, first, end)

    def view(self) -> SimKvView:
        """See `KeyValue.view`."""
        self._check_reads()
        return SimKvView(dict(self.disk.rows), list(self.disk.keys))

    def write(self, batch: Batch, sync: bool) -> None:
        """See `KeyValue.write`."""
        self.last_was_written = False
        if self._boundary():
            return
        if self.disk.write_failure is not None:
            raise self.disk.write_failure
        self.disk.apply(batch, sync)
        self.batches_written += 1
        self.last_was_written = True
        self._boundary()

    def close(self) -> None:
        """See `KeyValue.close`; the disk stays."""

    def _check_reads(self) -> None:
        if self.disk.read_failure is not None:
            raise self.disk.read_failure


class SimKvView:
    """One moment of a `SimKv`."""

    def __init__(self, rows: dict[bytes, bytes], keys: list[bytes]) -> None:
        self._rows = rows
        self._keys = keys
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """See `KeyValueReader.get`."""
        self._require_open()
        return self._rows.get(key)

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValueReader.scan`."""
        for row in _rows(self._rows, self._keys, first, end):
            self._require_open()
            yield row
        self._require_open()

    def close(self) -> None:
        """See `KeyValueView.close`."""
        self._closed = True

    def _require_open(self) -> None:
        if self._closed:
            raise StorageError("a view of the store was used after it was closed")


def _rows(
    rows: dict[bytes, bytes], keys: list[bytes], first: bytes, end: bytes
) -> Iterator[tuple[bytes, bytes]]:
    chosen = keys[bisect_left(keys, first) : bisect_left(keys, end)]
    return iter([(key, rows[key]) for key in chosen])


class SimMark:
    """`storage.durable_mark.DurableMark` on a `SimDisk`."""

    def __init__(self, disk: SimDisk, kv: SimKv) -> None:
        self.path = PurePosixPath("durable-mark")
        self._disk = disk
        self._kv = kv

    def create(self) -> None:
        """See `DurableMark.create`."""
        self._disk.mark = 0

    def load(self) -> int | None:
        """See `DurableMark.load`."""
        return self._disk.mark

    def advance(self, group: int) -> None:
        """See `DurableMark.advance`; of a process that died in its write nothing arrives."""
        if self._kv.last_was_written:
            self._disk.set_mark(group)

    def close(self) -> None:
        """See `DurableMark.close`."""


def io_error() -> StorageError:
    """EIO."""
    return StorageError("sim disk: cannot be accessed: IO error: Input/output error")


def disk_full() -> StorageError:
    """ENOSPC."""
    return DiskFull("sim disk: cannot be written: No space left on device")


Work = Callable[[], None]
Done = Callable[[BaseException | None], None]


class SimExecutor:
    """`ports.SerialExecutor`: each job takes a disk's time; results come in order.

    A job runs when its time is over; that it is done is told in an event of its own, so that a
    crash may fall between.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        loop: NodeLoop,
        duration_s: Callable[[], float],
        boundary: Callable[[], bool],
    ) -> None:
        self._scheduler = scheduler
        self._loop = loop
        self._duration_s = duration_s
        self._boundary = boundary
        self._free_s = 0.0
        self._failure: BaseException | None = None
        self._stalled_until_s = 0.0
        self._working = False
        self.jobs: deque[tuple[Work, Done]] = deque()

    def stall(self, until_s: float) -> None:
        """Nothing is finished before *until_s* of the world."""
        self._stalled_until_s = until_s

    def submit(self, work: Work, done: Done) -> None:
        """See `ports.SerialExecutor.submit`."""
        if self._boundary():
            return
        self._free_s = max(self._free_s, self._scheduler.now_s) + self._duration_s()
        self.jobs.append((work, done))
        self._scheduler.at(self._free_s, self._run, loop=self._loop)

    def _run(self) -> None:
        now_s = self._scheduler.now_s
        if self._stalled_until_s > now_s:
            self._free_s = max(self._free_s, self._stalled_until_s)
            self._scheduler.at(self._stalled_until_s, self._run, loop=self._loop)
            return
        work, done = self.jobs.popleft()
        self._work(work)
        self._loop.call_soon(done, self._failure)

    def _work(self, work: Work) -> None:
        if self._failure is None:
            self._working = True
            try:
                work()
            except Exception as error:  # noqa: BLE001 - carried to the loop, as the thread does
                self._failure = error
            self._working = False

    def finish_some(self, count: int) -> None:
        """The process dies, and the disk finishes the first *count* writes that it had."""
        if self._working:
            return  # it dies in the middle of one: none after it was begun
        for _ in range(min(count, len(self.jobs))):
            self._work(self.jobs.popleft()[0])

    async def stop(self) -> None:
        """See `ports.SerialExecutor.stop`."""
        if self.jobs:
            drained = self._loop.create_future()
            self.submit(lambda: None, lambda _: drained.set_result(None))
            await drained
