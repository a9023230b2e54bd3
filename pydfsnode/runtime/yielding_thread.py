"""Long work of the CPU in a thread that the others pass: for what nobody waits for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

NICENESS = 10
"""Beside one that is busy such a thread gets about a tenth of a core (setpriority(2))."""

T = TypeVar("T")


def run_yielding(work: Callable[[], T]) -> T:
    """The result of *work*, done in a thread of its own with lower priority; what it raises.

    A thread of its own, since its priority cannot be raised again without privileges. Blocks the
    caller. Where the system has no priorities of threads, *work* runs with the usual one.
    """
    with ThreadPoolExecutor(1, "yielding", initializer=_step_back) as thread:
        return thread.submit(work).result()


def _step_back() -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
