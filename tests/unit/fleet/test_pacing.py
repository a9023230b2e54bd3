"""Rates."""

from __future__ import annotations

import pytest

from pydfsnode.fleet.pacing import BURST_MS, Pace


def test_no_rate_is_no_limit() -> None:
    pace = Pace(0)
    for _ in range(10):
        pace.begin(1 << 40, 0)
        assert pace.may_begin(0)


@pytest.mark.parametrize("size", [10, 700, 5000])
def test_in_the_long_run_the_rate_is_kept_and_used(size: int) -> None:
    pace, moved = Pace(1000), 0
    for now_ms in range(0, 100_000, 500):
        while pace.may_begin(now_ms):
            pace.begin(size, now_ms)
            moved += size
    assert 99_000 <= moved <= 100_000 + 1000 * BURST_MS // 1000 + size


def test_what_was_not_used_is_made_up_for_once() -> None:
    pace = Pace(1000)
    pace.begin(1, 0)
    begun = 0
    while pace.may_begin(3_600_000):
        pace.begin(100, 3_600_000)
        begun += 100
    assert begun == BURST_MS


def test_what_is_larger_than_a_burst_is_moved_and_followed_by_a_pause() -> None:
    pace = Pace(1000)
    pace.begin(10_000, 0)
    assert not pace.may_begin(7_999)
    assert pace.may_begin(8_001)
