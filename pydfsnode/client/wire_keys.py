"""Keys: what admins order and ask, on plain values."""

from __future__ import annotations

from typing import Any

from pydfsnode.client.key_state import ChunkserverKeys, FileKeyState, KeyState, MasterKeys
from pydfsnode.client.wire_asking import Asking, Router
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

_KEYS = "/pydfs.v1.Keys/"


class KeyCalls:
    """One method for every RPC; errors as of `MasterCalls`."""

    def __init__(self, router: Router, asking: Asking) -> None:
        self._router = router
        self._asking = asking

    async def state(self) -> KeyState:
        """Who has which keys, and what is being sealed anew."""
        return _state(await self._ask("State", pb.KeyStateRequest()))

    async def rotate(self) -> KeyState:
        """A new key for every master's data and for chunks, from now on."""
        path = _KEYS + "Rotate"
        encoded = pb.RotateKeysRequest().SerializeToString()
        return _state((await self._asking.change(path, encoded, rpc_of(path).parse_response)).keys)

    async def rotate_kek(self) -> KeyState:
        """Another key-encryption key on every master; who could not says so in `problem`."""
        return _state((await self._ask("RotateKek", pb.RotateKekRequest())).keys)

    async def _ask(self, name: str, request: Any) -> Any:
        path = _KEYS + name
        encoded = request.SerializeToString()
        answer = await self._router.call(path, encoded, timeout_ms=self._asking.timeout_ms)
        return rpc_of(path).parse_response(answer)


def _state(answer: Any) -> KeyState:
    return KeyState(
        answer.rotation,
        list(answer.chunk_key_epochs),
        [
            MasterKeys(
                m.id, m.rotation, list(m.epochs), m.kek_source, m.kek_id, m.phase, m.rows_seen,
                m.rows_stale, m.rows_resealed, m.problem, m.forgot,
            )
            for m in answer.masters
        ],
        [
            ChunkserverKeys(
                s.id, s.live, s.sealing.verified_epoch, s.sealing.stale_chunks,
                s.sealing.resealed_chunks, s.sealing.key_epoch,
            )
            for s in answer.chunkservers
        ],
        FileKeyState(
            answer.files.held, answer.files.removed, answer.files.waiting, answer.files.due_ms,
            answer.files.orders, answer.files.ordered_ms,
        ),
    )  # fmt: skip
