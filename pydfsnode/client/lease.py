"""Tells the masters now and then that this client goes on writing, while it has files open.

Every mutation tells them too; this is for writers that are quiet for long. A file whose client was
not heard of for a minute may be taken over by others (meta/leases.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from pydfsnode.errors import PydfsError

RENEW_S = 20.0
"""A third of the time after which others may take over: one renewal may be late or lost."""


class LeaseKeeper:
    """One background task while any file is held, none else.

    Args of the constructor:
        renew: asks the masters.
        sleep: as asyncio's.
    """

    def __init__(
        self,
        renew: Callable[[], Awaitable[object]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._renew = renew
        self._sleep = sleep
        self._held = 0
        self._task: asyncio.Task[None] | None = None

    def hold(self) -> None:
        """A file is open from now on; `release` it."""
        self._held += 1
        if self._task is None:
            # In no request's scope: it goes on after the one that began it.
            self._task = asyncio.get_running_loop().create_task(self._keep(), context=Context())

    def release(self) -> None:
        """One file less is open."""
        self._held -= 1
        if not self._held:
            self._end()

    async def close(self) -> None:
        """End the task; files that are still open are not kept any more."""
        task = self._end()
        if task is not None:
            await asyncio.wait([task])

    def _end(self) -> asyncio.Task[None] | None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def _keep(self) -> None:
        while True:
            await self._sleep(RENEW_S)
            try:
                await self._renew()
            except PydfsError:
                continue  # the writers hear of what is wrong by themselves; the next one may do
