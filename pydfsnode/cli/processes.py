"""Processes that outlive this one: start them, find them again, end them, and never a stranger.

A pid alone says nothing: the number may belong to another program by now. So the start time that
the kernel keeps for each process (Linux: /proc/PID/stat, field 22) is remembered and compared.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Process:
    """A process and when it began, in the kernel's ticks; 0 where the kernel does not tell."""

    pid: int
    started_ticks: int

    @property
    def alive(self) -> bool:
        """Whether it is this process that runs, and not as a zombie."""
        found = _look(self.pid)
        if found is None:
            return False
        return self.started_ticks in (0, found[1]) and found[0] not in "ZX"

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if not self.alive:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def reap(self) -> None:
        """Collect it when it was our own child and has ended: else it stays as a zombie."""
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return

    def save(self, path: Path) -> None:
        """Write it to *path*, whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"pid": self.pid, "started_ticks": self.started_ticks}))
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Process | None:
        """The process in *path*; None when there is no such file or it holds something else."""
        try:
            found = json.loads(path.read_text())
            return cls(int(found["pid"]), int(found["started_ticks"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            return None


def _look(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process; None when there is none."""
    if not Path("/proc/self/stat").exists():
        return _look_without_proc(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the command in parentheses, may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _look_without_proc(pid: int) -> tuple[str, int] | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return None  # somebody else's: not ours
    return "S", 0


def start_detached(command: Sequence[str], directory: Path, log: Path) -> Process:
    """Start *command* so that it lives on without us; its output is appended to *log*.

    Raises:
        ConfigError: it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                command,
                cwd=directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started: {error.strerror}") from None
    found = _look(child.pid)
    # Without this the interpreter warns at exit that a child still runs: it is meant to.
    child.returncode = 0
    return Process(child.pid, found[1] if found is not None else 0)


def self_command() -> list[str]:
    """How to start another process of this very program, packaged as one file or not."""
    if getattr(sys, "frozen", False):
        # Set by the launcher of the one file (build/stub); without it this is the unpacked tree.
        return [os.environ.get("PYDFSNODE_BINARY") or sys.executable]
    return [sys.executable, "-m", "pydfsnode"]


def _environment() -> dict[str, str]:
    """Ours, so that `-m pydfsnode` finds this very package from any directory."""
    found = dict(os.environ)
    package_parent = str(Path(__file__).parents[2])
    rest = found.get("PYTHONPATH")
    found["PYTHONPATH"] = f"{package_parent}{os.pathsep}{rest}" if rest else package_parent
    return found
