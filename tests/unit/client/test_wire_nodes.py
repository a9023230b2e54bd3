"""Each node is asked for its own links; who does not answer holds up nobody."""

from __future__ import annotations

from pydfsnode.client.model import ChunkserverState, ClusterStatus, MasterState, PeerLink
from pydfsnode.client.wire_nodes import NodeCalls
from pydfsnode.errors import OutcomeUnknown
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.node_service import NodeService
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.runtime.clock import ManualClock
from tests.unit.client.fakes import ANN

OF_LEADER = PeerLink("m2", "h:2", "closed", 0, 0, "", {})
STATUS = ClusterStatus(
    "abc", "OK", [], "m1", 1, 1, 1,
    masters=[MasterState(f"m{n}", "", 1, 0, f"h:{n}", True) for n in (1, 2)],
    chunkservers=[
        ChunkserverState(f"c{n}", "live", 0, 0, 0, "", f"h:1{n}", 0) for n in (1, 2)
    ],
    links=[OF_LEADER],
)  # fmt: skip


class Node:
    """A node whose calls to its peer "x" failed three times; c2 does not answer."""

    def __init__(self, role: str, node_id: str, listen: str) -> None:
        health = PeerHealth(clock=ManualClock(), chance=lambda: 0.0)
        breaker = health.breaker("x", "h:9")
        for _ in range(3):
            breaker.failed(f"no way from {node_id} at {listen}")
        health.note("x", OutcomeUnknown("late", reason="timeout"))
        self._node_id = node_id
        self._service = NodeService(node_id, role, "1", health)

    async def ask(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        if self._node_id == "c2":
            raise OutcomeUnknown("no answer")
        handler = self._service.handlers()[path]
        answer = await handler(pb.LinksRequest.FromString(request), CallContext(ANN, METHODS[path]))
        encoded: bytes = answer.SerializeToString()
        return encoded


async def test_every_node_tells_of_its_own_links() -> None:
    found = {node.node: node for node in await NodeCalls(Node).links(STATUS)}
    assert list(found) == ["m1", "m2", "c1", "c2"]
    assert found["m1"].links == [OF_LEADER], "as it told with the status"
    for node, listen in (("m2", "h:2"), ("c1", "h:11")):
        (link,) = found[node].links
        assert (link.peer, link.address, link.breaker, link.failures) == ("x", "h:9", "open", 3)
        assert link.last_failure == f"no way from {node} at {listen}"
        assert sum(link.faults.values()) == 1
    assert (found["c2"].links, found["c2"].problem) == ([], "no answer")


async def test_a_node_without_channels_has_no_links() -> None:
    service = NodeService("g1", "gateway", "1")
    answer = await service.links(
        pb.LinksRequest(), CallContext(ANN, METHODS["/pydfs.v1.Node/Links"])
    )
    assert list(answer.links) == []
