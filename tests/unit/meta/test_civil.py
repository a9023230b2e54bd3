"""Time stamps in names, held against the standard library's calendar."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from pydfsnode.meta.civil import parse_stamp, stamp

LAST_MS = int(datetime(2068, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000


def test_stamps_are_those_of_the_calendar() -> None:
    rng = random.Random(7)
    times = [0, LAST_MS, *(rng.randrange(LAST_MS) for _ in range(3000))]
    for year in range(1970, 2069):
        for month, day in ((2, 28), (3, 1), (12, 31), (1, 1)):
            times.append(int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000)
    for at_ms in times:
        written = stamp(at_ms)
        assert written == datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%y%m%d%H%M%S")
        assert parse_stamp(written) == at_ms // 1000 * 1000


def test_what_cannot_be_written_is_the_nearest_that_can() -> None:
    assert stamp(-1) == stamp(0) == "700101000000"
    assert stamp(LAST_MS + 1000) == stamp(2**62) == "681231235959"


@pytest.mark.parametrize(
    "text",
    ["", "Current", "26010100000", "2601010000000", "261301000000", "260001000000", "260230000000",
     "250229000000", "260100000000", "260132000000", "260101240000", "260101006000",
     "260101000060", "26010100000x", "690101000000",
     "２６０１０１００００００"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_stamp(text) is None


def test_a_leap_day_is_a_day() -> None:
    assert parse_stamp("240229000000") == int(datetime(2024, 2, 29, tzinfo=UTC).timestamp()) * 1000
