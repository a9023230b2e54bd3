"""What a process holds in memory, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path


def resident_bytes(pid: int) -> int:
    """What it holds now."""
    return _field(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that it held, since it began or `forget_peak`."""
    return _field(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak be what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024
