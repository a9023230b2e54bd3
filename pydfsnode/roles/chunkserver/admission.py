"""Who may touch a chunk here: whoever shows a capability for it (see security/capability.py).

Looked at once, when a call begins; a stream that is open goes on whatever becomes of it. Masters
make capabilities and need none. Chunkservers and gateways hand on those of the users that they
work for; users and admins can use only their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydfsnode.errors import CapabilityRefused, KeyUnavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.chunkserver.auditing import ChunkAuditing
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import CHUNKSERVER, GATEWAY, MASTER
from pydfsnode.runtime.clock import Clock
from pydfsnode.security.capability import Operation, refused, require, verify
from pydfsnode.security.chunk_keys import ChunkKeys

BEARERS = frozenset({CHUNKSERVER, GATEWAY})

_log = get_logger("chunkserver.admission")


class ChunkAdmission:
    """Args of the constructor:
    keys: as the masters handed them over.
    await_keys: returns when there are some; raises KeyUnavailable when that takes too long.
    auditing: is told of each decision.
    """

    def __init__(
        self, keys: ChunkKeys, clock: Clock, await_keys: Callable[[], Awaitable[None]],
        auditing: ChunkAuditing,
    ) -> None:  # fmt: skip
        self._keys = keys
        self._clock = clock
        self._await_keys = await_keys
        self._auditing = auditing

    async def require(
        self, call: CallContext, token: bytes, chunk_id: int, version: int, operation: Operation
    ) -> None:
        """Return if the caller may do *operation* on a chunk; *version* 0: on any of them.

        Raises:
            CapabilityRefused: it may not. Counted, logged and recorded.
            KeyUnavailable: this server cannot tell yet.
            Unavailable: it could not be recorded, and must be.
        """
        auditing = self._auditing
        auditing.admit(operation)
        if call.identity.role == MASTER:
            auditing.allowed(call, chunk_id, version, operation, "")
            return
        if not self._keys.epoch:
            await self._await_keys()
        try:
            user = self._check(call, token, chunk_id, version, operation)
        except (CapabilityRefused, KeyUnavailable) as error:
            reason = str(error.fields.get("reason", "key"))
            metrics().counter("chunk_refused_capabilities_total", reason).inc()
            # Not the token: until it expires it would be worth something.
            _log.warning(
                "refused a capability", reason=reason, identity=call.identity.uri, peer=call.peer,
                method=call.method.path, chunk_id=chunk_id, version=version,
            )  # fmt: skip
            auditing.refused(call, chunk_id, version, operation, error, reason)
            error.message = f"chunk {chunk_id}: {error.message}"
            raise
        auditing.allowed(call, chunk_id, version, operation, user)

    def _check(
        self, call: CallContext, token: bytes, chunk_id: int, version: int, operation: Operation
    ) -> str:
        """Whom the caller works for, "" when for itself."""
        now_ms = self._clock.wall_ms()
        capability = verify(token, self._keys.key, now_ms)
        identity = call.identity
        if identity.role not in BEARERS and capability.user != identity.name:
            raise refused("user", "the capability is somebody else's")
        require(capability, chunk_id, version, operation, now_ms)
        return capability.user if identity.role in BEARERS else ""
