"""Backoff with full jitter, and deadlines."""

from __future__ import annotations

import pytest

from pydfsnode.errors import DeadlineExceeded
from pydfsnode.runtime.clock import ManualClock, SystemClock
from pydfsnode.runtime.retry import (
    BUDGET_MAX,
    BUDGET_PER_S,
    BUDGET_RATIO,
    Backoff,
    Deadline,
    RetryBudget,
)


def test_delays_double_up_to_the_ceiling() -> None:
    backoff = Backoff(10, 100, lambda: 0.999999)
    assert [backoff.next_ms() for _ in range(6)] == [9, 19, 39, 79, 99, 99]


def test_jitter_is_full() -> None:
    assert Backoff(100, 1000, lambda: 0.0).next_ms() == 0
    assert Backoff(100, 1000, lambda: 0.5).next_ms() == 50


def test_a_servers_wish_is_the_least() -> None:
    backoff = Backoff(100, 1000, lambda: 0.5)
    assert backoff.next_ms(at_least_ms=300) == 350


def test_success_begins_anew() -> None:
    backoff = Backoff(10, 1000, lambda: 0.5)
    for _ in range(5):
        backoff.next_ms()
    backoff.reset()
    assert backoff.next_ms() == 5


def test_very_many_attempts_stay_at_the_ceiling() -> None:
    backoff = Backoff(10, 1000, lambda: 0.5)
    assert [backoff.next_ms() for _ in range(1000)][-1] == 500


def test_a_deadline_runs_out() -> None:
    clock = ManualClock(1000)
    deadline = Deadline.after(clock, 50)
    clock.advance(49)
    assert deadline.remaining_ms() == 1
    deadline.check("stat /a")
    clock.advance(1)
    assert deadline.passed
    with pytest.raises(DeadlineExceeded, match="stat /a"):
        deadline.check("stat /a")
    clock.advance(100)
    assert deadline.remaining_ms() == 0


def test_the_systems_clocks_are_in_milliseconds() -> None:
    clock = SystemClock()
    first = clock.monotonic_ms()
    assert clock.monotonic_ms() >= first
    assert 1_600_000_000_000 < clock.wall_ms() < 10_000_000_000_000


def test_a_budget_is_spent_and_comes_back_with_time() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    assert sum(budget.take() for _ in range(1000)) == BUDGET_MAX
    assert not budget.is_full
    clock.advance(1000)
    assert sum(budget.take() for _ in range(1000)) == BUDGET_PER_S


def test_calls_that_succeed_pay_for_retries() -> None:
    budget = RetryBudget(ManualClock())
    while budget.take():
        pass
    for _ in range(round(5 / BUDGET_RATIO) + 1):
        budget.earn()
    assert sum(budget.take() for _ in range(1000)) == 5


def test_a_budget_that_is_full_gets_no_fuller() -> None:
    clock = ManualClock()
    budget = RetryBudget(clock)
    clock.advance(100_000)
    budget.earn()
    assert budget.is_full
    assert sum(budget.take() for _ in range(1000)) == BUDGET_MAX
