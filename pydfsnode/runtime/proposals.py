"""Operations on their way through the log: queued, then waiting for their index to be applied."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode._fast import ENTRY_HEAD_BYTES
from pydfsnode.errors import MessageTooLarge, OutcomeUnknown, Overloaded, PydfsError
from pydfsnode.raft.types import KIND_OPERATION
from pydfsnode.runtime.answers import refuse
from pydfsnode.runtime.clock import stopwatch_s
from pydfsnode.runtime.entry_compression import COMPRESS_FROM_BYTES, pack
from pydfsnode.runtime.fair_queue import FairQueue

QUEUED_PROPOSALS_MAX = 16_384  # limits.py candidate
RESERVED_PROPOSALS_MAX = 2_048
"""Beyond it, for clients that have nearly none: those who filled the queue do not shut them out."""
RESERVED_PER_CLIENT = 4
QUEUED_BYTES_MAX = 32 * limits.MIB  # limits.py candidate
BATCH_BYTES_MAX = 4 * limits.MIB
RETRY_AFTER_MS = 50
PAYLOAD_BYTES_MAX = limits.ENTRY_BYTES_MAX - ENTRY_HEAD_BYTES

_TERM = struct.Struct("<Q")
_TERM_OFFSET = 16
_UNKNOWN = OutcomeUnknown(
    "the leader changed before the operation was confirmed; it may or may not happen: "
    "ask again with the same op id"
)

Outcome = asyncio.Future[object]


@dataclass(slots=True)
class _Group:
    """Proposals that entered the log together, from `first_index` on, in one `term`."""

    first_index: int
    term: int
    futures: list[Outcome]

    @property
    def last_index(self) -> int:
        return self.first_index + len(self.futures) - 1


class Proposals:
    """See the module. Everything runs on the loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, stopwatch_s: Callable[[], float] = stopwatch_s
    ) -> None:
        self._loop = loop
        self._queue = FairQueue(stopwatch_s)
        self._groups: deque[_Group] = deque()
        self._resolved_index = 0

    def __len__(self) -> int:
        """How many are queued and not yet in the log."""
        return len(self._queue)

    def add(self, payload: bytes, client: int = 0) -> Outcome:
        """Queue one operation of *client*; the future is its outcome.

        Raises:
            MessageTooLarge: no entry can hold it.
            Overloaded: the queue is full.
        """
        size = len(payload)
        if size > PAYLOAD_BYTES_MAX:
            raise MessageTooLarge(
                f"an operation of {size} bytes does not fit in a log entry "
                f"(at most {PAYLOAD_BYTES_MAX})"
            )
        queue = self._queue
        if not self._has_room(client, size):
            raise Overloaded(
                f"{len(queue)} operations wait for the log: try again in {RETRY_AFTER_MS} ms",
                retry_after_ms=RETRY_AFTER_MS,
            )
        future: Outcome = self._loop.create_future()
        kind, packed = pack(payload) if size >= COMPRESS_FROM_BYTES else (KIND_OPERATION, payload)
        queue.put(client, (packed, kind, future))
        return future

    def _has_room(self, client: int, size: int) -> bool:
        queue = self._queue
        if queue.queued_bytes + size > QUEUED_BYTES_MAX:
            return False
        count = len(queue)
        return count < QUEUED_PROPOSALS_MAX or (
            count < QUEUED_PROPOSALS_MAX + RESERVED_PROPOSALS_MAX
            and queue.count_of(client) < RESERVED_PER_CLIENT
        )

    def _in_log(self) -> int:
        """How many are in the log and not applied yet."""
        if not self._groups:
            return 0
        first = max(self._groups[0].first_index, self._resolved_index + 1)
        return self._groups[-1].last_index + 1 - first

    @property
    def rest_s(self) -> float:
        """After `take`: in how many seconds to try again at the latest; 0: when more comes."""
        return self._queue.rest_s

    def take(self) -> tuple[list[bytes], list[int], list[Outcome]]:
        """The next batch to enter the log, with the entries' kinds; maybe empty.

        Without those whose caller has gone.
        """
        payloads: list[bytes] = []
        kinds: list[int] = []
        futures: list[Outcome] = []
        for payload, kind, future in self._queue.take(BATCH_BYTES_MAX, self._in_log()):
            if not future.done():
                payloads.append(payload)
                kinds.append(kind)
                futures.append(future)
        return payloads, kinds, futures

    def entered(self, first_index: int, term: int, futures: list[Outcome]) -> None:
        """Note that *futures* wait for the entries from *first_index* on, of *term*."""
        self._groups.append(_Group(first_index, term, futures))

    def resolve(
        self, first_index: int, entries: Sequence[bytes], outcomes: Sequence[object]
    ) -> None:
        """Answer those whose *entries* were applied with their *outcomes*.

        An entry of another term at an index means that ours was replaced (trap I2).
        """
        last_index = self._resolved_index = first_index + len(entries) - 1
        while self._groups and self._groups[0].first_index <= last_index:
            group = self._groups[0]
            futures, term = group.futures, group.term
            for index in range(
                max(first_index, group.first_index), min(last_index, group.last_index) + 1
            ):
                future = futures[index - group.first_index]
                if future.done():
                    continue
                position = index - first_index
                if _TERM.unpack_from(entries[position], _TERM_OFFSET)[0] == term:
                    future.set_result(outcomes[position])
                else:
                    refuse([future], _UNKNOWN)
            if group.last_index > last_index:
                return
            self._groups.popleft()

    def leadership_lost(self, commit_index: int) -> None:
        """Tell all in the log above *commit_index* that their outcome is unknown.

        What is committed stays: it is answered when it is applied here.
        """
        while self._groups and self._groups[-1].last_index > commit_index:
            group = self._groups[-1]
            keep = max(0, commit_index + 1 - group.first_index)
            refuse(group.futures[keep:], _UNKNOWN)
            del group.futures[keep:]
            if group.futures:
                return
            self._groups.pop()

    def superseded(self, index: int) -> None:
        """A snapshot up to *index* took the place of entries: what became of them is unknown."""
        while self._groups and self._groups[0].first_index <= index:
            refuse(self._groups.popleft().futures, _UNKNOWN)

    def fail_queued(self, error: PydfsError) -> None:
        """Refuse all that have not entered the log: they certainly did not happen."""
        refuse([future for _, _, future in self._queue.clear()], error)

    def fail_all(self, error: PydfsError) -> None:
        """The node ends: *error* for the queued, unknown for those in the log."""
        self.fail_queued(error)
        self.leadership_lost(-1)
