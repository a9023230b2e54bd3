"""Every node's own checkpoints are kept, nobody's of another's, and all are told in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.roles.master.service import audit
from pydfsnode.rpc.audit_calls import to_message
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.audit.checkpoint import Checkpoint
from pydfsnode.security.audit.checkpoints import make_checkpoint
from pydfsnode.security.audit.trail import Position
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs
from tests.support.masters import Master, node_config

SERVICE = "/pydfs.v1.Security/"
NODES = {"m1": "master", **{f"c{number}": "chunkserver" for number in range(1, 6)}}


class Cluster:
    """A master, and the certificates of all nodes."""

    def __init__(self, master: Master, certs: dict[str, Any]) -> None:
        self.master = master
        self._certs = certs

    def signed(self, name: str, seq: int = 1) -> Checkpoint:
        tls = TlsStore.load(self._certs[name])
        at_ms = int(tls.leaf.not_valid_before_utc.timestamp() * 1000) + 1
        position = Position("a" * 16, seq, "b" * 64)
        return make_checkpoint(tls.identity, position, at_ms, tls.key_pem, tls.cert_pem)

    async def record(self, checkpoint: Checkpoint, name: str) -> None:
        request = pb.RecordAuditCheckpointRequest(checkpoint=to_message(checkpoint))
        path = SERVICE + "RecordAuditCheckpoint"
        await self.master.call(path, request, NODES[name], name)

    async def told(self, after: str = "") -> pb.AuditCheckpointsResponse:
        request = pb.AuditCheckpointsRequest(after=after)
        answer = await self.master.call(SERVICE + "AuditCheckpoints", request)
        assert isinstance(answer, pb.AuditCheckpointsResponse)
        return answer


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    certs = make_cluster_certs(tmp_path / "certs", NODES)
    master = await Master(node_config(tmp_path, tls=certs["m1"])).start()
    yield Cluster(master, certs)
    await master.stop()


async def test_a_chunkserver_signs_its_own_trail_only(cluster: Cluster) -> None:
    own = cluster.signed("c1", seq=7)
    await cluster.record(own, "c1")
    with pytest.raises(AccessDenied, match="may not sign the trail"):
        await cluster.record(cluster.signed("c2"), "c1")
    stolen = msgspec.structs.replace(cluster.signed("c2"), node=own.node)
    with pytest.raises(InvalidArgument, match="no proof"):
        await cluster.record(stolen, "c1")
    kept = [(each.node, each.seq) for each in (await cluster.told()).checkpoints]
    assert (own.node, 7) in kept
    assert not any("/c2" in node for node, _ in kept)


async def test_many_checkpoints_are_told_in_pages(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NODES:
        await cluster.record(cluster.signed(name), name)
    whole = [each.node for each in (await cluster.told()).checkpoints]
    assert {node.rpartition("/")[2] for node in whole} == set(NODES)
    monkeypatch.setattr(audit, "PAGE_BYTES", 2 * len(cluster.signed("c1").chain_pem))
    pages = [await cluster.told()]
    while pages[-1].next:
        pages.append(await cluster.told(pages[-1].next))
    assert len(pages) > 1
    assert [each.node for page in pages for each in page.checkpoints] == whole
