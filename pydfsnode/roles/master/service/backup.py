"""Cluster.Backup: a master writes its state, sealed, to an operator's file.

Any master does it, a follower best: then the leader has nothing to do with it. What was
acknowledged before the call is in the backup.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from pydfsnode import limits
from pydfsnode.config import NodeConfig
from pydfsnode.errors import Overloaded, PydfsError, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.store import MasterStore
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers, ServerStream
from pydfsnode.runtime.backup_stream import BackupStream
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.security.backup_key import BackupCipher, BackupKek
from pydfsnode.storage.backup_format import FORMAT, BackupEncoder, BackupHead, encode_head
from pydfsnode.storage.state_view import StateView

PATH = "/pydfs.v1.Cluster/Backup"
BACKUPS_MAX = 1
"""Running at once on one master: each holds disk space, and a second one gains nobody anything."""
RETRY_AFTER_MS = 5_000
STATE_WRITTEN_S = 10.0
"""For the state table to hold what is applied."""
LOOK_S = 0.02
SEND_S = 60.0
"""For the caller to make room for one piece: a view must not stay open for one who is gone."""
PIECE_BYTES = 256 * limits.KIB

_log = get_logger("roles.master.backup")


class BackupService:
    """Serves Cluster.Backup, on every master."""

    def __init__(
        self,
        driver: RaftDriver,
        store: MasterStore,
        config: NodeConfig,
        cluster_id: str,
        clock: Clock,
    ) -> None:
        self._driver = driver
        self._store = store
        self._config = config
        self._cluster_id = cluster_id
        self._clock = clock
        self._running = 0

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {PATH: self.backup}

    async def backup(
        self, request: pb.BackupRequest, call: CallContext, stream: ServerStream
    ) -> None:
        """The bytes of a backup.

        Raises:
            Overloaded: one is being written here already.
            Unavailable: this master has no state, or is not up to date and cannot become so.
            NotLeader: no leader is known, so nobody can tell what is up to date.
        """
        with self._told(call), self._slot():
            await self._up_to_date()
            kek = BackupKek(self._store.keyring.wrapping)
            view = self._store.log.open_view()
            try:
                made = BackupStream(
                    view, self._encoder(view, kek), self._clock, self._config.snapshot.bytes_per_s
                )
                async with aclosing(made.pieces()) as pieces:
                    async for piece in pieces:
                        await _send(stream, piece)
            finally:
                view.close()
            _log.info("backup written", index=view.index, rows=made.row_count)

    def _encoder(self, view: StateView, kek: BackupKek) -> BackupEncoder:
        head = BackupHead(
            FORMAT,
            self._cluster_id,
            self._config.node_id,
            view.index,
            view.index_term,
            self._clock.wall_ms(),
            kek.kek_id,
            kek.wrapped,
        )
        key, wrapped = kek.new_key(head.wrap_aad())
        encoded = encode_head(head.with_key(wrapped))
        return BackupEncoder(encoded, BackupCipher(key, hashlib.sha256(encoded).digest()))

    async def _up_to_date(self) -> None:
        """Return when the state on this disk holds all that was acknowledged before the call."""
        await self._driver.read_barrier()
        wanted = self._driver.status().applied_index
        if not wanted:
            raise Unavailable("this master has no state yet: take the backup from another one")
        for _ in range(int(STATE_WRITTEN_S / LOOK_S)):
            if self._store.log.state_index >= wanted:
                return
            await asyncio.sleep(LOOK_S)
        raise Unavailable(
            f"this master has not written its state for {STATE_WRITTEN_S:g} s: take the backup "
            "from another one"
        )

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._running >= BACKUPS_MAX:
            raise Overloaded(
                "a backup is being written by this master already: wait for it, or take this one "
                "from another master",
                retry_after_ms=RETRY_AFTER_MS,
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    @contextmanager
    def _told(self, call: CallContext) -> Iterator[None]:
        """Log who wanted it and count what became of it."""
        told = {"by": call.identity.uri, "peer": call.peer, "request_id": call.request_id}
        _log.info("backup: asked", **told)
        result = "failed"
        try:
            yield
            result = "ok"
        except PydfsError as error:
            _log.warning("backup: refused or broken off", **told, why=error.message)
            raise
        finally:
            metrics().counter("backups_total", result).inc()


async def _send(stream: ServerStream, piece: bytes) -> None:
    """*piece* in packets of a size that one connection can pass on without delaying others."""
    for start in range(0, len(piece), PIECE_BYTES):
        try:
            async with asyncio.timeout(SEND_S):
                await stream.send(piece[start : start + PIECE_BYTES])
        except TimeoutError:
            raise Unavailable(f"the caller took nothing of the backup for {SEND_S:g} s") from None
