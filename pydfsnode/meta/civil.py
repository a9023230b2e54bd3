"""Times as people write them (UTC, 1970 to 2068), by arithmetic: the namespace has no clock."""

from __future__ import annotations

_DAY_MS = 86_400_000
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_STAMP_DIGITS = 12
_FIRST_YEAR, _LAST_YEAR = 1970, 2068
"""Two digits say which year of these it is, as in POSIX; every fourth of them is a leap year."""


def stamp(at_ms: int) -> str:
    """YYMMDDhhmmss of *at_ms*, milliseconds since 1970; the nearest that can be written."""
    days, ms = divmod(max(at_ms, 0), _DAY_MS)
    year, month = _FIRST_YEAR, 1
    while days >= _year_days(year):
        days -= _year_days(year)
        year += 1
        if year > _LAST_YEAR:
            return f"{_LAST_YEAR % 100}1231235959"
    while days >= _month_days(year, month):
        days -= _month_days(year, month)
        month += 1
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{year % 100:02}{month:02}{days + 1:02}{hours:02}{minutes:02}{seconds:02}"


def parse_stamp(text: str) -> int | None:
    """The milliseconds since 1970 that `stamp` wrote as *text*; None when it is no such time."""
    if len(text) != _STAMP_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    year, month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(0, 12, 2))
    year += 2000 if year <= _LAST_YEAR % 100 else 1900
    if year < _FIRST_YEAR or not 1 <= month <= 12 or not 1 <= day <= _month_days(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    days = sum(_year_days(before) for before in range(_FIRST_YEAR, year)) + day - 1
    days += sum(_month_days(year, before) for before in range(1, month))
    return days * _DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000


def _year_days(year: int) -> int:
    return 366 if year % 4 == 0 else 365


def _month_days(year: int, month: int) -> int:
    return 29 if month == 2 and year % 4 == 0 else _MONTH_DAYS[month - 1]
