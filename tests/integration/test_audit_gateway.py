"""What a gateway does for a user is in the trail under both names, as HDFS words it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pydfsnode.client.event_loop import run
from pydfsnode.config import TlsFiles
from pydfsnode.errors import PermissionDenied
from pydfsnode.rpc.acting import ACT_FOR_KEY
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import wait_until
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SETTINGS = '\n[may_act_for]\ng1 = ["alice"]\n\n[audit]\nformat = "hdfs"\n'


async def open_as(cluster: RaftCluster, tls: TlsStore, user: str) -> None:
    channel = FramedChannel(cluster.listen("m1"), tls, "master", metadata={ACT_FOR_KEY: user})
    try:
        request = pb.LocateRequest(path="/shared")
        await channel.unary("/pydfs.v1.Namespace/Locate", request, timeout_ms=20_000)
    finally:
        await channel.close()


def test_both_are_named(tmp_path: Path) -> None:
    prepared = RaftCluster(tmp_path / "dev", masters=1)
    config = prepared.node_config("m1")
    config.write_text(config.read_text() + SETTINGS)
    with prepared as cluster:
        with cluster.connect() as fs:
            fs.pipe_file("/shared", b"read by many")
        out = tmp_path / "g1"
        ca = cluster.directory / "certs"
        cluster.run("certs", "issue", "--dir", ca, "--role", "gateway", "--name", "g1",
                    "--out", out)  # fmt: skip
        files = (str(out / name) for name in ("ca.crt", "g1.crt", "g1.key"))
        tls = TlsStore.load(TlsFiles(*files))
        run(open_as(cluster, tls, "alice"))
        with pytest.raises(PermissionDenied):
            run(open_as(cluster, tls, "root"))

        search = ("audit", "search", "--data-dir", cluster.data_dir("m1"))
        refused = (*search, "--user", "root", "--via", "gateway/g1", "--denied")
        wait_until("all is written", lambda: bool(cluster.json(*refused)))
        (denied,) = cluster.json(*refused)
        assert (denied["role"], denied["outcome"]) == ("user", "may_not_act_for")
        (record,) = cluster.json(*search, "--via", "gateway/g1", "--outcome", "ok")
        assert (record["user"], record["role"], record["src"]) == ("alice", "user", "/shared")
        (trail,) = Path(f"{cluster.data_dir('m1')}-audit").iterdir()
        worded = "\tugi=alice (auth:PROXY) via gateway/g1 (auth:TLS)\tip=/127.0.0.1\tcmd=open\t"
        assert trail.read_text().count(worded) == 1
