"""Reads a range of one chunk, going on with another replica wherever one fails."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence

from pydfsnode._fast import crc32c_combine
from pydfsnode.client import wire_chunks
from pydfsnode.client.first_answer import Answer, FirstAnswer
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.client.read_hedge import Hedging
from pydfsnode.client.replica_choice import NowMs, ReplicaChoice, fine_ms
from pydfsnode.client.replica_reading import ReplicaReading
from pydfsnode.client.wire_chunks import Connect
from pydfsnode.errors import (
    CapabilityRefused,
    ChunkUnavailable,
    CorruptionError,
    InvalidArgument,
    PydfsError,
)

ELSEWHERE_MS_MIN, ELSEWHERE_MS = 1_500, 3_000  # limits.py candidate
"""A server that stops is left after this time, at any packet, while there are other replicas: the
shorter one where first packets come soon, as reads of late have shown."""
ELSEWHERE_DELAYS = 10
"""So many times what is usual is no slow server any more."""

OnBad = Callable[[int, str, str], None]
"""(chunk id, node id, reason): a replica whose bytes failed their checksum."""


def read_chunk(
    location: ChunkLocation,
    offset: int,
    length: int,
    connect: Connect,
    on_bad: OnBad | None = None,
    stall_ms: int = wire_chunks.STALL_MS,
) -> AsyncGenerator[memoryview, None]:
    """As `ChunkReader.read`, from the first of `location.replicas` that can."""
    reader = ChunkReader(connect, ReplicaChoice(), Hedging(enabled=False), on_bad, stall_ms)
    return reader.read(location, offset, length, location.replicas)


class ChunkReader:
    """How one client reads chunks."""

    def __init__(
        self,
        connect: Connect,
        choice: ReplicaChoice,
        hedging: Hedging,
        on_bad: OnBad | None = None,
        stall_ms: int = wire_chunks.STALL_MS,
        now_ms: NowMs = fine_ms,
    ) -> None:
        """Args:
        choice: is told how each server does.
        hedging: when a second replica is asked.
        stall_ms: the last server to be asked has failed when it sends nothing for so long.
        """
        self._connect = connect
        self._choice = choice
        self._hedging = hedging
        self._on_bad = on_bad
        self._stall_ms = stall_ms
        self._now_ms = now_ms

    async def read(
        self,
        location: ChunkLocation,
        offset: int,
        length: int,
        replicas: Sequence[Replica],
        timeout_ms: int | None = None,
    ) -> AsyncGenerator[memoryview, None]:
        """Verified bytes of [offset, offset + length) of a chunk, in packets, from the first of
        *replicas* that has them (INV-SUM). A chunk that is read whole is checked against the
        checksum that the masters know (0: they do not) before its last packet is given out.

        Args:
            timeout_ms: so long the caller waits for each packet, however many replicas are asked
                for it; None: until all have failed.

        Raises:
            ChunkUnavailable: all replicas failed, or the time is over; the message says why.
            CapabilityRefused: that of *location* has expired: ask the masters for another.
            CorruptionError: the packets are good, but together they are not the chunk of the
                masters.
            InvalidArgument: the range is not inside the chunk.
        """
        end = offset + length
        if offset < 0 or length < 0 or end > location.length:
            raise InvalidArgument(
                f"chunk {location.chunk_id}: bytes {offset}..{end} are not inside its "
                f"{location.length}"
            )
        whole = _WholeChunk(location) if (offset, end) == (0, location.length) else None
        self._hedging.began()
        attempts = _Attempts(location, replicas, self._on_bad)
        patience_ms = math.inf if timeout_ms is None else timeout_ms
        until_ms = self._now_ms() + patience_ms
        while offset < end and attempts.left and (left_ms := until_ms - self._now_ms()) > 0:
            answer = await self._first_answer(attempts, offset, end, left_ms, timeout_ms)
            if answer is None:
                continue
            reading, view, crc = answer
            try:
                while True:
                    if whole is not None:
                        whole.add(offset, len(view), crc, reading.replica)
                    offset += len(view)
                    yield view
                    if offset == end:
                        return
                    until_ms = self._now_ms() + patience_ms
                    view, crc = await reading.next(offset, end)
            except (PydfsError, TimeoutError) as error:
                attempts.failed(reading, error)
                if whole is not None and whole.is_wrong and offset:
                    raise
            finally:
                await reading.close()
        if offset < end:
            raise attempts.unavailable(offset)

    async def _first_answer(
        self, attempts: _Attempts, offset: int, end: int, left_ms: float, timeout_ms: int | None
    ) -> Answer | None:
        def reading() -> ReplicaReading:
            replica = attempts.left.popleft()
            stall_ms: float = self._stall_ms
            if attempts.left:
                usual_ms = self._hedging.delay_s(end - offset) * 1000
                stall_ms = min(
                    stall_ms, ELSEWHERE_MS, max(ELSEWHERE_MS_MIN, ELSEWHERE_DELAYS * usual_ms)
                )
            return ReplicaReading(
                attempts.location, replica, self._choice.record(replica), self._connect,
                min(stall_ms, left_ms), self._now_ms, timeout_ms,
            )  # fmt: skip

        primary = reading()
        hedging = self._hedging if attempts.left and self._hedging.enabled else None
        return await FirstAnswer(offset, end, attempts.failed, hedging).wait(primary, reading)


class _Attempts:
    """The replicas of one read: those not asked yet, and what the others said."""

    def __init__(
        self, location: ChunkLocation, replicas: Sequence[Replica], on_bad: OnBad | None
    ) -> None:
        self.location = location
        self.left = deque(replicas)
        self._on_bad = on_bad
        self._said: list[str] = []
        self._refused: CapabilityRefused | None = None

    def failed(self, reading: ReplicaReading, error: Exception) -> None:
        """Remember what became of *reading*, and report bad bytes."""
        node_id = reading.replica.node_id
        if isinstance(error, CapabilityRefused):  # it did well, and the others would say the same
            self._refused = error
            self.left.clear()
            return
        reading.record.failed()
        if isinstance(error, CorruptionError) and self._on_bad is not None:
            self._on_bad(self.location.chunk_id, node_id, str(error))
        self._said.append(f"{node_id}: {str(error) or 'no answer in time'}")

    def unavailable(self, offset: int) -> ChunkUnavailable | CapabilityRefused:
        """What the caller is told."""
        if self._refused is not None:
            return self._refused
        return ChunkUnavailable(
            f"chunk {self.location.chunk_id}: no replica could be read from byte {offset} on: "
            + ("; ".join(self._said) or "the masters know none"),
            chunk_id=self.location.chunk_id,
        )


class _WholeChunk:
    """The checksum of a chunk that is read from its first byte to its last."""

    def __init__(self, location: ChunkLocation) -> None:
        self._location = location
        self._crc = 0
        self.is_wrong = False

    def add(self, offset: int, size: int, crc: int, replica: Replica) -> None:
        """Count a packet; raises CorruptionError when it is the last and the sum is another."""
        if offset == 0:
            self._crc, self.is_wrong = 0, False
        self._crc = crc32c_combine(self._crc, crc, size)
        expected = self._location.crc32c
        is_last = offset + size == self._location.length
        if is_last and expected and self._crc != expected:
            self.is_wrong = True
            raise CorruptionError(
                f"chunk {self._location.chunk_id} from {replica.node_id}: crc32c {self._crc:08x}, "
                f"the masters know {expected:08x}",
                chunk_id=self._location.chunk_id,
            )
