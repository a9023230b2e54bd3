"""A real cluster in a temporary directory: processes of the executable, certificates and all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydfsnode.client.sync import FileSystem

REPOSITORY = Path(__file__).parents[2]
COMMAND_SECONDS_MAX = 120
WAIT_SECONDS_MAX = 60


class Cluster:
    """`dev up` and the commands of the executable against it. A context manager."""

    def __init__(self, directory: Path, masters: int = 3, chunkservers: int = 3) -> None:
        self.directory = directory
        self._size = ["--masters", str(masters), "--chunkservers", str(chunkservers)]
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "PYDFSNODE_CONFIG": str(directory / "client.toml"),
        }

    def __enter__(self) -> Cluster:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.command("dev", "down", "--grace", "5", "--dir", self.directory)

    def command(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the executable to its end, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "pydfsnode", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX,
        )  # fmt: skip

    def run(self, *arguments: object) -> str:
        """Run the executable; its standard output. Fails the test unless it exits with 0."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}: {done.stderr}"
        return done.stdout

    def json(self, *arguments: object) -> Any:
        """`run` with --json: what it prints, read."""
        return json.loads(self.run(*arguments, "--json"))

    def config_of(self, user: str, authority: Path | None = None) -> Path:
        """The client configuration of a user without rights, certified by the CA in *authority*."""
        out = self.directory / "users" / user
        ca = authority or self.directory / "certs"
        self.run("certs", "issue", "--dir", ca, "--role", "user", "--name", user, "--out", out)
        head = (self.directory / "client.toml").read_text().partition("[tls]")[0]
        files = {"ca": "ca.crt", "cert": f"{user}.crt", "key": f"{user}.key"}
        lines = [f'{key} = "{out / name}"\n' for key, name in files.items()]
        config = out / "client.toml"
        config.write_text("".join((head, "[tls]\n", *lines)))
        return config

    def up(self) -> None:
        """Start whatever does not run."""
        self.run("dev", "up", "--dir", self.directory, *self._size)

    def connect(self) -> FileSystem:
        """A client of this cluster."""
        return FileSystem.connect(self.directory / "client.toml")

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What `dev status` says of each node, by id."""
        found = json.loads(self.run("dev", "status", "--json", "--dir", self.directory))
        return {node["id"]: node for node in found["nodes"]}

    def status(self) -> dict[str, Any]:
        """What `cluster status` says."""
        status: dict[str, Any] = json.loads(self.run("cluster", "status", "--json"))
        return status

    def leader(self) -> str:
        """The id of the leading master."""
        return str(self.status()["leader"])

    def kill(self, *node_ids: str) -> None:
        """kill -9, and wait until they are gone."""
        nodes = self.nodes()
        for node_id in node_ids:
            os.kill(nodes[node_id]["pid"], signal.SIGKILL)
        wait_until(
            f"{node_ids} are gone",
            lambda: not any(self.nodes()[node_id]["alive"] for node_id in node_ids),
        )

    def signal(self, node_id: str, number: signal.Signals) -> None:
        """Send a signal to a node."""
        os.kill(self.nodes()[node_id]["pid"], number)

    def data_dir(self, node_id: str) -> Path:
        """Where a node's data is."""
        return self.directory / "nodes" / node_id / "data"

    def log(self, node_id: str) -> str:
        """What a node has logged, in whole lines: it may be writing another one."""
        logged = (self.directory / "nodes" / node_id / "log" / "node.log").read_bytes()
        return logged[: logged.rfind(b"\n") + 1].decode()


def wait_until(what: str, holds: Callable[[], bool], seconds: float = WAIT_SECONDS_MAX) -> None:
    """Look until `holds()`; fail the test when it does not within *seconds*."""
    deadline = time.monotonic() + seconds
    pause = _Pause()
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain until {what}"
        pause()


class _Pause:
    """A tenth of a second that nothing can wake."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def __call__(self) -> None:
        import select

        select.select([self._reader], [], [], 0.1)

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)
