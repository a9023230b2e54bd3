"""Where new replicas go: distinct chunkservers with room, those with more room more often."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.servers import Server


def choose_targets(
    servers: Iterable[Server],
    count: int,
    exclude: Collection[str],
    bytes_needed: int,
    pick: Callable[[], float],
) -> list[str]:
    """Up to *count* distinct node ids, fewer when there are not enough.

    Drawn without putting back, each with a probability in proportion to its free bytes: the fullest
    server gets the least, and a new empty one is not buried under all writes at once.

    Args:
        servers: candidates, in an order that does not depend on chance.
        exclude: node ids that may not be chosen.
        bytes_needed: free bytes that a server must have.
        pick: random numbers in [0, 1).

    Raises:
        NoChunkservers: not a single one.
    """
    candidates = [
        server
        for server in servers
        if server.node_id not in exclude and server.free_bytes >= max(bytes_needed, 1)
    ]
    if not candidates:
        raise NoChunkservers(
            f"no live chunkserver has {bytes_needed} bytes free"
            + (f" beside {', '.join(sorted(exclude))}" if exclude else "")
            + ": start more chunkservers or make room",
            retry_after_ms=1000,
        )
    chosen: list[str] = []
    while candidates and len(chosen) < count:
        at = _weighted(candidates, pick())
        chosen.append(candidates.pop(at).node_id)
    return chosen


def _weighted(candidates: list[Server], point: float) -> int:
    remaining = int(point * sum(server.free_bytes for server in candidates))
    for at, server in enumerate(candidates):
        remaining -= server.free_bytes
        if remaining < 0:
            return at
    return len(candidates) - 1
