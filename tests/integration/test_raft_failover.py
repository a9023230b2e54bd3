"""Leaders that are killed, hand over or are frozen under load: nothing is lost, nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest

from pydfsnode.client.sync import FileSystem
from pydfsnode.config import ClientConfig, load_client_config
from pydfsnode.errors import NotLeader
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import wait_until
from tests.support.load import NamespaceLoad, check_exactly_once, paths_below
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROUNDS = int(os.environ.get("PYDFSNODE_RAFT_ROUNDS", "3"))
TRANSFERS = 10
FROZEN_S = 3
MASTERS = ("m1", "m2", "m3")
STAT = "/pydfs.v1.Namespace/Stat"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaftCluster]:
    with RaftCluster(tmp_path_factory.mktemp("failover") / "dev") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _all_masters_run(cluster: RaftCluster) -> None:
    if not all(cluster.is_alive(name) for name in MASTERS):
        cluster.up()


def test_the_leader_is_killed_under_load(cluster: RaftCluster) -> None:
    with NamespaceLoad(cluster.config, "/kill-leader") as load:
        load.wait_for(100)
        leader = cluster.leading()
        cluster.kill(leader)
        load.wait_for(100)
        cluster.start(leader)
        load.wait_for(100)
    check_exactly_once(load, cluster.config)
    states = cluster.stored_states(*MASTERS)
    assert len(set(states.values())) == 1, states


def test_leadership_is_handed_over_under_load(cluster: RaftCluster) -> None:
    with NamespaceLoad(cluster.config, "/transfer") as load:
        for number in range(TRANSFERS):
            before = cluster.leading()
            if number:
                with FileSystem.connect(cluster.config) as fs:
                    fs.transfer_leader()
            else:
                cluster.run("cluster", "transfer-leader")
            assert cluster.leading() != before
            load.wait_for(20)
    check_exactly_once(load, cluster.config)


def test_a_leader_that_is_stopped_hands_over_first(cluster: RaftCluster) -> None:
    with NamespaceLoad(cluster.config, "/stop-leader") as load:
        leader = cluster.leading()
        cluster.stop(leader)
        load.wait_for(50)
    check_exactly_once(load, cluster.config)
    assert cluster.events(leader, "handed over")


def test_all_masters_are_killed_under_load(cluster: RaftCluster) -> None:
    with NamespaceLoad(cluster.config, "/kill-all", timeout_ms=90_000) as load:
        for _ in range(ROUNDS):
            load.wait_for(100)
            cluster.kill(*MASTERS)
            acknowledged = list(load.writes)
            cluster.start(*MASTERS)
            load.wait_for(20)
            found = set(paths_below(cluster.config, load.root))
            assert load.lost(acknowledged, found) == []
    check_exactly_once(load, cluster.config)


def others_config(cluster: RaftCluster, without: str) -> ClientConfig:
    """A client that does not even know the master *without*."""
    config = load_client_config(cluster.config)
    config.masters = [master for master in config.masters if not master.startswith(f"{without}=")]
    return config


def test_stale_reads_go_on_while_the_leader_is_frozen(cluster: RaftCluster) -> None:
    with FileSystem.connect(cluster.config) as fs:
        fs.mkdir("/stale/directory")
    leader = cluster.leading()
    cluster.wait_until_equal(*MASTERS)
    cluster.signal(leader, signal.SIGSTOP)
    try:
        for _ in range(3):
            out = cluster.command("fs", "ls", "-C", "--consistency", "stale", "/stale")
            assert (out.returncode, out.stdout) == (0, "/stale/directory\n"), out.stderr
            assert f"({leader} answered)" not in out.stderr
    finally:
        cluster.signal(leader, signal.SIGCONT)


async def lease_reads_across(
    cluster: RaftCluster, leader: str, path: str, frozen_s: float
) -> list[str]:
    """Freeze *leader*, make *path* through its successor, ask the old one by lease meanwhile.

    Its questions wait in the frozen process's buffers: it answers them the moment it wakes, when
    it believes that no time has passed. Returns the answers: "found", "not the leader" or errors.
    """
    settings = load_client_config(cluster.config)
    channel = FramedChannel(cluster.listen(leader), TlsStore.load(settings.tls), "master", leader)
    request = pb.StatRequest(path=path)
    request.read.mode = pb.ReadOptions.LEASE

    async def ask() -> str:
        try:
            await channel.unary(STAT, request, timeout_ms=30_000)
        except NotLeader:
            return "not the leader"
        except Exception as error:  # noqa: BLE001 - the test says which answers are right
            return f"{type(error).__name__}: {error}"
        return "found"

    assert "NotFound" in await ask(), "it is connected, and leads"
    frozen_at = time.monotonic()
    cluster.signal(leader, signal.SIGSTOP)
    try:
        with FileSystem.connect(others_config(cluster, leader)) as fs:
            await asyncio.to_thread(fs.mkdir, path)
        asked = [asyncio.ensure_future(ask()) for _ in range(20)]
        await asyncio.to_thread(
            wait_until,
            "it was frozen long enough",
            lambda: time.monotonic() - frozen_at >= frozen_s and all(not a.done() for a in asked),
        )
    finally:
        cluster.signal(leader, signal.SIGCONT)
    answers = [*await asyncio.gather(*asked), *[await ask() for _ in range(20)]]
    await channel.close()
    return answers


def test_no_lease_read_is_stale_after_a_leader_wakes(cluster: RaftCluster) -> None:
    cluster.wait_until_settled()
    answers = asyncio.run(lease_reads_across(cluster, cluster.leading(), "/lease", FROZEN_S))
    assert set(answers) <= {"found", "not the leader"}


def test_after_all_that_the_masters_are_equal(cluster: RaftCluster) -> None:
    states = cluster.stored_states(*MASTERS)
    assert len(set(states.values())) == 1, states
