"""A real cluster for tests of file data: small chunks, and servers that are missed soon."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydfsnode import limits
from pydfsnode.client.fleet import FleetState, FsckReport
from pydfsnode.client.model import ChunkserverState, ClusterStatus
from pydfsnode.client.sync import FileSystem
from tests.support.cluster import wait_until
from tests.support.raft_processes import RaftCluster

HEARTBEAT_MS = 300
DEAD_AFTER_MS = 3_000
# Chunk files and segments both get something.
_CHUNKSERVER = {"heartbeat_ms": HEARTBEAT_MS, "pack_bytes_max": 256 * limits.KIB}
_MASTER = {"dead_after_ms": DEAD_AFTER_MS, "chunk_bytes": limits.CHUNK_BYTES_MIN}
_WRONG = ("missing", "corrupt", "under_replicated", "over_replicated", "misplaced")


class DataCluster(RaftCluster):
    """Three masters and some chunkservers, watched through a client of this process.

    Args:
        settings: further lines of nodes' configurations, as {"c1": {"reserved_bytes": "1000"}}.
        environment: further variables of nodes, as {"c1": {"LD_PRELOAD": "..."}}.
    """

    def __init__(
        self,
        directory: Path,
        masters: int = 3,
        chunkservers: int = 4,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(directory, masters, chunkservers)
        self._more_environment = environment or {}
        self._client: FileSystem | None = None
        for node in self._dev.load().nodes:
            lines = _CHUNKSERVER if node.role == "chunkserver" else _MASTER
            self.configure(node.id, {**lines, **(settings or {}).get(node.id, {})})

    def configure(self, node_id: str, lines: Mapping[str, object]) -> None:
        """Put *lines* into a node's configuration, in TOML; they hold from its next start."""
        path = self.node_config(node_id)
        kept = [
            line for line in path.read_text().splitlines() if line.partition(" = ")[0] not in lines
        ]
        path.write_text("\n".join([*(f"{k} = {v}" for k, v in lines.items()), *kept, ""]))

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
        super().__exit__()

    @property
    def client(self) -> FileSystem:
        """For looking at the cluster."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def use_config(self, config: Path) -> None:
        """Look at the cluster through another client."""
        if self._client is not None:
            self._client.close()
        self._client = FileSystem.connect(config)

    # ---- processes

    def up(self) -> None:
        """Start whatever does not run, and return when it serves."""
        spec = self._dev.load()
        started = []
        for node in spec.nodes:
            with _environment(self._more_environment.get(node.id, {})):
                started += self._dev.start(spec, [node.id])
        self._dev.wait_until_serving(spec, 60.0, started)

    # ---- looking into it

    def cluster_status(self) -> ClusterStatus:
        """What the leader says."""
        return self.client.cluster_status()

    def fleet_state(self) -> FleetState:
        """What is ordered of the chunkservers."""
        return self.client.fleet_state()

    def chunkserver(self, node_id: str) -> ChunkserverState | None:
        """One chunkserver as the leader sees it."""
        servers = self.cluster_status().chunkservers
        return next((server for server in servers if server.id == node_id), None)

    def state_of(self, node_id: str) -> str:
        """ "live", "dead", or "" when the leader never heard of it."""
        found = self.chunkserver(node_id)
        return found.state if found is not None else ""

    def codes(self) -> set[str]:
        """Of the health checks that found something."""
        return {check.code for check in self.cluster_status().checks}

    def fsck(self) -> FsckReport:
        """What is wrong with which files."""
        return self.client.fsck("/")

    def is_perfect(self) -> bool:
        """Whether every chunk has exactly the replicas that it wants, where they should be."""
        report = self.fsck()
        counts = report.counts
        wrong = any(getattr(counts, name) for name in _WRONG)
        return (
            report.is_healthy
            and not report.safe_mode
            and counts.replicas == counts.replicas_wanted
            and not wrong
        )

    def wait_until_perfect(self, seconds: float = 60.0) -> None:
        """Return when nothing is left to repair."""
        wait_until("every chunk has all its replicas", self.is_perfect, seconds)

    def chunk_files(self, directory: Path) -> Iterator[Path]:
        """The chunk files below a data directory."""
        yield from sorted((directory / "chunks").glob("??/*.*"))


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
