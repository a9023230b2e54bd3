"""Signs this node's audit trail now and then, in the trail itself and for all masters to keep."""

from __future__ import annotations

import asyncio

import msgspec

from pydfsnode.errors import PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.rpc.audit_calls import Ask, record_checkpoint
from pydfsnode.runtime.clock import Clock
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import make_checkpoint
from pydfsnode.security.audit.record import What
from pydfsnode.security.audit.trail import Trail
from pydfsnode.security.tls import TlsStore

LOOK_S = 1.0
_log = get_logger("roles.audit")


class Checkpointing:
    """`run` until cancelled.

    Args of the constructor:
        ask: how the leading master is asked.
        records, seconds: either being exceeded makes a checkpoint due.
    """

    def __init__(
        self, trail: Trail, tls: TlsStore, ask: Ask, clock: Clock, records: int, seconds: float
    ) -> None:
        self._trail = trail
        self._tls = tls
        self._ask = ask
        self._clock = clock
        self._records = records
        self._period_ms = seconds * 1000
        self._signed_seq = 0
        self._signed_ms = clock.monotonic_ms() - self._period_ms
        self._unsent: Checkpoint | None = None

    async def run(self) -> None:
        """Look once a second whether one is due."""
        while True:
            await self.step()
            await asyncio.sleep(LOOK_S)

    async def step(self) -> None:
        """Make one if it is due; send what the masters have not taken yet."""
        added = self._trail.position.seq - self._signed_seq
        late = self._clock.monotonic_ms() - self._signed_ms >= self._period_ms
        if added >= self._records or (added > 0 and late):
            self._sign()
        if self._unsent is not None:
            try:
                await record_checkpoint(self._ask, self._unsent)
            except PydfsError as error:
                _log.debug("checkpoint waits", why=error.message)
            else:
                self._unsent = None

    def _sign(self) -> None:
        """The record of a checkpoint is the one after that which it signs."""
        trail, tls = self._trail, self._tls
        self._unsent = signed = make_checkpoint(
            tls.identity, trail.position, self._clock.wall_ms(), tls.key_pem, tls.cert_pem
        )
        trail.tell(What("checkpoint", detail=msgspec.json.encode(signed).decode()))
        self._signed_seq = trail.position.seq
        self._signed_ms = self._clock.monotonic_ms()
