"""Which chunkservers a writer's next chunk goes to; decided before the operation is proposed."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument, LeaseExpired, NoChunkservers
from pydfsnode.meta.inodes import IS_INLINE
from pydfsnode.meta.sealing import seal_choice
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet

FAILED_WRITERS_MAX = 1024  # limits.py candidate
"""Files remembered whose writers said that a chunkserver failed them."""


class Allocation:
    """The choice itself is pure (`fleet.placement`).

    Here it meets the file and the live servers.
    """

    def __init__(
        self,
        consensus: Consensus,
        fleet: Fleet,
        namespace: Namespace,
        min_replicas: int = 1,
    ) -> None:
        """*min_replicas*: on fewer chunkservers nothing is written, as HDFS's
        dfs.namenode.replication.min; a file that wants fewer replicas needs no more than those."""
        self._min_replicas = min_replicas
        self._consensus = consensus
        self._fleet = fleet
        self._namespace = namespace
        self._failed: dict[int, frozenset[str]] = {}  # by file, the latest last

    async def choose(
        self, inode_id: int, exclude: list[str], peer: str = "", *, continues: bool = False
    ) -> tuple[str, ...]:
        """Node ids of the pipeline, in order.

        Args:
            exclude: who just failed this writer; that counts against their health, once a file.
            peer: the writer's "host:port".
            continues: the chunk begins with the file's last one: who holds that comes first.

        Raises:
            NotLeader: another master leads.
            LeaseExpired: the file is gone.
            NoChunkservers: nobody live has room, or fewer than the minimum.
        """
        file = await self._open_file(inode_id)
        self._note_failed(inode_id, exclude)
        holders: list[str] = []
        if continues and file.chunk_count and not file.flags & IS_INLINE:
            last_id = self._namespace.tree.table.chunk(file, file.chunk_count - 1)[0]
            holders = [node for node in self._fleet.readable(last_id) if node not in exclude]
            holders = holders[: file.replication]
        more = file.replication - len(holders)
        return self._enough(file, self._with_more(file, holders, exclude, more, peer))

    def choose_first(self, replication: int, chunk_bytes: int, peer: str) -> tuple[str, ...]:
        """Node ids of the pipeline of a new file's first chunk; () when there are too few.

        Args:
            peer: the writer's "host:port".
        """
        try:
            targets = self._fleet.choose_targets(
                min(replication, limits.REPLICATION_MAX), [], chunk_bytes, _host_of(peer)
            )
        except NoChunkservers:
            return ()
        return targets if len(targets) >= min(self._min_replicas, replication) else ()

    async def resume(
        self, inode_id: int, survivors: list[str], exclude: list[str], replacements: int,
        peer: str = "",
    ) -> tuple[str, ...]:  # fmt: skip
        """The pipeline that goes on: *survivors*, then up to *replacements* others.

        Raises:
            as `choose`. InvalidArgument: survivors that did not write the chunk.
        """
        file = await self._open_file(inode_id)
        opened = self._namespace.tree.open_files.get(inode_id)
        known = () if opened is None else opened.targets
        if not set(survivors) <= set(known):
            raise InvalidArgument(
                f"file {inode_id} is written to {', '.join(known) or 'no server'}, not to "
                + ", ".join(sorted(set(survivors) - set(known)))
            )
        self._note_failed(inode_id, exclude)
        more = min(replacements, file.replication - len(survivors))
        return self._enough(file, self._with_more(file, survivors, exclude, more, peer))

    def _with_more(
        self, file: Inode, first: list[str], exclude: list[str], count: int, peer: str
    ) -> tuple[str, ...]:
        """*first* and up to *count* others; it is enough to have those when nobody else can."""
        if count <= 0:
            return tuple(first)
        try:
            others = self._fleet.choose_targets(
                count, sorted({*exclude, *first}), file.chunk_bytes, _host_of(peer)
            )
        except NoChunkservers:
            if not first:
                raise
            others = ()
        return (*first, *others)

    def _enough(self, file: Inode, targets: tuple[str, ...]) -> tuple[str, ...]:
        needed = min(self._min_replicas, file.replication)
        if len(targets) < needed:
            raise NoChunkservers(
                f"{len(targets)} of the {needed} chunkservers that are needed at least "
                "(min_replicas) can take the chunk: start some, or free room on them",
                found=len(targets),
            )
        return targets

    async def _open_file(self, inode_id: int) -> Inode:
        file = self._file(inode_id)
        if file is None:
            await self._consensus.read()  # a new leader may still be applying what is committed
            file = self._file(inode_id)
        else:
            self._consensus.require_leader()
        if file is None:
            raise LeaseExpired(
                f"file {inode_id} is gone: it was deleted or overwritten while it was written",
                inode_id=inode_id,
            )
        return file

    def holders(self, chunk_id: int) -> list[str]:
        """Who has a finished chunk."""
        return self._fleet.readable(chunk_id)

    def seal_choice(self, inode_id: int) -> int:
        """Whether the chunks of a file are sealed at rest, a `SealChoice`."""
        return seal_choice(self._namespace.tree, self._file(inode_id))

    def chunk_bytes(self, inode_id: int) -> int:
        """How long the chunks of a file get at most; 0 when it is gone."""
        file = self._file(inode_id)
        return 0 if file is None else file.chunk_bytes

    def _note_failed(self, inode_id: int, exclude: list[str]) -> None:
        """A writer excludes who failed it from all of its later chunks too: those are not news."""
        if not exclude:
            return
        known = self._failed.pop(inode_id, frozenset())
        self._failed[inode_id] = known.union(exclude)
        self._fleet.write_failed(sorted(self._failed[inode_id] - known))
        if len(self._failed) > FAILED_WRITERS_MAX:
            del self._failed[next(iter(self._failed))]

    def _file(self, inode_id: int) -> Inode | None:
        inode = self._namespace.tree.table.get(inode_id)
        return inode if inode is not None and inode.is_file else None


def _host_of(peer: str) -> str:
    """The host of "host:port", as chunkservers write theirs; gRPC puts the family before it."""
    return peer.removeprefix("ipv4:").removeprefix("ipv6:").rpartition(":")[0]
