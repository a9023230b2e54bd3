"""Whether new chunks are sealed at rest here, and the keys for it: as the masters tell.

The keys are asked for as soon as a heartbeat's answer names an epoch that is not known, and are
held in memory only. Until a leader was heard nothing is written, as it may have to be sealed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from pydfsnode.errors import KeyUnavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.security.chunk_keys import ChunkKeys

SEAL_DEFAULT, SEAL_ON, SEAL_OFF, SEAL_FILE = 0, 1, 2, 3
"""As `SealChoice` of the schema."""
WAIT_S = 5.0
"""How long a write waits for the first word of a leader."""

_log = get_logger("chunkserver.sealing")


class Word(NamedTuple):
    """What a master's answer to a heartbeat says of sealing."""

    is_leader: bool
    key_epoch: int
    """The newest that it knows; 0: none."""
    seal_chunks: bool
    """Of a leader: chunks without a choice of their own are sealed."""
    oldest_key_epoch: int = 0
    """Older ones it destroyed; 0: it does not say."""


FetchKeys = Callable[[], Awaitable[Mapping[int, bytes]]]
"""Asks the same master for its keys, by epoch."""


class Sealing:
    """Make it inside the loop."""

    def __init__(self, keys: ChunkKeys) -> None:
        """*keys* are those of the store."""
        self.keys = keys
        self.by_default: bool | None = None
        """Whether chunks without a choice of their own are sealed; None: no leader said so yet."""
        self._news = asyncio.Event()

    async def heard(self, word: Word, fetch: FetchKeys) -> None:
        """A master answered a heartbeat.

        Raises:
            PydfsError: it names a new key and does not give it.
        """
        # Of an older state than ours nothing is learned: its newest key would seal.
        is_less = word.key_epoch == self.keys.epoch and word.oldest_key_epoch > self.keys.oldest
        if word.key_epoch > self.keys.epoch or is_less:
            self.keys.learn(await fetch())
            _log.info("chunk keys learned", epochs=self.keys.epochs)
        if word.is_leader:
            self.by_default = word.seal_chunks
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def await_keys(self) -> None:
        """Return when there is a key.

        Raises:
            KeyUnavailable: no master gave one in time.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                while not self.keys.epoch:
                    await self._news.wait()
        except TimeoutError:
            raise KeyUnavailable(
                "this chunkserver has no key to check capabilities with: no master gave it one "
                f"within {WAIT_S:.0f} s; see that it reaches the masters"
            ) from None

    async def is_sealed(self, choice: int) -> bool:
        """Whether a new chunk is to be sealed that its master gave *choice*, a `SealChoice`.

        Raises:
            KeyUnavailable: no leader told it in time, or gave no key.
        """
        decided = self._decide(choice)
        if decided is not None:
            return decided
        try:
            async with asyncio.timeout(WAIT_S):
                while (decided := self._decide(choice)) is None:
                    await self._news.wait()
        except TimeoutError:
            raise KeyUnavailable(
                "this chunkserver has no key to seal chunks with: no leading master gave it one "
                f"within {WAIT_S:.0f} s; see that it reaches the masters"
            ) from None
        return decided

    async def form(self, chunk_id: int, choice: int) -> tuple[bool, bool]:
        """How a new chunk is to lie: (sealed, with the key of its file too), which then is here.

        Raises:
            KeyUnavailable: as `is_sealed`; or the masters do not give the key of its file.
        """
        is_sealed, is_keyed = await self.is_sealed(choice), choice == SEAL_FILE
        if is_keyed:
            await self.keys.files.have(chunk_id)
        return is_sealed, is_keyed

    def _decide(self, choice: int) -> bool | None:
        is_chosen = choice in (SEAL_ON, SEAL_FILE)
        if choice == SEAL_OFF or (not is_chosen and self.by_default is False):
            return False
        if not is_chosen and self.by_default is None:
            return None
        return True if self.keys.epoch else None
