"""When a master that has just begun may order copies and deletions."""

from __future__ import annotations

from pydfsnode.fleet.bounds import WARM_UP_MS
from pydfsnode.fleet.safe_mode import SETTLE_MS, StartSafeMode


def test_almost_all_chunks_reported_ends_it_after_the_time_to_report() -> None:
    mode = StartSafeMode(0)
    mode.observe(WARM_UP_MS - 1, wanted=1000, missing=0, live=3, complete=3)
    assert mode.is_on
    mode.observe(WARM_UP_MS, wanted=1000, missing=1, live=3, complete=2)
    assert not mode.is_on
    assert mode.status().reason == ""


def test_missing_chunks_keep_it_on_until_all_servers_have_told_all_for_a_while() -> None:
    mode = StartSafeMode(0)
    mode.observe(WARM_UP_MS, wanted=1000, missing=2, live=3, complete=2)
    assert "998 of 1,000 chunks are reported; 1 chunkservers are still" in mode.status().reason
    mode.observe(20_000, wanted=1000, missing=2, live=3, complete=3)
    assert "waits for the chunkservers that hold the others" in mode.status().reason
    mode.observe(20_000 + SETTLE_MS - 1, wanted=1000, missing=2, live=3, complete=3)
    assert mode.is_on
    mode.observe(20_000 + SETTLE_MS, wanted=1000, missing=2, live=3, complete=3)
    assert not mode.is_on


def test_a_server_that_comes_late_begins_the_time_anew() -> None:
    mode = StartSafeMode(0)
    mode.observe(0, wanted=1000, missing=500, live=1, complete=1)
    mode.observe(SETTLE_MS - 1, wanted=1000, missing=500, live=2, complete=1)
    mode.observe(SETTLE_MS, wanted=1000, missing=200, live=2, complete=2)
    mode.observe(SETTLE_MS + 1, wanted=1000, missing=200, live=2, complete=2)
    assert mode.is_on
    mode.observe(2 * SETTLE_MS, wanted=1000, missing=200, live=2, complete=2)
    assert not mode.is_on


def test_without_servers_it_stays_on_and_without_chunks_it_ends() -> None:
    mode = StartSafeMode(0)
    mode.observe(1_000_000, wanted=5, missing=5, live=0, complete=0)
    assert mode.is_on
    empty = StartSafeMode(0)
    empty.observe(WARM_UP_MS, wanted=0, missing=0, live=0, complete=0)
    assert not empty.is_on


def test_once_over_it_does_not_come_back_and_an_operator_can_end_it() -> None:
    mode = StartSafeMode(0)
    mode.leave()
    mode.observe(1, wanted=1000, missing=1000, live=0, complete=0)
    assert not mode.is_on
