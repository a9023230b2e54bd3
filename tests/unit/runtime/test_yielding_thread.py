"""Work that yields: in a thread of lower priority, with its result and its failure."""

from __future__ import annotations

import os
import threading

import pytest

from pydfsnode.runtime.yielding_thread import NICENESS, run_yielding


def priority() -> tuple[int, int]:
    """Of the running thread: its id and its niceness."""
    thread = threading.get_native_id()
    return thread, os.getpriority(os.PRIO_PROCESS, thread)


def test_it_runs_in_another_thread_with_lower_priority_and_leaves_ours() -> None:
    own, own_niceness = priority()
    other, niceness = run_yielding(priority)
    assert other != own
    assert niceness == max(NICENESS, own_niceness)
    assert priority() == (own, own_niceness)


def test_what_it_raises_reaches_the_caller() -> None:
    def fail() -> None:
        raise ValueError("as it was raised")

    with pytest.raises(ValueError, match="as it was raised"):
        run_yielding(fail)
