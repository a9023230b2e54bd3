"""Percentiles of the last seconds, without a clock of its own."""

from pydfsnode.storage.chunk_latency import WINDOW_S, LatencyView, LatencyWindow


def test_percentiles_are_bounds_of_what_was_noted() -> None:
    window = LatencyWindow()
    for number in range(100):
        window.note(100.0, 0.002 if number < 98 else 0.5)
    view = window.view(101.0)
    assert view.total == 100
    assert 2_000 <= view.p50_us <= 3_000
    assert 500_000 <= view.p99_us <= 750_000


def test_what_is_older_than_two_windows_is_forgotten() -> None:
    window = LatencyWindow()
    window.note(100.0, 0.3)
    assert window.view(100.0 + WINDOW_S).total == 1
    assert window.view(100.0 + 3 * WINDOW_S) == LatencyView(0, 0, 0)
    window.note(500.0, 1000.0)
    assert window.view(500.0).p99_us > 10_000_000
