"""Gives out what chunkservers want to see before they let a client touch a chunk.

Any master that may answer a question about a file may give it out: the keys are in the state.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from pydfsnode.meta.ops import AddChunkKey
from pydfsnode.meta.results import Done
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.own_operations import head_of_one, new_chunk_key
from pydfsnode.security.capability import DAY_MS, LIFE_MS, Capability, day_mac, sign

LEAD_MS = 60_000
"""A new key is used when chunkservers have had this time to hear of it."""

KEPT_MS = 1000
"""For so long a key is used without a look at whether there is a newer one."""

Grant = Callable[[int, int, int], bytes]
"""(chunk id, version, operations) to a token."""


class Capabilities:
    """Of one master. Args of the constructor: wall_ms: the time, in ms since 1970."""

    def __init__(self, namespace: Namespace, wall_ms: Callable[[], int]) -> None:
        self._namespace = namespace
        self._wall_ms = wall_ms
        self._kept: tuple[int, int, blake2b] = (0, 0, blake2b())
        self._kept_until_ms = 0

    def for_user(self, user: str, life_ms: int = LIFE_MS) -> Grant:
        """What makes tokens for *user* now; empty ones while there is no key."""
        now_ms = self._wall_ms()
        epoch, day, mac = self._kept if now_ms < self._kept_until_ms else self._renewed(now_ms)
        expires_ms = now_ms + life_ms

        def grant(chunk_id: int, version: int, operations: int) -> bytes:
            if not epoch:
                return b""
            return sign(
                Capability(chunk_id, version, operations, user, expires_ms), mac, epoch, day
            )

        return grant

    async def have_key(self, consensus: Consensus) -> None:
        """Make the first key if a leader's upkeep has not done so yet: one of the two counts.

        Raises:
            ClusterError: as `Consensus.propose`.
        """
        if not self._namespace.tree.administration.chunk_key_epoch:
            op = AddChunkKey(*head_of_one(self._wall_ms()), 1, new_chunk_key())
            await consensus.propose(op, Done)

    def _renewed(self, now_ms: int) -> tuple[int, int, blake2b]:
        """(epoch, day, MAC) to sign with now; the epoch is 0 while there is no key."""
        administration = self._namespace.tree.administration
        epoch = administration.key_epoch_for_signing(now_ms - LEAD_MS)
        day = now_ms // DAY_MS
        chunk_key = administration.chunk_key(epoch)
        if chunk_key is None:
            return 0, day, blake2b()
        self._kept = epoch, day, day_mac(chunk_key, day)
        self._kept_until_ms = min(now_ms + KEPT_MS, (day + 1) * DAY_MS)
        return self._kept
