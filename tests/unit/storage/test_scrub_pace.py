"""A round of the scrubber ends in time, evenly, and out of the way of others. Virtual time."""

from pathlib import Path

import pytest

from pydfsnode.limits import MIB
from pydfsnode.storage.scrub_cursor import FILE_NAME, ScrubCursor, load_cursor, save_cursor
from pydfsnode.storage.scrub_pace import (
    DAY_MS,
    PAUSE_MS_MAX,
    RATE_BYTES_PER_S_MAX,
    ScrubPace,
)

PERIOD_MS = 14 * DAY_MS


def _run(pace: ScrubPace, now_ms: int, done: int, total: int, step: int, busy: bool) -> int:
    """When everything is read."""
    while done < total:
        done += step
        just_read, is_busy = step, busy
        while pause_ms := pace.pause_ms(now_ms, done, just_read, is_busy):
            now_ms += pause_ms
            just_read, is_busy = 0, False
    return now_ms


@pytest.mark.parametrize("total", [1, 100 * MIB, 20_000 * MIB])
@pytest.mark.parametrize("busy", [False, True])
def test_a_round_ends_within_the_period_and_is_spread_over_it(total: int, busy: bool) -> None:
    pace = ScrubPace(PERIOD_MS, 1000, total)
    ended_ms = _run(pace, 1000, 0, total, max(1, total // 1000), busy)
    assert PERIOD_MS // 2 < ended_ms - 1000 < PERIOD_MS


def test_others_are_waited_for_until_the_round_is_late() -> None:
    pace = ScrubPace(PERIOD_MS, 0, 1000 * MIB)
    on_time = pace.planned_ms // 2
    assert pace.pause_ms(on_time, 500 * MIB, MIB, is_busy=True) >= 100
    assert pace.pause_ms(on_time, 500 * MIB, MIB, is_busy=False) < 100
    assert pace.is_late(on_time, 400 * MIB)
    assert pace.pause_ms(on_time, 400 * MIB, MIB, is_busy=True) < 100


def test_a_late_round_hurries_within_a_bound() -> None:
    pace = ScrubPace(PERIOD_MS, 0, 10_000 * MIB)
    began_ms = PERIOD_MS - 600_000
    ended_ms = _run(pace, began_ms, 0, 10_000 * MIB, 4 * MIB, True)
    assert ended_ms < PERIOD_MS
    assert 10_000 * MIB * 1000 // (ended_ms - began_ms) <= RATE_BYTES_PER_S_MAX * 1.02


def test_a_pause_is_bounded_so_that_changes_are_noticed() -> None:
    pace = ScrubPace(PERIOD_MS, 0, 100)
    assert pace.pause_ms(0, 50, 50, False) == PAUSE_MS_MAX


def test_the_cursor_survives_damage_and_a_clock_set_back(tmp_path: Path) -> None:
    assert load_cursor(tmp_path, 10) == ScrubCursor()
    kept = ScrubCursor(began_ms=5, verified_up_to=77, done_bytes=1000, rounds=2, ended_ms=3)
    save_cursor(tmp_path, kept)
    assert load_cursor(tmp_path, 10) == kept
    assert load_cursor(tmp_path, 2).began_ms == 2
    for damage in (b"", b"{", b'{"began_ms": "x"}', b"\xff\x00", b'{"other": 1}'):
        (tmp_path / FILE_NAME).write_bytes(damage)
        assert load_cursor(tmp_path, 10) == ScrubCursor()
