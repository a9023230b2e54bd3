"""What admins see of keys, as plain values; never a key."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """A master's own data keys; see `MasterKeyState` of the schema."""

    id: str
    rotation: int
    epochs: list[int]
    kek_source: str
    kek_id: str
    phase: str
    rows_seen: int
    rows_stale: int
    rows_resealed: int
    problem: str
    forgot: int = 0
    """The order to forget keys of files that it carried out last."""


@dataclass(frozen=True, slots=True)
class ChunkserverKeys:
    """Which keys a chunkserver's chunks need; `verified_epoch`: none of before it."""

    id: str
    live: bool
    verified_epoch: int
    stale_chunks: int
    resealed_chunks: int
    key_epoch: int


@dataclass(frozen=True, slots=True)
class FileKeyState:
    """Of files with a key of their own; see the schema."""

    held: int = 0
    removed: int = 0
    waiting: int = 0
    due_ms: int = 0
    orders: int = 0
    ordered_ms: int = 0


@dataclass(frozen=True, slots=True)
class KeyState:
    """`rotation` counts the rotations: it is the newest epoch of the chunks' keys."""

    rotation: int
    chunk_key_epochs: list[int]
    masters: list[MasterKeys]
    chunkservers: list[ChunkserverKeys]
    files: FileKeyState = FileKeyState()

    @property
    def forgetting(self) -> list[str]:
        """Who may still open what belonged to deleted files, though it was told to forget it."""
        return [master.id for master in self.masters if master.forgot < self.files.orders]

    @property
    def behind(self) -> list[str]:
        """Who still seals with an older key, holds one, or did not answer."""
        found = [
            master.id
            for master in self.masters
            if master.problem or master.rotation < self.rotation or len(master.epochs) > 1
        ]
        return found + [
            server.id
            for server in self.chunkservers
            if server.live and server.verified_epoch < self.rotation
        ]
