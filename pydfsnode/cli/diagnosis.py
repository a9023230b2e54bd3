"""Why no leader answers: which of the configured masters can be reached, and what to do then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydfsnode.errors import (
    ClusterError,
    DeadlineExceeded,
    NoQuorum,
    NotLeader,
    PydfsError,
    Unavailable,
)

if TYPE_CHECKING:
    from pydfsnode.config import ClientConfig, Peer

PROBE_SECONDS = 1.0
NO_LEADER = (DeadlineExceeded, NoQuorum, NotLeader, Unavailable)
"""What calls end with when no leader answered in time."""
_UNKNOWN, _SILENT, _REACHED = range(3)


def diagnosed(error: ClusterError, config: ClientConfig, where: str) -> PydfsError:
    """*error* with what to do about it behind its message, if it says that no leader answered.

    Args:
        where: the file that *config* was read from.
    """
    if type(error) not in NO_LEADER:
        return error
    from pydfsnode.client.event_loop import run

    peers = config.peers()
    return type(error)(f"{error.message}; {_advice(run(_probe(peers)), where)}", **error.fields)


async def _probe(peers: Sequence[Peer]) -> dict[str, int]:
    found = await asyncio.gather(*(_reach(peer) for peer in peers))
    return {peer.node_id: reached for peer, reached in zip(peers, found, strict=True)}


async def _reach(peer: Peer) -> int:
    host, _, port = peer.listen.rpartition(":")
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
    except socket.gaierror:
        return _UNKNOWN
    except OSError:  # a TimeoutError is one
        return _SILENT
    return _REACHED


def _advice(found: dict[str, int], where: str) -> str:
    """By what came of the masters, by name."""
    reached = [name for name, result in found.items() if result == _REACHED]
    missing = ", ".join(name for name in found if name not in reached)
    if len(reached) > len(found) // 2:
        return (
            f"{', '.join(reached)} can be reached: they may be choosing a leader, try again in a "
            "few seconds; their logs say what hinders them"
        )
    if reached:
        return (
            f"only {', '.join(reached)} of {len(found)} masters can be reached, and more than half "
            f"must be: start {missing} ('pydfsnode cluster recover-quorum --help' if they are lost)"
        )
    if all(result == _UNKNOWN for result in found.values()):
        return f"no master's host name is known here: correct the names under masters in {where}"
    return (
        f"no master can be reached: start them, or correct the addresses under masters in {where}"
    )
