"""Operations that wait for the log, by client: each has its turn, however many another one sends.

A client alone gets groups as large as it can fill. With others about, groups stay small enough that
one that comes next waits for a few milliseconds of their work, not for all that was sent before;
and who has far more waiting than goes into a group rests between two (`flood_rest`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pydfsnode.runtime.clock import stopwatch_s
from pydfsnode.runtime.flood_rest import BETWEEN_GROUPS_S_MAX, FloodRest

SHARED_ENTRIES_MAX = 32
"""Of a group while several clients send: what the next one waits for."""
IN_LOG_ENTRIES_MAX = 512
"""Of those in the log and not applied: they are first, whoever comes."""
SHARED_IN_LOG_ENTRIES_MAX = 48
"""The same while several clients send."""
FLOOD_ENTRIES = 64
"""Who has more than this waiting, while others send, floods."""
RECENT_TAKES = 64
"""A client counts as sending for so many groups after its last operation."""


Waiting = tuple[bytes, int, asyncio.Future[object]]
"""An operation as its entry will carry it, that entry's kind, and who waits for the outcome."""


class FairQueue:
    """See the module; first in, first out for each client."""

    def __init__(self, stopwatch_s: Callable[[], float] = stopwatch_s) -> None:
        self._time = stopwatch_s
        self._flood_rest = FloodRest()
        self.rest_s = 0.0
        """After `take`: in how long more will be given, if all that waits rests; 0: nobody does."""
        self._queues: dict[int, deque[Waiting]] = {}
        self._recent: dict[int, int] = {}
        self._takes = 0
        self._count = 0
        self.queued_bytes = 0

    def __len__(self) -> int:
        return self._count

    def put(self, client: int, waiting: Waiting) -> None:
        """Queue *waiting* behind what *client* sent before."""
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = deque()
            self._recent[client] = self._takes
        queue.append(waiting)
        self._count += 1
        self.queued_bytes += len(waiting[0])

    def count_of(self, client: int) -> int:
        """How many of *client* wait."""
        return len(self._queues.get(client, ()))

    def take(self, bytes_max: int, in_log: int = 0) -> list[Waiting]:
        """The next group: an equal share of each client's.

        At least one if there is any, unless too many of those taken before, *in_log*, still wait
        to be applied: what comes next must not wait for all of them.
        """
        self.rest_s = 0.0
        if not self._is_shared():
            return self._take(IN_LOG_ENTRIES_MAX - in_log, bytes_max)
        entries_max = min(SHARED_ENTRIES_MAX, SHARED_IN_LOG_ENTRIES_MAX - in_log)
        resting = self._set_floods_aside(in_log) if entries_max > 0 else {}
        taken = self._take(entries_max, bytes_max)
        self._queues.update(resting)
        return taken

    def _set_floods_aside(self, in_log: int) -> dict[int, deque[Waiting]]:
        """Take the queues of those that flood out, unless their rest is over."""
        queues = self._queues
        floods = [client for client, queue in queues.items() if len(queue) > FLOOD_ENTRIES]
        if not floods:
            return {}
        now_s = self._time()
        self.rest_s = self._flood_rest.remaining_s(now_s, in_log)
        if self.rest_s:
            return {client: queues.pop(client) for client in floods}
        self._flood_rest.taken(now_s)
        self.rest_s = BETWEEN_GROUPS_S_MAX
        return {}

    def _take(self, entries_max: int, bytes_max: int) -> list[Waiting]:
        if entries_max <= 0:
            return []
        self._takes += 1
        queues, taken, size = self._queues, list[Waiting](), 0
        while queues and len(taken) < entries_max:
            share = max(1, (entries_max - len(taken)) // len(queues))
            for client in list(queues)[: entries_max - len(taken)]:
                queue = queues.pop(client)
                for _ in range(min(share, len(queue))):
                    if taken and size + len(queue[0][0]) > bytes_max:
                        queues[client] = queue
                        self._took(taken, size)
                        return taken
                    waiting = queue.popleft()
                    size += len(waiting[0])
                    taken.append(waiting)
                if queue:
                    queues[client] = queue  # behind the others
                self._recent[client] = self._takes
        self._took(taken, size)
        return taken

    def _took(self, taken: list[Waiting], size: int) -> None:
        self._count -= len(taken)
        self.queued_bytes -= size

    def _is_shared(self) -> bool:
        recent = self._recent
        if len(recent) > 1:
            oldest = self._takes - RECENT_TAKES
            for client in [c for c, at in recent.items() if at < oldest and c not in self._queues]:
                del recent[client]
        return len(recent) > 1

    def clear(self) -> list[Waiting]:
        """Take out everything."""
        everything = [waiting for queue in self._queues.values() for waiting in queue]
        self._queues.clear()
        self._count = self.queued_bytes = 0
        return everything
