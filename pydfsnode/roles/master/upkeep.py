"""What the leader does for the namespace by itself: what was deleted, silent writers, old trash.

Also what has come of an operator's orders to the fleet, and the first key that chunks are sealed
with. In safe mode only these.

It proposes operations as a client does, with ids of its own for each term that it leads
(INV-ONCE). Each is harmless when it comes twice or too late, so an answer that is lost is not asked
for again: the next look at the namespace shows what is still to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydfsnode.client.session import new_client_id
from pydfsnode.errors import ClusterError, PydfsError, SafeMode, SessionExpired
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import trash
from pydfsnode.meta.caller import SUPERUSER
from pydfsnode.meta.inodes import RECOVERING
from pydfsnode.meta.leases import SOFT_LEASE_MS, LeaseScan
from pydfsnode.meta.ops import (
    AddChunkKey,
    AnyOp,
    DropChunkKeys,
    ExpireLeases,
    ForgetKeys,
    Reclaim,
    RollTrash,
)
from pydfsnode.meta.results import Done, Removed
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet_operations import Wish
from pydfsnode.roles.master.own_operations import new_chunk_key
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.supervisor import Supervisor

_log = get_logger("roles.master.upkeep")

R = TypeVar("R", Removed, Done)

IDLE_PAUSE_MS = 1000
BUSY_PAUSE_MS = 10
"""Between two parts of a doomed tree: other operations pass in it."""
RECLAIM_INODES = 256
"""A part: a millisecond or two of every master's time."""
OPEN_FILES_PER_LOOK = 512
LEASE_GRACE_MS = SOFT_LEASE_MS
"""A new leader's clock may be ahead of the old one's: writers get this time to be heard of."""
TRASH_ROLL_MS = 3_600_000
"""Age of what becomes a checkpoint of the trash."""
HOMES_PER_LOOK = 256
RECOVERIES_MAX = 16
"""Files that are recovered at once."""


class Upkeep:
    """See the module; `start` it once.

    Args of the constructor:
        trash_keep_ms: how long a checkpoint of the trash is kept; 0: for ever.
        forget_keys_after_ms: how long keys of deleted files wait for the order to forget them.
        fleet_wishes: see `FleetOperations.wishes`.
        unneeded_keys_below: the epoch before which no key of chunks is needed; 0: that cannot be
            said.
        recover: closes a file that was taken from its writer: see `LeaseRecovery.finish`.
    """

    def __init__(
        self,
        consensus: Consensus,
        namespace: Namespace,
        clock: Clock,
        supervisor: Supervisor,
        *,
        trash_keep_ms: int,
        forget_keys_after_ms: int = 21_600_000,
        fleet_wishes: Callable[[int], list[Wish]] = lambda wall_ms: [],
        unneeded_keys_below: Callable[[int], int] = lambda wall_ms: 0,
        recover: Callable[[int], Awaitable[object]],
        new_key: Callable[[], bytes] = new_chunk_key,
        new_client_id: Callable[[], int] = new_client_id,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._consensus = consensus
        self._namespace = namespace
        self._clock = clock
        self._supervisor = supervisor
        self._trash_keep_ms = trash_keep_ms
        self._trash_roll_ms = min(TRASH_ROLL_MS, trash_keep_ms)
        self._forget_keys_after_ms = forget_keys_after_ms
        self._fleet_wishes = fleet_wishes
        self._unneeded_keys_below = unneeded_keys_below
        self._recover = recover
        self._recoveries: dict[int, asyncio.Task[None]] = {}
        self._new_key = new_key
        self._new_client_id = new_client_id
        self._sleep = sleep
        self._term: int | None = None
        self._leads_since_ms = self._looked_ms = 0
        self._client_id, self._seq = 0, 0
        self._leases = LeaseScan()
        self._last_home = ""

    def start(self) -> None:
        """Look after the namespace until the node stops."""
        self._supervisor.spawn("upkeep", self.run())

    async def run(self) -> None:
        """Do `step` again and again, soon when there is more to drop; runs until cancelled."""
        while True:
            busy = await self.step()
            await self._sleep((BUSY_PAUSE_MS if busy else IDLE_PAUSE_MS) / 1000)

    async def step(self) -> bool:
        """As leader, propose what is needed now; return whether there is more to drop."""
        if not self._consensus.is_leader:
            self._term = None
            return False
        try:
            if self._term != self._consensus.term:
                await self._begin_term()
            await self._have_chunk_key()
            is_read_only = self._namespace.tree.administration.is_read_only
            if not is_read_only:
                await self._reclaim()
            if self._clock.monotonic_ms() - self._looked_ms >= IDLE_PAUSE_MS:
                self._looked_ms = self._clock.monotonic_ms()
                await self._record_fleet()
                await self._drop_chunk_keys()
                await self._forget_keys()
                if not is_read_only:
                    await self._expire_leases()
                    await self._roll_trash()
        except SessionExpired:
            self._term = None  # the masters forgot this session: begin another
            return False
        except (ClusterError, SafeMode) as error:
            _log.debug("upkeep waits", why=str(error))
            return False
        return self._is_reclaimable

    async def _begin_term(self) -> None:
        term = self._consensus.term
        await self._consensus.leader_barrier()  # what earlier leaders committed is applied
        self._term = term
        self._leads_since_ms = self._looked_ms = self._clock.monotonic_ms()
        self._client_id, self._seq = self._new_client_id(), 0

    async def _have_chunk_key(self) -> None:
        """A key from the start: one directory may want its chunks sealed, if not the cluster."""
        if not self._namespace.tree.administration.chunk_key_epoch:
            await self._propose(AddChunkKey, Done, 1, self._new_key())
            _log.info("chunk key made", epoch=1)

    async def _drop_chunk_keys(self) -> None:
        below = self._unneeded_keys_below(self._consensus.wall_ms())
        if below:
            await self._propose(DropChunkKeys, Done, below)
            _log.info("old chunk keys destroyed", below=below)

    async def _forget_keys(self) -> None:
        told = self._namespace.tree.file_keys.forgetting
        due_ms = told.since_ms + self._forget_keys_after_ms
        if told.since_ms and self._consensus.wall_ms() >= due_ms:
            await self._propose(ForgetKeys, Done, told.orders + 1)
            _log.info("keys of deleted files are to be forgotten", files=told.waiting)

    @property
    def _is_reclaimable(self) -> bool:
        tree = self._namespace.tree
        if tree.administration.is_read_only:
            return False
        return bool(tree.doomed.rows) or tree.history.is_purging

    async def _reclaim(self) -> None:
        if self._is_reclaimable:
            await self._propose(Reclaim, Removed, RECLAIM_INODES)

    async def _record_fleet(self) -> None:
        for kind, *fields in self._fleet_wishes(self._consensus.wall_ms()):
            _log.info("fleet", what=kind.__name__, fields=str(fields)[:200])
            await self._propose(kind, Done, *fields)

    async def _expire_leases(self) -> None:
        if self._clock.monotonic_ms() - self._leads_since_ms < LEASE_GRACE_MS:
            return
        tree = self._namespace.tree
        now_ms = max(tree.clock_ms, self._consensus.wall_ms())
        inode_ids = self._leases.expired(tree, now_ms, OPEN_FILES_PER_LOOK)
        taken = [inode_id for inode_id in inode_ids if not self._is_recovering(inode_id)]
        if taken:
            _log.warning("closes files of silent writers", files=len(taken))
            await self._propose(ExpireLeases, Done, tuple(taken))
        for inode_id in inode_ids:
            if self._is_recovering(inode_id) and len(self._recoveries) < RECOVERIES_MAX:
                self._begin_recovery(inode_id)

    def _is_recovering(self, inode_id: int) -> bool:
        opened = self._namespace.tree.open_files.get(inode_id)
        return opened is not None and opened.holder == RECOVERING

    def _begin_recovery(self, inode_id: int) -> None:
        if inode_id not in self._recoveries:
            task = asyncio.get_running_loop().create_task(self._recover_one(inode_id))
            self._recoveries[inode_id] = task

    async def _recover_one(self, inode_id: int) -> None:
        """What cannot be done now is found again by the next look."""
        try:
            await self._recover(inode_id)
        except PydfsError as error:
            _log.warning("a file stays open", inode_id=inode_id, why=str(error))
        finally:
            del self._recoveries[inode_id]

    async def _roll_trash(self) -> None:
        if not self._trash_keep_ms:
            return
        users = self._due_users()
        if users:
            removed = await self._propose(
                RollTrash, Removed, self._trash_roll_ms, self._trash_keep_ms, users
            )
            _log.info("rolled the trash", users=len(users), inodes_removed=removed.inodes)

    def _due_users(self) -> tuple[str, ...]:
        """Of the next page of homes, those whose trash is due; after the last, from the start."""
        tree = self._namespace.tree
        root = tree.table.get(ROOT_INODE_ID)
        homes = None if root is None else tree.table.child(root, trash.HOMES)
        if homes is None or not homes.is_directory:
            return ()
        page = tree.table.page(homes, self._last_home, HOMES_PER_LOOK)
        self._last_home = page[-1].name if len(page) == HOMES_PER_LOOK else ""
        now_ms = max(tree.clock_ms, self._consensus.wall_ms())
        due: list[str] = []
        for home in page:
            directory = trash.trash_of(tree, home.name)
            if directory is not None and trash.is_due(
                tree, directory, now_ms, self._trash_roll_ms, self._trash_keep_ms
            ):
                due.append(home.name)
        return tuple(due)

    async def _propose(self, kind: Callable[..., AnyOp], result: type[R], *fields: object) -> R:
        self._seq += 1
        head = (self._client_id, self._seq, self._seq, self._consensus.wall_ms(), SUPERUSER)
        return await self._consensus.propose(kind(*head, *fields), result)
