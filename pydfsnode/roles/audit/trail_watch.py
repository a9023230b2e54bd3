"""The log says why a node's audit trail cannot be written, once, and when it can be again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydfsnode.obs.log import get_logger

LOOK_S = 1.0
_log = get_logger("roles.audit")


class TrailWatch:
    """`run` until cancelled.

    Args of the constructor:
        problem: why the trail cannot be written, "" when it can.
    """

    def __init__(self, problem: Callable[[], str]) -> None:
        self._problem = problem
        self._said = ""

    async def run(self) -> None:
        """Look once a second."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Say what is new."""
        problem = self._problem()
        if problem and problem != self._said:
            _log.error("audit trail cannot be written", why=problem)
        elif self._said and not problem:
            _log.info("audit trail is written again")
        self._said = problem
