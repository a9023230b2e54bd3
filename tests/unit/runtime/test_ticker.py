"""The tick is steady and makes no storm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pydfsnode.runtime.ticker import Ticker


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """Time that moves on command; one timer."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.due: tuple[float, Callable[[], None], Handle] | None = None

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        self.due = (when, callback, handle)
        return handle

    def fire(self, late_s: float = 0.0) -> None:
        assert self.due is not None
        when, callback, handle = self.due
        assert not handle.cancelled
        self.now_s = max(self.now_s, when) + late_s
        callback()

    @property
    def due_s(self) -> float:
        assert self.due is not None
        return self.due[0]


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def ticks() -> list[float]:
    return []


@pytest.fixture
def ticker(loop: FakeLoop, ticks: list[float]) -> Ticker:
    ticker = Ticker(20, lambda: ticks.append(loop.now_s), loop)  # type: ignore[arg-type]
    ticker.start()
    return ticker


def test_small_delays_do_not_add_up(ticker: Ticker, loop: FakeLoop, ticks: list[float]) -> None:
    for _ in range(100):
        loop.fire(late_s=0.009)
    assert loop.due_s == pytest.approx(100 + 101 * 0.020)
    assert len(ticks) == 100


def test_missed_ticks_are_left_out(ticker: Ticker, loop: FakeLoop, ticks: list[float]) -> None:
    loop.fire(late_s=0.150)
    assert len(ticks) == 1
    assert loop.due_s > loop.now_s
    assert loop.due_s - loop.now_s <= 0.020


def test_an_overslept_process_reads_its_messages_before_it_ticks(
    ticker: Ticker, loop: FakeLoop, ticks: list[float]
) -> None:
    loop.fire(late_s=30.0)
    assert ticks == []
    assert ticker.overslept == 1
    loop.fire()
    assert len(ticks) == 1


def test_a_loop_that_is_always_late_still_ticks(
    ticker: Ticker, loop: FakeLoop, ticks: list[float]
) -> None:
    for _ in range(10):
        loop.fire(late_s=1.0)
    assert len(ticks) == 5


def test_a_stopped_ticker_does_not_fire(ticker: Ticker, loop: FakeLoop) -> None:
    ticker.stop()
    ticker.stop()
    assert loop.due is not None
    assert loop.due[2].cancelled
