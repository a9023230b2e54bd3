"""The cluster as an operator has it: only subprocesses of the one executable, and kill -9."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMAND_SECONDS_MAX = 900


class DemoFailed(Exception):
    """A step did not do what the demo promises; the message says which and what was seen."""


class Executable:
    """Runs `pydfsnode` against one local cluster in *directory*."""

    def __init__(self, directory: Path, command: Sequence[str] = ()) -> None:
        """Args: command: how to start pydfsnode; by default this Python's own package."""
        self.directory = directory
        self._command = [*(command or (sys.executable, "-m", "pydfsnode"))]
        self._environment = dict(os.environ)

    def use(self, client_config: str) -> None:
        """Make `client_config` the one of all later commands, as the line that `dev up` prints."""
        self._environment["PYDFSNODE_CONFIG"] = client_config

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a command in the background; its output is kept for `finish`."""
        return subprocess.Popen(
            [*self._command, *arguments],
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run a command to its end; its standard output.

        Raises:
            DemoFailed: it did not exit with 0.
        """
        return finish(self.start(*arguments))

    def up(self) -> None:
        """`dev up`: three masters and three chunkservers serve, whatever ran before."""
        self.run("dev", "up", "--dir", str(self.directory))

    def down(self) -> None:
        """`dev down`."""
        self.run("dev", "down", "--dir", str(self.directory))

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What `dev status` says of each node, by its id."""
        text = self.run("dev", "status", "--dir", str(self.directory), "--json")
        status = json.loads(text)
        self.use(status["client_config"])
        return {node["id"]: node for node in status["nodes"]}

    def status(self) -> dict[str, Any] | None:
        """`cluster status`; None while there is no leader to ask."""
        process = self.start("cluster", "status", "--json")
        try:
            status: dict[str, Any] = json.loads(finish(process))
        except (DemoFailed, ValueError):
            return None
        return status

    def kill(self, node_id: str) -> None:
        """kill -9 of a node's own pid; returns when that process is gone."""
        self.kill_all([node_id])

    def kill_all(self, node_ids: Sequence[str]) -> None:
        """kill -9 of several nodes at once."""
        nodes = self.nodes()
        pids = [int(nodes[node_id]["pid"]) for node_id in node_ids]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until("the killed processes are gone", 30, lambda: not any(map(is_running, pids)))

    def wipe(self, node_id: str) -> None:
        """Empty a dead node's data directory: the machine that comes back is a new one."""
        data_dir = Path(self.nodes()[node_id]["data_dir"])
        for entry in data_dir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command; its standard output.

    Raises:
        DemoFailed: it did not exit with 0, or did not exit at all in COMMAND_SECONDS_MAX.
    """
    shown = " ".join(str(part) for part in process.args)  # type: ignore[union-attr]
    try:
        out, err = process.communicate(timeout=COMMAND_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise DemoFailed(f"{shown}: still running after {COMMAND_SECONDS_MAX} s") from None
    if process.returncode != 0:
        raise DemoFailed(f"{shown}: exit {process.returncode}: {err.strip() or out.strip()}")
    return out


class Feeder:
    """Standard input for a command: a first part of a file at once, the rest when told to.

    Between the two the command is in the middle of its work, however fast the machine is.
    """

    def __init__(self, path: Path, first_bytes: int) -> None:
        self._path = path
        self._first_bytes = first_bytes
        self._may_end = threading.Event()
        self.stdin, self._writer = os.pipe()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """The command has `stdin`: close it here, so that a command that ends is noticed."""
        os.close(self.stdin)

    def end(self) -> None:
        """Feed the rest."""
        self._may_end.set()

    def _feed(self) -> None:
        with (
            self._path.open("rb") as file,
            contextlib.suppress(BrokenPipeError),  # the command ended: `finish` says why
            os.fdopen(self._writer, "wb") as writer,
        ):
            writer.write(file.read(self._first_bytes))
            writer.flush()
            self._may_end.wait()
            shutil.copyfileobj(file, writer)


def is_running(pid: int) -> bool:
    """Whether *pid* is a process that is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until(what: str, seconds: float, holds: Any, every_seconds: float = 0.2) -> None:
    """Look until `holds()` is true.

    Raises:
        DemoFailed: it was not within *seconds*.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {seconds:g} s in vain until {what}")
        time.sleep(every_seconds)
