"""Lets `pytest bench/micro` collect bench_*.py without an option, and weighs the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

CALIBRATIONS = 5


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    patterns = parent.config.getini("python_files")
    if parent.session.isinitpath(file_path) or any(
        fnmatch(file_path.name, pattern) for pattern in patterns
    ):
        return None  # pytest collects it itself: named, or by -o python_files='bench_*.py'
    if not fnmatch(file_path.name, "bench_*.py"):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module


def calibration_ns() -> int:
    """The least time of a few runs of the same work, which nothing of ours can make faster."""
    return min(_calibrate() for _ in range(CALIBRATIONS))


def _calibrate() -> int:
    began = time.perf_counter_ns()
    table = {f"name-{number}": (number, bytes(64)) for number in range(1000)}
    joined = b"".join(value for _, value in table.values())
    assert sum(number for number, _ in table.values()) + len(joined) == 563_500
    return time.perf_counter_ns() - began


@pytest.fixture(autouse=True)
def _weigh_the_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Note how fast the machine was around each figure; bench/compare.py divides by it."""
    if "benchmark" not in request.fixturenames:
        yield
        return
    benchmark: BenchmarkFixture = request.getfixturevalue("benchmark")
    before = calibration_ns()
    yield
    benchmark.extra_info["calibration_ns"] = min(before, calibration_ns())
