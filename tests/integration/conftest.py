"""What of these tests can run here."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

NEED_ROOT = ["test_data_disks.py"]
"""They mount file systems."""

ERRORS_SHOWN = 10
"""Of each node."""

collect_ignore = [] if os.geteuid() == 0 else NEED_ROOT


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three masters and a chunkserver more than there are replicas: one of each may be away.

    Of tests that want another one the module has its own.
    """
    with Cluster(tmp_path / "dev", masters=3, chunkservers=4) as cluster:
        yield cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails says what its nodes logged as errors: their directories are soon gone."""
    report = yield
    if report.failed:
        made: pytest.TempPathFactory = item.config._tmp_path_factory  # type: ignore[attr-defined]
        for log in sorted(made.getbasetemp().rglob("node.log")):
            if log.stat().st_mtime >= call.start:
                errors = [
                    line
                    for line in log.read_text().splitlines()
                    if '"error"' in line or line[:1] != "{"
                ]
                report.sections.append((str(log), "\n".join(errors[-ERRORS_SHOWN:])))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    if collect_ignore:
        terminalreporter.write_line(f"not run, as they need root: {', '.join(collect_ignore)}")
