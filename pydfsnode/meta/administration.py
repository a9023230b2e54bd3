"""What operators decided about the fleet, replicated: it survives a failover and a restart.

In which administrative state each chunkserver is, and what the cluster as a whole is told to do:
to take no changes (safe mode), to even out its chunkservers (balance); what chunks are sealed with.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from pydfsnode.meta.tables import AnyTable, Table

TABLE_DUTY = 27
"""Chunkservers that are not simply in service, by a number of their own."""
TABLE_MODE = 28
"""What the cluster is told to do, by the keys below."""
SAFE_MODE, BALANCE = 1, 2
TABLE_CHUNK_KEY = 37
"""What chunkservers seal chunks with, by epoch."""

DutyState = Literal["decommissioning", "decommissioned", "maintenance"]
IN_SERVICE = "in service"
DECOMMISSIONING: DutyState = "decommissioning"
DECOMMISSIONED: DutyState = "decommissioned"
MAINTENANCE: DutyState = "maintenance"


class Duty(msgspec.Struct, frozen=True, array_like=True):
    """A chunkserver that an operator took out of service; `until_ms` ends a maintenance, else 0."""

    node_id: str
    state: DutyState
    until_ms: int
    since_ms: int
    user: str


class Mode(msgspec.Struct, frozen=True, array_like=True):
    """Since when and by whom; of a balance also how even, in parts per million, and how fast."""

    since_ms: int
    user: str
    threshold_ppm: int = 0
    bytes_per_s: int = 0


class ChunkKey(msgspec.Struct, frozen=True, array_like=True):
    """A key of an epoch; a secret: it is never shown."""

    key: bytes
    made_ms: int

    def __repr__(self) -> str:
        return f"ChunkKey(made_ms={self.made_ms})"


class Administration:
    """Part of `Tree`; change through its methods only."""

    def __init__(self) -> None:
        self._duties: Table[Duty] = Table(TABLE_DUTY, Duty)
        self._modes: Table[Mode] = Table(TABLE_MODE, Mode)
        self._chunk_keys: Table[ChunkKey] = Table(TABLE_CHUNK_KEY, ChunkKey)

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Every table of it."""
        return (self._duties, self._modes, self._chunk_keys)

    @property
    def duties(self) -> dict[str, Duty]:
        """Who is not in service, by name."""
        return {duty.node_id: duty for duty in self._duties.rows.values()}

    def mode(self, key: int) -> Mode | None:
        """SAFE_MODE or BALANCE, None while it is off."""
        return self._modes.rows.get(key)

    @property
    def chunk_keys(self) -> dict[int, bytes]:
        """Every key that chunks may be sealed with, by epoch."""
        return {epoch: row.key for epoch, row in self._chunk_keys.rows.items()}

    @property
    def chunk_key_epoch(self) -> int:
        """What new chunks are sealed with; 0: there is no key yet."""
        return max(self._chunk_keys.rows, default=0)

    def chunk_key(self, epoch: int) -> bytes | None:
        """The key of *epoch*, None: there is none."""
        row = self._chunk_keys.rows.get(epoch)
        return None if row is None else row.key

    def key_epoch_for_signing(self, known_since_ms: int) -> int:
        """The newest epoch whose key was made before *known_since_ms*, else the oldest; 0: none."""
        rows = self._chunk_keys.rows
        known = [epoch for epoch, row in rows.items() if row.made_ms <= known_since_ms]
        return max(known, default=min(rows, default=0))

    @property
    def oldest_chunk_key_epoch(self) -> int:
        """Older ones were destroyed; 0: there is no key yet."""
        return min(self._chunk_keys.rows, default=0)

    @property
    def chunk_keys_made_ms(self) -> dict[int, int]:
        """When each key was made, by epoch."""
        return {epoch: row.made_ms for epoch, row in self._chunk_keys.rows.items()}

    def add_chunk_key(self, epoch: int, key: ChunkKey) -> None:
        """Seal new chunks with *key* from now on."""
        self._chunk_keys.put(epoch, key)

    def drop_chunk_keys(self, below: int) -> None:
        """Forget the keys of epochs before *below*; the newest stays."""
        newest = self.chunk_key_epoch
        for epoch in sorted(self._chunk_keys.rows):
            if epoch < min(below, newest):
                self._chunk_keys.drop(epoch)

    @property
    def is_read_only(self) -> bool:
        """Whether the namespace takes no changes."""
        return SAFE_MODE in self._modes.rows

    def set_duty(self, node_id: str, duty: Duty | None) -> None:
        """What *node_id* is from now on; None: in service."""

        def is_its(held: Duty) -> bool:
            return held.node_id == node_id

        if duty is not None:
            self._duties.replace(is_its, duty)
        else:
            self._duties.drop(self._duties.find(is_its))

    def set_mode(self, key: int, mode: Mode | None) -> None:
        """Turn SAFE_MODE or BALANCE on, or off by None."""
        if mode is None:
            self._modes.drop(key)
        else:
            self._modes.put(key, mode)
