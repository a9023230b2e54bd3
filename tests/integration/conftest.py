"""What of these tests can run here."""

from __future__ import annotations

import os

import pytest

NEED_ROOT = ["test_data_disks.py"]
"""They mount file systems."""

collect_ignore = [] if os.geteuid() == 0 else NEED_ROOT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    if collect_ignore:
        terminalreporter.write_line(f"not run, as they need root: {', '.join(collect_ignore)}")
