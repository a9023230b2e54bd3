"""What operators ordered of single chunkservers, as the decisions here look at it."""

from __future__ import annotations

from pydfsnode.fleet.servers import DECOMMISSIONED, DECOMMISSIONING, IN_SERVICE, ServerTable

LEAVING = frozenset({DECOMMISSIONING, DECOMMISSIONED})


def admin_state(servers: ServerTable, node_id: str) -> str:
    """The state of *node_id*; who was never heard of holds nothing and counts as IN_SERVICE."""
    server = servers.get(node_id)
    return IN_SERVICE if server is None else server.admin_state


def leaves(servers: ServerTable, node_id: str) -> bool:
    """Whether *node_id* is to be emptied."""
    return admin_state(servers, node_id) in LEAVING
