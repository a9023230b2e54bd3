"""A real cluster whose masters are reached through a `FaultyProxy` by everybody.

Each master's address in all configurations is one of the proxy: clients, chunkservers and the other
masters go that way. Chunkservers say themselves where they listen, so only the client of this
process goes to them through the proxy; among each other they talk directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydfsnode.client.connections import ConnectionPool
from pydfsnode.config import ClientConfig, load_client_config
from pydfsnode.rpc.channel import FramedChannel
from tests.support.faulty_proxy import FaultyProxy
from tests.support.raft_processes import RaftCluster


class ProxiedCluster(RaftCluster):
    """Three masters behind *proxy*, and chunkservers.

    Args of the constructor:
        proxy: runs, and is left running.
        log_level: of all nodes.
    """

    def __init__(
        self, directory: Path, proxy: FaultyProxy, chunkservers: int = 4, log_level: str = "info"
    ) -> None:
        super().__init__(directory, 3, chunkservers)
        self.proxy = proxy
        self.addresses: dict[str, str] = {}
        """Of the proxy, by node id."""
        spec = self._dev.load()
        self.chunkservers = [node.id for node in spec.of_role("chunkserver")]
        for node in spec.nodes:
            self.addresses[node.id] = proxy.to(node.listen)
        for node in spec.nodes:
            self._rewrite(self.node_config(node.id), f'log_level = "{log_level}"\n')
        self._rewrite(self.config, "")

    def __enter__(self) -> ProxiedCluster:
        self.up()
        return self

    def _rewrite(self, path: Path, first: str) -> None:
        """Name the proxy's addresses where *path* names the masters, and begin with *first*."""
        lines = []
        for line in path.read_text().splitlines():
            if line.startswith("masters = "):
                for node in self._dev.load().of_role("master"):
                    line = line.replace(f"{node.id}={node.listen}", self._named(node.id))
            if not (first and line.startswith("log_level")):
                lines.append(line)
        path.write_text(first + "\n".join(lines) + "\n")

    def _named(self, node_id: str) -> str:
        return f"{node_id}={self.addresses[node_id]}"

    def client_config(self, timeout_ms: int = 30_000) -> ClientConfig:
        """For a client of this process; enter `reached_through_the_proxy` for it."""
        config = load_client_config(self.config)
        config.timeout_ms = timeout_ms
        return config

    @contextmanager
    def reached_through_the_proxy(self) -> Iterator[None]:
        """Clients of this process go to chunkservers through the proxy too."""
        direct = ConnectionPool.channel
        addresses = self.addresses

        def channel(pool: ConnectionPool, role: str, node_id: str, listen: str) -> FramedChannel:
            there = addresses[node_id] if role == "chunkserver" else listen
            return direct(pool, role, node_id, there)

        ConnectionPool.channel = channel  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            ConnectionPool.channel = direct  # type: ignore[method-assign]
