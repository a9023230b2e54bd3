"""What of these tests can run here."""

from __future__ import annotations

import importlib.util

import pytest

NEED_ATHERIS = ["test_guided.py"]
"""There is an atheris for Linux on x86-64, and not for the newest Python."""

collect_ignore = [] if importlib.util.find_spec("atheris") is not None else NEED_ATHERIS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    if collect_ignore:
        terminalreporter.write_line(f"not run, as they need atheris: {', '.join(collect_ignore)}")
