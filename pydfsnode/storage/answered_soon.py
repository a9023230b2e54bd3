"""A question to a disk that is asked in the event loop: one that hangs must not hold that up."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from pydfsnode.storage.daemon_pool import DaemonPool

WAIT_S = 0.05
"""Many times what a disk takes that works."""
FRESH_S = 0.02
"""An answer counts for so long: small chunks are begun by the thousand, each asks, and a trip to a
thread takes longer than the answer. Far less than any reserve is written in this time."""
USABLE_S = 0.1
"""For so long it is used while the next one is on its way: who begins many chunks never waits."""


class AnsweredSoon:
    """How much a disk says that it has free. Thread-safe; its thread ends with it."""

    def __init__(self, wait_s: float = WAIT_S, seconds: Callable[[], float] | None = None) -> None:
        """
        Args:
            wait_s: how long an answer is waited for; the first for as long as it takes.
            seconds: a clock that only goes forward; None: no answer counts for a while.
        """
        self._seconds = seconds
        self._answered_s = 0.0
        self._wait_s = wait_s
        self._pool = DaemonPool(1, "chunk-free-space")
        self._lock = threading.Lock()
        self._asked: Future[int] | None = None
        self._known: int | None = None
        weakref.finalize(self, self._pool.shutdown, 0)

    def measure(self, ask: Callable[[], int]) -> int:
        """What *ask* says in a thread, or what it said last when that takes too long.

        Nobody waits for a question that somebody else had to give up.

        Raises:
            OSError: what *ask* raised.
        """
        with self._lock:
            asked, known = self._asked, self._known
            age_s = math.inf
            if known is not None and self._seconds is not None:
                age_s = self._seconds() - self._answered_s
                if age_s < FRESH_S:
                    return known
            is_new = asked is None or asked.done()
            if asked is None or is_new:
                asked = self._asked = self._pool.submit(partial(self._answer, ask))
        if known is not None and (not is_new or age_s < USABLE_S):
            return known
        try:
            found = asked.result(None if known is None else self._wait_s)
        except TimeoutError:
            if known is not None and not asked.done():
                return known
            found = asked.result()
        return found

    def _answer(self, ask: Callable[[], int]) -> int:
        found = ask()
        if self._seconds is not None:
            self._answered_s = self._seconds()
        self._known = found
        return found
