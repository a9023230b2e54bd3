"""Ends what a writer that is gone left open: its last chunk, as the chunkservers have it.

What a writer flushed is on every server of its pipeline, so the least that those who answer may
show to readers is at least that. They are sealed there under the version that the recovery took in
the log: who still writes an older one is refused (INV-FENCE). A leader that stops in the middle is
followed by one that finds the file still to be recovered, and the same bytes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from pydfsnode.client import wire_chunks
from pydfsnode.client.session import new_client_id
from pydfsnode.client.wire_chunks import ChunkPeer, Connect
from pydfsnode.errors import ChunkUnavailable, PydfsError, ReplicaNotFound, Unavailable
from pydfsnode.meta.inodes import RECOVERING, ChunkDone, OpenFile
from pydfsnode.meta.ops import AnyOp, ExpireLeases, FinishRecovery
from pydfsnode.meta.results import Done, FileView
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.own_operations import head_of_one

ASK_TIMEOUT_MS = 3_000
"""A chunkserver that does not say what it has is not waited for."""
SEAL_TIMEOUT_MS = 20_000

_log = get_logger("roles.master.lease_recovery")


def no_chunkservers(node_id: str, _listen: str) -> ChunkPeer:
    """A `Connect` of who cannot reach any."""
    raise Unavailable(f"{node_id} cannot be reached from here")


class LeaseRecovery:
    """Of the leader.

    Args of the constructor:
        listen_of: the address of a chunkserver.
        connect: reaches chunkservers.
    """

    def __init__(
        self,
        consensus: Consensus,
        listen_of: Callable[[str], str],
        connect: Connect,
        new_client_id: Callable[[], int] = new_client_id,
    ) -> None:
        self._consensus = consensus
        self._listen_of = listen_of
        self._connect = connect
        self._new_client_id = new_client_id

    async def take(self, inode_id: int) -> None:
        """If the writer of a file is silent for longer than the soft limit, close the file.

        Raises:
            ChunkUnavailable: as `finish`.
            ClusterError: another master leads.
        """
        head = head_of_one(self._consensus.wall_ms(), self._new_client_id)
        await self._consensus.propose(ExpireLeases(*head, (inode_id,), True), Done)
        if self._recovering(inode_id) is not None:
            await self.finish(inode_id)

    async def finish(self, inode_id: int) -> FileView:
        """Close a file that was taken from its writer, with what is found of its open chunk.

        Raises:
            ChunkUnavailable: no server that may have some of it answers; the file stays open.
            LeaseExpired: it is gone, or somebody writes it.
        """
        opened = self._recovering(inode_id)
        found = await self._seal(opened) if opened is not None and opened.chunk_id else None
        if opened is not None:
            _log.warning(
                "closes a file of a silent writer",
                inode_id=inode_id,
                chunk_id=opened.chunk_id,
                found_bytes=0 if found is None else found.length,
            )
        head = head_of_one(self._consensus.wall_ms(), self._new_client_id)
        op: AnyOp = FinishRecovery(*head, inode_id, found)
        return await self._consensus.propose(op, FileView)

    def _recovering(self, inode_id: int) -> OpenFile | None:
        opened = self._consensus.namespace.tree.open_files.get(inode_id)
        return opened if opened is not None and opened.holder == RECOVERING else None

    async def _seal(self, opened: OpenFile) -> ChunkDone | None:
        """The open chunk, durable on whoever has it; None: nobody has anything of it."""
        answers = await asyncio.gather(*(self._ask(opened, node) for node in opened.targets))
        held = {
            node: answer
            for node, answer in zip(opened.targets, answers, strict=True)
            if isinstance(answer, tuple) and answer[0] <= opened.version
        }
        if not held:
            failures = [answer for answer in answers if isinstance(answer, str)]
            if failures:
                raise ChunkUnavailable(
                    f"chunk {opened.chunk_id} cannot be recovered: none of its servers answers: "
                    + "; ".join(failures),
                    chunk_id=opened.chunk_id,
                )
            return None
        # A recovery before this one may have sealed some already: it is gone on with.
        ended = [length for version, length, _ in held.values() if version == opened.version]
        wanted = ended[0] if ended else min(length for _, length, _ in held.values())
        sums = await asyncio.gather(
            *(
                self._seal_on(opened, node, version, wanted)
                for node, (version, length, _) in held.items()
                if length >= wanted
            )
        )
        counted = Counter(crc for crc in sums if crc is not None)
        if not counted:
            raise ChunkUnavailable(
                f"chunk {opened.chunk_id} cannot be recovered: no server could seal it",
                chunk_id=opened.chunk_id,
            )
        crc32c = counted.most_common(1)[0][0]
        return ChunkDone(opened.chunk_id, opened.version, wanted, crc32c)

    async def _ask(self, opened: OpenFile, node_id: str) -> tuple[int, int, bool] | str | None:
        """(version, length, finished) of what *node_id* has; None: nothing; text: no answer."""
        try:
            peer = self._connect(node_id, self._listen_of(node_id))
            return await wire_chunks.chunk_state(peer, opened.chunk_id, ASK_TIMEOUT_MS)
        except ReplicaNotFound:
            return None
        except PydfsError as error:
            return f"{node_id}: {error}"

    async def _seal_on(
        self, opened: OpenFile, node_id: str, version: int, length: int
    ) -> int | None:
        """CRC32C of the chunk as *node_id* sealed it; None: it could not."""
        try:
            peer = self._connect(node_id, self._listen_of(node_id))
            _, crc = await wire_chunks.seal(
                peer, opened.chunk_id, min(version, opened.version - 1), opened.version, length,
                self._consensus.term, SEAL_TIMEOUT_MS,
            )  # fmt: skip
        except PydfsError as error:
            _log.warning("cannot seal", node_id=node_id, error=str(error))
            return None
        return crc
