"""Lets `pytest bench/micro` collect bench_*.py without an option."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    patterns = parent.config.getini("python_files")
    if any(fnmatch(file_path.name, pattern) for pattern in patterns):
        return None  # pytest collects it itself, by -o python_files='bench_*.py'
    if not fnmatch(file_path.name, "bench_*.py"):
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
    return module
