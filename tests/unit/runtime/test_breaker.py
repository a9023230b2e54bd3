"""CircuitBreaker: when nobody asks, who is the probe, and what its outcome does."""

from __future__ import annotations

import pytest

from pydfsnode.runtime.breaker import (
    FAILURES_MAX,
    OPEN_MS,
    OPEN_MS_MAX,
    BreakerState,
    CircuitBreaker,
)
from pydfsnode.runtime.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(clock, lambda: 0.0)


def state(breaker: CircuitBreaker) -> str:
    """As a plain text: mypy believes that a property stays what it was."""
    return str(breaker.state)


def fail(breaker: CircuitBreaker, times: int = FAILURES_MAX) -> None:
    for _ in range(times):
        assert breaker.allows()
        breaker.failed("refused")


def test_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_MAX - 1)
    assert state(breaker) == BreakerState.CLOSED
    fail(breaker, 1)
    assert state(breaker) == BreakerState.OPEN
    assert not breaker.allows()
    assert breaker.last_failure == "refused"


def test_a_success_between_failures_keeps_it_closed(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES_MAX - 1)
    breaker.succeeded()
    fail(breaker, FAILURES_MAX - 1)
    assert state(breaker) == BreakerState.CLOSED


def test_half_open_it_lets_one_probe_through(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker)
    clock.advance(breaker.retry_in_ms())
    assert state(breaker) == BreakerState.HALF_OPEN
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert state(breaker) == BreakerState.CLOSED
    assert breaker.failures == 0


def test_a_probe_that_was_given_up_leaves_its_place(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    clock.advance(OPEN_MS)
    assert breaker.allows()
    breaker.given_up()
    assert breaker.allows()


def test_it_stays_open_for_longer_each_time_up_to_a_limit(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    waits = [breaker.retry_in_ms()]
    for _ in range(6):
        clock.advance(breaker.retry_in_ms())
        fail(breaker, 1)
        waits.append(breaker.retry_in_ms())
    assert waits[:3] == [OPEN_MS // 2, OPEN_MS, 2 * OPEN_MS]
    assert waits[-1] == OPEN_MS_MAX // 2, "from the half of the limit up, by chance"


def test_failures_of_calls_that_were_under_way_do_not_keep_it_open(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker)
    left_ms = breaker.retry_in_ms()
    for _ in range(100):
        breaker.failed("lost")
    assert breaker.retry_in_ms() == left_ms
