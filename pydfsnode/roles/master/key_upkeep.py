"""A master's own data keys: follows replicated orders, seals its store anew, destroys old keys.

An order is a rotation, or to forget for good what was deleted with keys of files: for that the log
must not hold it any more either, as what is there is sealed anew with the new key.

All of it in the background and in small steps, beside the log's own writes. Nothing is remembered
but the keyring itself: after a crash a walk over the rows finds what is left to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from pydfsnode.client.key_state import MasterKeys
from pydfsnode.errors import InvariantViolation, PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.security.keyring import Keyring
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.seal_scan import SealScan
from pydfsnode.storage.sealed import SealedStore

LOOK_INTERVAL_S = 0.5
READERS_PAUSE_S = 1.0
STEP_ROWS, STEP_BYTES = 128, 256 * 1024
"""One job of the storage thread: a millisecond or two, and one sync."""
PAUSE_SHARE = 4
"""A step is followed by a pause of so many times what it took."""
PAUSE_S_MIN = 0.01
LOG_PAUSE_S = 2.0
"""Before the log is dropped up to an order: others that are just behind still read from it."""

_log = get_logger("roles.master.keys")

T = TypeVar("T")


class StorageThread(Protocol):
    """Of `runtime.raft_driver.RaftDriver`."""

    def run_on_log(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Run *job* where the log is written, and hand its result back."""
        ...

    def drop_log(self, through: int) -> None:
        """Drop the log up to *through* soon."""
        ...


class Order(NamedTuple):
    """The last order to forget keys of files, and an index at which it was applied here."""

    number: int
    applied_index: int


NO_ORDER = Order(0, 0)


class KeyUpkeep:
    """See the module; `run` is a task of the node.

    Args of the constructor:
        rotation: the newest replicated rotation, as applied here; 0: there was none.
        seconds: a clock that only goes forward.
        forgetting: the newest replicated order to forget, as applied here.
    """

    def __init__(
        self,
        node_id: str,
        keyring: Keyring,
        store: SealedStore,
        log: RaftLog,
        thread: StorageThread,
        rotation: Callable[[], int],
        seconds: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        forgetting: Callable[[], Order] = lambda: NO_ORDER,
    ) -> None:
        self._forgetting = forgetting
        self._order, self._order_s = NO_ORDER, 0.0
        self._node_id = node_id
        self._keyring = keyring
        self._store = store
        self._log = log
        self._thread = thread
        self._rotation = rotation
        self._seconds = seconds
        self._sleep = sleep
        self._phase = ""
        self._problem = ""
        self._rows_seen = self._rows_stale = self._rows_resealed = 0

    def state(self) -> MasterKeys:
        """How it stands."""
        keyring, phase = self._keyring, self._phase
        source, kek_id = keyring.kek
        is_sealing = len(keyring.epochs) > 1
        if not phase and self._forgetting().number > keyring.forgotten:
            phase = "waiting for the log"
        return MasterKeys(
            self._node_id, keyring.rotation, keyring.epochs, source, kek_id, phase,
            self._rows_seen, self._rows_stale, self._rows_resealed, self._problem,
            max(0, keyring.forgotten - is_sealing),
        )  # fmt: skip

    async def rotate_kek(self) -> None:
        """Wrap the data keys by another KEK. Raises as `Keyring.rotate_kek`."""
        kek_id = await asyncio.to_thread(self._keyring.rotate_kek)
        _log.info("KEK rotated", kek_id=kek_id)

    async def run(self) -> None:
        """Look after the keys until cancelled; what fails is tried again."""
        while True:
            try:
                await self.step()
                self._problem = ""
            except InvariantViolation:
                raise
            except PydfsError as error:
                if self._problem != error.message:
                    _log.warning("keys are not up to date", why=error.message)
                self._problem = error.message
            finally:
                self._phase = ""
            await self._sleep(LOOK_INTERVAL_S)

    async def step(self) -> None:
        """Follow a rotation; while there is an old key, seal anew and destroy what nothing needs.

        Raises:
            StorageError, SealBroken, CorruptionError: a row or the keyring; nothing is lost.
        """
        await self._follow()
        while len(self._keyring.epochs) > 1:
            if await self._walk():
                break
            await self._follow()

    async def _follow(self) -> None:
        await self._follow_rotation()
        await self._follow_forgetting()

    async def _follow_rotation(self) -> None:
        wanted, followed = self._rotation(), self._keyring.rotation
        if wanted <= followed:
            return
        if not followed and wanted == 1:  # the first key of chunks: nobody asked for a rotation
            await self._thread.run_on_log(lambda: self._keyring.follow(wanted))
            return
        # On the storage thread: whatever it seals afterwards is sealed with the new key.
        epoch = await self._thread.run_on_log(lambda: self._keyring.rotate(wanted))
        _log.info("data key rotated", epoch=epoch, rotation=wanted)

    async def _follow_forgetting(self) -> None:
        """Take a new data key once nothing that is here holds what is to be forgotten."""
        order = self._forgetting()
        if order.number <= self._keyring.forgotten:
            return
        if order.number > self._order.number:
            self._order, self._order_s = order, self._seconds()
        if self._seconds() - self._order_s < LOG_PAUSE_S:
            return
        number, through = self._order
        self._thread.drop_log(through)

        def rotate() -> int:
            if not self._log.is_dropped(through):
                return 0
            return self._keyring.rotate(forgotten=number)

        epoch = await self._thread.run_on_log(rotate)
        if epoch:
            _log.info("data key rotated to forget keys of files", epoch=epoch, order=number)

    async def _walk(self) -> bool:
        """Seal anew what one walk finds; True when it found nothing, and old keys are gone."""
        epoch = self._keyring.epoch
        scan = await asyncio.to_thread(SealScan, self._store, epoch)
        try:
            self._phase, self._rows_stale = "re-sealing", 0
            more = True
            while more and self._keyring.epoch == epoch:
                began = self._seconds()
                more = await asyncio.to_thread(scan.step)
                self._rows_seen = scan.rows_seen
                await self._pause(began)
                await self._reseal(scan.stale, epoch)
                await self._follow()
        finally:
            await asyncio.to_thread(scan.close)
        if more or self._rows_stale:
            return False
        return await self._destroy(epoch, scan)

    async def _reseal(self, stale: list[tuple[bytes, int]], epoch: int) -> None:
        self._rows_stale += len(stale)
        for keys in _portions(stale):
            began = self._seconds()
            job = partial(self._log.reseal, keys, epoch)
            self._rows_resealed += await self._thread.run_on_log(job)
            await self._pause(began)

    async def _pause(self, began: float) -> None:
        await self._sleep(max(PAUSE_S_MIN, PAUSE_SHARE * (self._seconds() - began)))

    async def _destroy(self, epoch: int, scan: SealScan) -> bool:
        """Forget the keys that *scan*, which found all of *epoch*, shows to be of no use."""
        self._phase = "waiting for readers"
        while not self._store.reads.ended_before(scan.number):  # of what the rows were before
            await self._sleep(READERS_PAUSE_S)
            if self._rotation() > self._keyring.rotation:
                return False
        unused = [old for old in self._keyring.epochs if old != epoch and not scan.epochs[old]]

        def destroy() -> list[int]:
            # What replaced the last records of an old key must not be lost with the power.
            self._log.write(None, [], sync=True)
            return self._keyring.destroy(unused)

        gone = await self._thread.run_on_log(destroy)
        _log.info("data keys destroyed", epochs=gone, epoch=epoch, rows=scan.rows_seen)
        return True


def _portions(stale: list[tuple[bytes, int]]) -> Iterator[list[bytes]]:
    """The keys in parts of at most STEP_ROWS and about STEP_BYTES."""
    keys: list[bytes] = []
    size = 0
    for key, value_bytes in stale:
        keys.append(key)
        size += value_bytes
        if len(keys) >= STEP_ROWS or size >= STEP_BYTES:
            yield keys
            keys, size = [], 0
    if keys:
        yield keys
