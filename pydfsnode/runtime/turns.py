"""The loop's time in slices, one client after the other: for work that may come in heaps.

Work that is done in one go as soon as it may be, however much of it there is, holds up everybody
else's. So it asks now and then whether its slice is over, and waits for its client's next turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from pydfsnode.runtime.clock import stopwatch_s

SLICE_S = 0.0005
"""What a turn may take before it ends: less than the round trip of a small call."""


class Turns:
    """See the module. All turns of one loop must be taken from the same object."""

    def __init__(self, stopwatch_s: Callable[[], float] = stopwatch_s) -> None:
        self._time = stopwatch_s
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._until_s = 0.0
        self._is_planned = False

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
        queue = self._queues.get(client)
        if queue is None:
            queue = self._queues[client] = deque()
        queue.append(turn)
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
        while queues:
            client = next(iter(queues))
            queue = queues.pop(client)
            turn = queue.popleft()
            if queue:
                queues[client] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                loop.call_soon(self._advance, loop)  # after whom it woke
                return
        self._is_planned = False
