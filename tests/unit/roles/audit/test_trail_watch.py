"""A trail that cannot be written is said in the log once, however long it lasts."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.roles.audit import trail_watch
from pydfsnode.roles.audit.trail_watch import TrailWatch

FULL = "/a: No space left on device"


class Said:
    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []

    def error(self, event: str, *, why: str) -> None:
        self.lines.append(("error", why))

    def info(self, event: str, **_: Any) -> None:
        self.lines.append(("info",))


def test_it_says_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said()
    monkeypatch.setattr(trail_watch, "_log", said)
    problems = ["", FULL, FULL, FULL, "/a: Input/output error", "", ""]
    watch = TrailWatch(lambda: problems.pop(0))
    while problems:
        watch.look()
    assert said.lines == [("error", FULL), ("error", "/a: Input/output error"), ("info",)]
