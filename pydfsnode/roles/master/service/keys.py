"""The Keys service: rotations are ordered of the leader, and every master tells of its own keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from pydfsnode.client.key_state import MasterKeys
from pydfsnode.errors import PydfsError
from pydfsnode.meta import ops
from pydfsnode.meta.results import Done
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.capabilities import LEAD_MS
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.key_upkeep import KeyUpkeep
from pydfsnode.roles.master.own_operations import new_chunk_key
from pydfsnode.roles.master.service.admission import Admission
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server import Handlers
from pydfsnode.security.capability import LONG_LIFE_MS

_log = get_logger("roles.master.keys")

SERVICE = "/pydfs.v1.Keys/"
OWN_KEYS = SERVICE + "OwnKeys"
ASK_TIMEOUT_MS = 3_000
KEK_TIMEOUT_MS = 100_000
"""A command that wraps keys may take its time."""
CHUNK_KEYS_KEPT_MS = LEAD_MS + LONG_LIFE_MS + 600_000
"""Capabilities that the older key signed have ended by then, give or take clocks."""

AskMaster = Callable[[str, str, Any, int], Awaitable[Any]]
"""(node id, path, request, timeout in ms) to the answer; raises PydfsError."""


class KeysService:
    """Handlers of a master.

    Args of the constructor:
        others: the ids of the other masters.
        ask: asks one of them.
        forget_keys_after_ms: see the configuration.
    """

    def __init__(
        self, consensus: Consensus, callers: Callers, own: KeyUpkeep, fleet: Fleet,
        others: Callable[[], list[str]], ask: AskMaster, forget_keys_after_ms: int = 0,
    ) -> None:  # fmt: skip
        self._forget_keys_after_ms = forget_keys_after_ms
        self._consensus = consensus
        self._admission = Admission(consensus, callers)
        self._own = own
        self._fleet = fleet
        self._others = others
        self._ask = ask

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {
            SERVICE + "Rotate": self.rotate,
            SERVICE + "RotateKek": self.rotate_kek,
            SERVICE + "State": self.state,
            OWN_KEYS: self.own_keys,
        }

    async def rotate(
        self, request: pb.RotateKeysRequest, call: CallContext
    ) -> pb.RotateKeysResponse:
        """A new epoch for chunks; each master takes it as the order for a data key of its own."""
        head = self._admission.head(request.op, call)
        await self._consensus.read()
        administration = self._consensus.namespace.tree.administration
        epoch, key = administration.chunk_key_epoch + 1, new_chunk_key()
        await self._admission.propose(ops.AddChunkKey(*head, epoch, key), Done)
        _tell("rotated", call, rotation=administration.chunk_key_epoch)
        return pb.RotateKeysResponse(keys=await self._state())

    async def rotate_kek(
        self, request: pb.RotateKekRequest, call: CallContext
    ) -> pb.RotateKekResponse:
        """Who could not is named in the answer; it has its old KEK still."""
        await self._consensus.read()
        _tell("KEK rotation ordered", call)
        return pb.RotateKekResponse(keys=await self._state(rotate_kek=True))

    async def state(self, request: pb.KeyStateRequest, call: CallContext) -> pb.KeyStateResponse:
        """Everything `keys status` prints."""
        await self._consensus.read()
        return await self._state()

    async def own_keys(self, request: pb.OwnKeysRequest, call: CallContext) -> pb.OwnKeysResponse:
        """For the leader: how this master's keys stand, after another KEK if that is wanted."""
        if request.rotate_kek:
            await self._own.rotate_kek()
        return pb.OwnKeysResponse(keys=_message(self._own.state()))

    async def _state(self, rotate_kek: bool = False) -> pb.KeyStateResponse:
        administration = self._consensus.namespace.tree.administration
        request = pb.OwnKeysRequest(rotate_kek=rotate_kek)
        masters = await asyncio.gather(
            self._of_own(rotate_kek), *(self._of(name, request) for name in self._others())
        )
        return pb.KeyStateResponse(
            rotation=administration.chunk_key_epoch,
            chunk_key_epochs=sorted(administration.chunk_keys),
            masters=sorted(masters, key=lambda master: master.id),
            chunkservers=[
                pb.ChunkserverKeyState(
                    id=server.node_id, live=server.state == "live",
                    sealing=pb.ChunkSealState(**server.load.sealing._asdict()),
                )
                for server in self._fleet.chunkservers()
            ],
            files=self._files(),
        )  # fmt: skip

    def _files(self) -> pb.FileKeyState:
        file_keys = self._consensus.namespace.tree.file_keys
        held, told = len(file_keys.keys.rows), file_keys.forgetting
        return pb.FileKeyState(
            held=held,
            removed=told.removed,
            waiting=told.waiting,
            due_ms=told.since_ms + self._forget_keys_after_ms if told.since_ms else 0,
            orders=told.orders,
            ordered_ms=told.ordered_ms,
        )

    async def _of_own(self, rotate_kek: bool) -> pb.MasterKeyState:
        problem = ""
        try:
            if rotate_kek:
                await self._own.rotate_kek()
        except PydfsError as error:
            problem = error.message
        found = _message(self._own.state())
        found.problem = problem or found.problem
        return found

    async def _of(self, name: str, request: pb.OwnKeysRequest) -> pb.MasterKeyState:
        timeout_ms = KEK_TIMEOUT_MS if request.rotate_kek else ASK_TIMEOUT_MS
        try:
            answer = await self._ask(name, OWN_KEYS, request, timeout_ms)
            assert isinstance(answer, pb.OwnKeysResponse)
            return answer.keys
        except PydfsError as error:
            return pb.MasterKeyState(id=name, problem=error.message)


def _message(own: MasterKeys) -> pb.MasterKeyState:
    return pb.MasterKeyState(**asdict(own))


def droppable_below(chunk_keys: Mapping[int, int], fleet: Fleet, wall_ms: int, keep_ms: int) -> int:
    """Keys of chunks before this epoch are needed by nobody; 0: that cannot be said.

    Every chunkserver must live, have looked and found nothing older; and every chunk must have all
    its replicas, so that none lies with a chunkserver that this master has never heard of.

    Args:
        chunk_keys: when each was made, by epoch.
        wall_ms: the time, in ms since 1970.
        keep_ms: for so long after a key was made the older ones are kept for what they signed.
    """
    newest = max(chunk_keys, default=0)
    if len(chunk_keys) < 2 or fleet.warming_up:
        return 0
    servers = fleet.chunkservers()
    if fleet.under_replicated or fleet.missing or any(s.state != "live" for s in servers):
        return 0
    verified = [server.load.sealing.verified_epoch for server in servers]
    below = min(verified, default=0)
    if below < newest:  # between two rotations: what the slowest has left behind
        below = max((epoch for epoch in chunk_keys if epoch <= below), default=0)
    if below <= min(chunk_keys) or wall_ms - chunk_keys[below] < keep_ms:
        return 0
    return below


def _tell(what: str, call: CallContext, **more: object) -> None:
    """Log an event of keys with who asked."""
    _log.info(
        "keys", what=what, by=call.identity.uri, peer=call.peer, request_id=call.request_id,
        **more,
    )  # fmt: skip
