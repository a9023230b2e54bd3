"""What heartbeats say of work and disks."""

from __future__ import annotations

from pydfsnode.roles.chunkserver.heartbeat import NodeState, _request
from pydfsnode.roles.chunkserver.reports import Batch
from pydfsnode.roles.chunkserver.scrub import ScrubProgress
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.storage.disk_signals import DiskSignals

EMPTY = Batch(0, 0, [], [], 1)


def test_latencies_errors_and_failed_disks_are_told() -> None:
    signals = DiskSignals(
        read_p50_us=1, read_p99_us=2, write_p50_us=3, write_p99_us=4, failed_disks=1, read_errors=5
    )
    load = _request(NodeState("h:1", "", 0, 1, 0, 0, 7, 1, 6, 2, signals), EMPTY).load
    assert (load.read_p50_us, load.read_p99_us) == (1, 2)
    assert (load.write_p50_us, load.write_p99_us) == (3, 4)
    assert (load.disk_errors, load.failed_disks, load.disks, load.queued) == (5, 1, 2, 6)


def test_a_node_that_measures_nothing_says_that_it_has_a_disk() -> None:
    request = _request(NodeState("h:1", "", 0, 1, 0, 0, 7, 1), EMPTY)
    assert request.HasField("load")
    assert (request.load.disks, request.load.write_p99_us) == (1, 0)


def test_an_audit_trail_that_cannot_be_written_is_told() -> None:
    state = NodeState("h:1", "", 0, 1, 0, 0, 7, 1, audit_problem="/a: No space left on device")
    assert _request(state, EMPTY).load.audit_problem == "/a: No space left on device"


def test_how_far_the_verification_is_is_told_when_there_is_one() -> None:
    progress = ScrubProgress(1, 2, 3, 4, 5, 6, 7)
    request = _request(NodeState("h:1", "", 0, 1, 0, 0, 7, 1, scrub=progress), EMPTY)
    assert request.load.scrub == pb.ScrubState(
        began_ms=1, due_ms=2, done_bytes=3, left_bytes=4, rounds=5, last_ended_ms=6, corrupt_found=7
    )
    without = _request(NodeState("h:1", "", 0, 1, 0, 0, 7, 1), EMPTY)
    assert not without.load.HasField("scrub")
