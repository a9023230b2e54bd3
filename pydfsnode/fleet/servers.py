"""Which chunkservers there are, which of them live, and how much room they have."""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode.errors import Overloaded
from pydfsnode.fleet.bounds import SERVERS_MAX

LIVE, DEAD = "live", "dead"


@dataclass(slots=True)
class Server:
    """A chunkserver as its last heartbeat told. `heard_ms`: when, on the monotonic clock.

    `incarnation` is random per start of its process.
    """

    node_id: str
    listen: str
    rack: str
    used_bytes: int
    free_bytes: int
    chunks: int
    streams: int
    incarnation: int
    heard_ms: int
    state: str = LIVE


class ServerTable:
    """All chunkservers heard of since the start; a master forgets them when it restarts."""

    def __init__(self, dead_after_ms: int, servers_max: int = SERVERS_MAX) -> None:
        self._dead_after_ms = dead_after_ms
        self._servers_max = servers_max
        self._servers: dict[str, Server] = {}

    def heartbeat(
        self, node_id: str, now_ms: int, listen: str, rack: str, used_bytes: int, free_bytes: int,
        chunks: int, streams: int, incarnation: int,
    ) -> bool:  # fmt: skip
        """Take a heartbeat; returns whether the server was not live before.

        Raises:
            Overloaded: a new server past SERVERS_MAX.
        """
        before = self._servers.get(node_id)
        if before is None and len(self._servers) >= self._servers_max:
            raise Overloaded(
                f"{len(self._servers)} chunkservers are known, the most there can be",
                retry_after_ms=self._dead_after_ms,
            )
        self._servers[node_id] = Server(
            node_id, listen, rack, used_bytes, free_bytes, chunks, streams, incarnation, now_ms
        )
        return before is None or before.state == DEAD

    def expire(self, now_ms: int) -> list[str]:
        """Declare dead who was silent for `dead_after_ms`; returns who just died, in name order."""
        died = []
        for server in self._servers.values():
            if server.state == LIVE and now_ms - server.heard_ms >= self._dead_after_ms:
                server.state = DEAD
                died.append(server.node_id)
        return sorted(died)

    def live(self) -> list[Server]:
        """The live servers in name order."""
        return [server for server in self.all() if server.state == LIVE]

    def all(self) -> list[Server]:
        """Every known server in name order."""
        return sorted(self._servers.values(), key=lambda server: server.node_id)

    def get(self, node_id: str) -> Server | None:
        """The server called *node_id*."""
        return self._servers.get(node_id)

    def listen_of(self, node_id: str) -> str:
        """Where *node_id* listens, "" when it is not known."""
        server = self._servers.get(node_id)
        return "" if server is None else server.listen

    def is_live(self, node_id: str) -> bool:
        """Whether *node_id* is known and live."""
        server = self._servers.get(node_id)
        return server is not None and server.state == LIVE

    def forget(self, node_id: str) -> None:
        """Drop a server that will not come back."""
        self._servers.pop(node_id, None)
