"""The loop's time in slices, one client after the other: for work that may come in heaps.

Work that is done in one go as soon as it may be, however much of it there is, holds up everybody
else's. So it asks now and then whether its slice is over, and waits for its client's next turn.
While others call, a client that wants turn after turn rests after each, by what it took: the
processors have time for the others, also between turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pydfsnode.runtime.clock import stopwatch_s

SLICE_S = 0.0005
"""What a turn may take before it ends: less than the round trip of a small call."""


REST_S_MIN, REST_S_MAX = 0.0003, 0.005
"""Of a rest: shorter ones are not worth a timer."""
SHARED_S = 0.1
"""How long after calls of two clients in turn there are others."""

_Queue = deque[asyncio.Future[None]]


class Turns:
    """See the module. All turns of one loop must be taken from the same object."""

    def __init__(self, stopwatch_s: Callable[[], float] = stopwatch_s) -> None:
        self._time = stopwatch_s
        self._queues: dict[str, _Queue] = {}
        self._until_s = 0.0
        self._is_planned = False
        self._turn_of = ""
        self._turn_began_s = 0.0
        self._resting: tuple[str, _Queue] | None = None
        self._caller = ""
        self._shared_until_s = 0.0

    def note(self, client: str) -> None:
        """*client* calls, whether or not it needs turns: it is known then if there are several."""
        if client != self._caller:
            if self._caller:
                self._shared_until_s = self._time() + SHARED_S
            self._caller = client

    @property
    def is_over(self) -> bool:
        """Whether the running slice is used up: then `await next(client)`."""
        if self._is_planned:
            return self._time() >= self._until_s
        self._begin(asyncio.get_running_loop())
        return False

    async def next(self, client: str) -> None:
        """Wait for the next turn of *client*: at the earliest in the loop's next round."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        if self._resting is not None and self._resting[0] == client:
            self._resting[1].append(turn)
        else:
            self._queues.setdefault(client, deque()).append(turn)
            if not self._is_planned:
                self._begin(loop)
        await turn
        self._until_s = self._time() + SLICE_S

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._until_s = self._time() + SLICE_S
        self._is_planned = True
        loop.call_soon(self._advance, loop)

    def _advance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once in each round of the loop while anybody has or wants a turn."""
        queues = self._queues
        if self._turn_of:
            self._rest(loop)
        while queues:
            client = next(iter(queues))
            queue = queues.pop(client)
            turn = queue.popleft()
            if queue:
                queues[client] = queue  # behind the others
            if not turn.done():
                self._turn_of, self._turn_began_s = client, self._time()
                turn.set_result(None)
                loop.call_soon(self._advance, loop)  # after whom it woke
                return
        self._is_planned = False

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let whose turn has ended rest, if it wants more and others call."""
        client, self._turn_of = self._turn_of, ""
        if self._resting is not None or client not in self._queues:
            return
        now_s = self._time()
        rest_s = now_s - self._turn_began_s
        if rest_s >= REST_S_MIN and now_s < self._shared_until_s:
            self._resting = client, self._queues.pop(client)
            loop.call_later(min(rest_s, REST_S_MAX), self._end_rest, loop)

    def _end_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._resting is not None:
            client, queue = self._resting
            self._resting = None
            self._queues[client] = queue
            if not self._is_planned:
                self._begin(loop)
