"""Orders to the fleet and questions about it, as requests and plain values."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pydfsnode.client.filesystem_base import CREATION_DEFAULT
from pydfsnode.client.filesystem_fleet import FleetMethods
from pydfsnode.client.fleet import FsckFinding, FsckStep
from pydfsnode.client.session import OpSession
from pydfsnode.client.wire import MasterCalls
from pydfsnode.client.wire_fleet import FleetCalls
from pydfsnode.rpc.pb import dfs_pb2 as pb

STATE = pb.FleetStateResponse(
    duties=[
        pb.DutyState(node_id="c1", state="maintenance", until_ms=9, since_ms=5, user="ann",
                     chunks_held=7, chunks_left=3, chunks_stuck=1, stuck_because="why",
                     counted=True, moves_running=2),
    ],
    balance=pb.BalanceState(on=True, threshold_ppm=5, bytes_per_s=6, moved_bytes=7),
    safe_mode=pb.SafeModeState(on=True, by_operator=True, reason="r", user="bob"),
    copies_running=1, deletions_running=2, under_replicated=3, missing=4,
)  # fmt: skip


class FakeRouter:
    """Answers with `answers` by the method's name; `asked` are the requests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answers: dict[str, Any] = {
            "FleetState": STATE,
            "SetDuty": pb.SetDutyResponse(fleet=STATE),
            "SetBalance": pb.SetBalanceResponse(fleet=STATE),
            "SetSafeMode": pb.SetSafeModeResponse(fleet=STATE),
        }

    async def call(self, path: str, request: bytes, **options: Any) -> bytes:
        assert options["timeout_ms"] == 1000
        name = path.removeprefix("/pydfs.v1.Cluster/")
        self.asked.append(getattr(pb, f"{name}Request").FromString(request))
        answer = self.answers[name]
        answer = answer.pop(0) if isinstance(answer, list) else answer
        encoded: bytes = answer.SerializeToString()
        return encoded


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


@pytest.fixture
def calls(router: FakeRouter) -> FleetCalls:
    return MasterCalls(cast(Any, router), OpSession(77), 1000).fleet


async def test_a_state_has_everything_that_is_told(calls: FleetCalls) -> None:
    state = await calls.state()
    duty = state.duty("c1")
    assert duty is not None
    assert (duty.state, duty.until_ms, duty.since_ms, duty.user) == ("maintenance", 9, 5, "ann")
    assert (duty.chunks_held, duty.chunks_left, duty.chunks_stuck) == (7, 3, 1)
    assert (duty.stuck_because, duty.counted, duty.moves_running) == ("why", True, 2)
    assert not duty.is_done
    assert (state.balance.threshold_ppm, state.balance.moved_bytes) == (5, 7)
    assert (state.safe_mode.reason, state.safe_mode.user) == ("r", "bob")
    counts = (state.copies_running, state.deletions_running, state.under_replicated, state.missing)
    assert counts == (1, 2, 3, 4)
    assert state.duty("c2") is None


async def test_orders_have_op_ids_and_name_the_end_that_is_wanted(
    router: FakeRouter, calls: FleetCalls
) -> None:
    await calls.set_duty(["c1", "c2"], "maintenance", 5000)
    await calls.set_balance(100_000, 7)
    await calls.set_safe_mode(True)
    duty, balance, safe_mode = router.asked
    assert (list(duty.node_ids), duty.state, duty.for_ms) == (["c1", "c2"], "maintenance", 5000)
    assert (balance.threshold_ppm, balance.bytes_per_s) == (100_000, 7)
    assert safe_mode.on
    assert [r.op.client_id for r in router.asked] == [77, 77, 77]
    assert [r.op.seq for r in router.asked] == [1, 2, 3]


async def test_a_check_goes_on_where_it_stopped_and_adds_up(
    router: FakeRouter, calls: FleetCalls
) -> None:
    finding = pb.FsckFinding(path="/a", problem="missing", chunks=2, bytes=9)
    router.answers["Fsck"] = [
        pb.FsckResponse(
            counts=pb.FsckCounts(files=2, missing=2), findings=[finding, finding], more=True,
            next=pb.FsckCursor(path="/a", chunk=5), safe_mode=True,
        ),
        pb.FsckResponse(counts=pb.FsckCounts(files=1, chunks=4)),
    ]  # fmt: skip
    nothing = cast(Any, None)
    fs = FleetMethods(cast(Any, _Calls(calls)), nothing, nothing, CREATION_DEFAULT, None)
    steps: list[FsckStep] = []
    report = await fs.fsck("/d", steps.append, findings_max=1)
    assert [(r.path, r.after.path, r.after.chunk) for r in router.asked] == [
        ("/d", "", 0),
        ("/d", "/a", 5),
    ]
    assert (report.counts.files, report.counts.missing, report.counts.chunks) == (3, 2, 4)
    assert report.findings == [FsckFinding("/a", "missing", 2, 9)]
    assert (report.findings_left_out, report.safe_mode, report.is_healthy) == (1, True, False)
    assert len(steps) == 2


class _Calls:
    """The part of MasterCalls that the file system of these tests needs."""

    def __init__(self, fleet: FleetCalls) -> None:
        self.fleet = fleet

    async def renew_lease(self) -> None:
        raise AssertionError("nothing is written")
