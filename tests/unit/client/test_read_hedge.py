"""Hedging: when a second replica is asked, how often at most, and what is counted."""

from __future__ import annotations

import random

import pytest

from pydfsnode.client.read_hedge import (
    DELAY_MS_MAX,
    DELAY_MS_MIN,
    EXTRA_SHARE,
    SAVED_AT_START,
    SAVED_MAX,
    WINDOW_READS,
    WINDOW_READS_MIN,
    FirstPacketTimes,
    Hedging,
)
from pydfsnode.client.replica_choice import SMALL_BYTES


def test_the_wait_is_what_95_percent_did_not_exceed() -> None:
    times = FirstPacketTimes()
    values = [float(ms) for ms in range(1, 129)]
    random.Random(1).shuffle(values)
    for value in values:
        times.add(value)
    assert times.delay_ms == 121.0


def test_until_enough_was_seen_the_wait_is_long() -> None:
    times = FirstPacketTimes()
    for _ in range(WINDOW_READS_MIN - 1):
        times.add(20.0)
    assert times.delay_ms == DELAY_MS_MAX
    times.add(20.0)
    assert times.delay_ms == 20.0


@pytest.mark.parametrize(("took_ms", "delay_ms"), [(0.1, DELAY_MS_MIN), (9e9, DELAY_MS_MAX)])
def test_the_wait_has_bounds(took_ms: float, delay_ms: float) -> None:
    times = FirstPacketTimes()
    for _ in range(WINDOW_READS):
        times.add(took_ms)
    assert times.delay_ms == delay_ms


def test_the_wait_follows_what_happens_now() -> None:
    times = FirstPacketTimes()
    for took_ms in (100.0, 10.0):
        for _ in range(WINDOW_READS):
            times.add(took_ms)
    assert times.delay_ms == 10.0


def test_small_and_large_reads_have_waits_of_their_own() -> None:
    hedging = Hedging()
    for _ in range(WINDOW_READS):
        hedging.answered(SMALL_BYTES, 6.0)
        hedging.answered(SMALL_BYTES + 1, 60.0)
    assert hedging.delay_s(1) == 0.006
    assert hedging.delay_s(1 << 20) == 0.060


def test_a_slow_cluster_gets_few_second_requests() -> None:
    hedging = Hedging()
    for _ in range(1000):
        hedging.began()
        hedging.take()
    counts = hedging.counts
    assert counts.reads == 1000
    assert counts.hedged <= SAVED_AT_START + EXTRA_SHARE * 1000
    assert counts.hedged >= 0.9 * EXTRA_SHARE * 1000
    assert counts.hedged + counts.refused == 1000


def test_what_was_not_needed_is_saved_up_to_a_bound() -> None:
    hedging = Hedging()
    for _ in range(10_000):
        hedging.began()
    assert sum(hedging.take() for _ in range(100)) == SAVED_MAX
