"""What is asked of any node about itself, not of the leader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from pydfsnode.client.model import ClusterStatus, NodeLinks, PeerLink
from pydfsnode.errors import PydfsError
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

ANSWER_MS = 2_000
"""Patience with one node: the others are shown all the same."""
_LINKS = "/pydfs.v1.Node/Links"


class Channel(Protocol):
    """A connection to one node."""

    def ask(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """One call, request and answer encoded; see rpc/channel.py."""
        ...


class NodeCalls:
    """*channel_for*: gives the channel to a node of that role, name and address."""

    def __init__(self, channel_for: Callable[[str, str, str], Channel]) -> None:
        self._channel_for = channel_for

    async def links(self, status: ClusterStatus) -> list[NodeLinks]:
        """How the calls of all nodes in *status* to each other go; its leader has told it there."""
        asked = [
            self._links_of(role, node.id, node.listen)
            for role, nodes in (("master", status.masters), ("chunkserver", status.chunkservers))
            for node in nodes
            if node.id != status.leader
        ]
        return [NodeLinks(status.leader, status.links), *await asyncio.gather(*asked)]

    async def _links_of(self, role: str, node_id: str, listen: str) -> NodeLinks:
        channel = self._channel_for(role, node_id, listen)
        request = pb.LinksRequest().SerializeToString()
        try:
            answer = await channel.ask(_LINKS, request, timeout_ms=ANSWER_MS)
        except PydfsError as error:
            return NodeLinks(node_id, [], error.message)
        return NodeLinks(node_id, peer_links(rpc_of(_LINKS).parse_response(answer).links))


def peer_links(links: Iterable[pb.PeerLink]) -> list[PeerLink]:
    """The links of one node as values."""
    return [
        PeerLink(
            link.peer, link.address, link.breaker, link.failures, link.retry_in_ms,
            link.last_failure, dict(link.faults),
        )
        for link in links
    ]  # fmt: skip
