"""How chunkservers do, from their heartbeats and from writers, and what the master makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.allocation import FAILED_WRITERS_MAX, Allocation, _host_of
from pydfsnode.roles.master.fleet import Fleet
from pydfsnode.roles.master.service.fleet import PROBLEM_CHARACTERS_MAX
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock
from tests.support.masters import Master

from .test_fleet import LENGTH, beat, namespace_with_a_file
from .test_master import master, written

__all__ = ["master"]

STATUS = "/pydfs.v1.Cluster/Status"
SLOW = pb.ServerLoad(
    queued=3, write_p50_us=900_000, write_p99_us=2_500_000, read_p99_us=7_000, disk_errors=2,
    disks=4, failed_disks=1,
)  # fmt: skip
USUAL = pb.ServerLoad(write_p99_us=20_000, disks=1)


async def test_status_shows_score_reasons_and_load(master: Master) -> None:
    for name in ("c1", "c2"):
        await master.heartbeat(name, rack="dc1/r1", load=USUAL)
    await master.heartbeat("c3", load=SLOW, active_streams=5)
    await master.heartbeat("old")
    master.role._fleet._servers.review(master.clock.monotonic_ms())
    status = await master.call(STATUS, pb.ClusterStatusRequest())
    found = {server.id: server for server in status.chunkservers}
    assert (found["c1"].health_score, found["c1"].condition) == (1.0, "ok")
    assert (found["c1"].rack, found["c3"].rack) == ("/dc1/r1", "/default")
    assert (found["old"].health_score, found["old"].disks) == (1.0, 1)
    slow = found["c3"]
    assert slow.condition == "avoided"
    assert 0 < slow.health_score < 0.2
    assert list(slow.health_reasons) == [
        "2 disk errors lately", "p99 of writes 2500 ms, usual are 20 ms", "1 of 4 disks failed",
    ]  # fmt: skip
    assert (slow.streams, slow.queued, slow.disks, slow.failed_disks) == (5, 3, 4, 1)
    assert (slow.write_p99_ms, slow.read_p99_ms) == (2500.0, 7.0)
    (finding,) = [check for check in status.checks if check.code == "CHUNKSERVER_AVOIDED"]
    assert finding.message.startswith("c3: 2 disk errors lately, ")


async def test_status_names_chunkservers_that_cannot_write_their_audit_trail(
    master: Master,
) -> None:
    full = "/a: No space left on device"
    await master.heartbeat("c1", load=pb.ServerLoad(disks=1, audit_problem=full))
    await master.heartbeat("c2", load=USUAL)
    await master.heartbeat("c3", load=pb.ServerLoad(disks=1, audit_problem="x" * 1000))

    async def found() -> list[str]:
        status = await master.call(STATUS, pb.ClusterStatusRequest())
        return [c.message for c in status.checks if c.code == "CHUNKSERVER_AUDIT_FAILING"]

    (message,) = await found()
    assert f"c1: {full}; c3: {'x' * PROBLEM_CHARACTERS_MAX}" in message
    assert len(message) < 400
    await master.heartbeat("c1", load=USUAL)
    master.clock.ahead_ms += 10_000
    await master.heartbeat("c2", load=USUAL)
    await master.role._fleet.step(master.role._driver)
    assert await found() == [], "c1 can, and c3 is not heard from"


async def test_readers_are_told_racks(master: Master) -> None:
    await written(master)
    await master.heartbeat("c1", rack="/dc1/r7")
    located = await master.namespace("Locate", pb.LocateRequest(path="/f"))
    racks = {a.node_id: a.rack for a in located.chunks[0].replicas}
    assert racks == {"c1": "/dc1/r7", "c2": "/default", "c3": "/default"}


def fleet_of(*names: str) -> tuple[Fleet, ManualClock, int]:
    namespace, chunk_id = namespace_with_a_file(replication=len(names))
    clock = ManualClock()
    fleet = Fleet(namespace, clock, 10_000, lambda: 0.5)
    fleet.namespace_changed()
    for name in names:
        fleet.heartbeat(beat(name, (chunk_id, 1, LENGTH), seq=1), led_term=None)
    return fleet, clock, chunk_id


def test_readers_are_sent_last_to_who_does_badly_and_equals_take_turns() -> None:
    fleet, clock, chunk_id = fleet_of("c1", "c2", "c3")
    for name in ("c1", "c2", "c3"):
        fleet.full_report(
            name, 1, 1, [(c, 1, LENGTH) for c in range(chunk_id, chunk_id + 3)],
            first=True, last=True,
        )  # fmt: skip
    for step in range(1, 3):
        fleet._replicas.want(chunk_id + step, 1, LENGTH, 3)
    first = {fleet.readable(chunk_id + step)[0] for step in range(3)}
    assert first == {"c1", "c2", "c3"}
    fleet._servers.note("c1", "disk", clock.monotonic_ms(), 9)
    fleet._servers.review(clock.monotonic_ms())
    for step in range(3):
        assert fleet.readable(chunk_id + step)[-1] == "c1"


def test_each_corrupt_replica_counts_once_however_often_it_is_told() -> None:
    fleet, _, chunk_id = fleet_of("c1", "c2")
    for _ in range(20):
        told = beat("c1", seq=1)
        told.corrupt.append(chunk_id)
        fleet.heartbeat(told, led_term=None)
        fleet.suspect(chunk_id, "c1", "a reader")
    fleet._servers.review(0)
    (c1, c2) = fleet.chunkservers()
    assert (c1.reasons, c2.reasons) == (("1 corrupt replicas lately",), ())


class NotedFleet:
    """Takes note of who is said to have failed and where the writer is."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.hosts: list[str] = []

    def write_failed(self, node_ids: list[str]) -> None:
        self.failed += node_ids

    def choose_targets(self, *wish: Any) -> tuple[str, ...]:
        self.hosts.append(wish[3])
        return ("c1",)


class Leading:
    def require_leader(self) -> None:
        pass


async def test_who_failed_a_writer_counts_once_a_file() -> None:
    namespace, _ = namespace_with_a_file(replication=2)
    inode_id = next(i for i in range(1, 99) if is_file(namespace, i))
    fleet = NotedFleet()
    allocation = Allocation(Leading(), fleet, namespace)  # type: ignore[arg-type]
    for exclude in ([], ["c2"], ["c2"], ["c2", "c3"], ["c3", "c2"]):
        await allocation.choose(inode_id, exclude, "10.0.0.7:4711")
    assert fleet.failed == ["c2", "c3"]
    assert set(fleet.hosts) == {"10.0.0.7"}
    for other in range(1000, 1000 + FAILED_WRITERS_MAX):
        allocation._note_failed(other, ["c2"])
    assert len(allocation._failed) == FAILED_WRITERS_MAX


def is_file(namespace: Namespace, inode_id: int) -> bool:
    inode = namespace.tree.table.get(inode_id)
    return inode is not None and inode.is_file


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("10.0.0.7:4711", "10.0.0.7"), ("ipv4:10.0.0.7:4711", "10.0.0.7"), ("", ""),
        ("[::1]:4711", "[::1]"), ("ipv6:[::1]:4711", "[::1]"),
    ],
)  # fmt: skip
def test_a_peer_has_a_host(peer: str, host: str) -> None:
    assert _host_of(peer) == host
