"""What is answered is recorded once, with who asked and what came of it, however it was asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.errors import AccessDenied, NotFound, NotLeader, Unavailable
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.audit.recording import STRANGERS_PER_S
from pydfsnode.roles.master.audited_calls import AUDITED, NOT_RECORDED, audited
from pydfsnode.roles.master.auditing import Auditing
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.telemetry import Denial
from pydfsnode.security.audit.record import FORMATS, Record
from pydfsnode.security.audit.trail import Trail
from pydfsnode.security.identity import Identity
from tests.unit.security.audit_rig import TrailRig

BOB = Identity("c", "user", "bob")
STAT, MKDIRS = "/pydfs.v1.Namespace/Stat", "/pydfs.v1.Namespace/Mkdirs"
LOCATE = "/pydfs.v1.Namespace/Locate"


class AuditBench:
    """A trail in a directory of the test, and what this master would record in it."""

    def __init__(self, directory: Path) -> None:
        self.rig = TrailRig(directory)
        self.trail: Trail = self.rig.open()
        self.now_ms = 0
        self.auditing = self.make("all")

    def make(self, reads: str) -> Auditing:
        return Auditing(self.trail, reads, lambda: self.now_ms)

    async def call(
        self, path: str, request: Any, error: BaseException | None = None, reads: str = "all"
    ) -> None:
        async def handler(_request: Any, _call: CallContext) -> str:
            if error is not None:
                raise error
            return "answer"

        around = self.make(reads).around({path: handler})
        assert await around[path](request, call_of(path)) == "answer"

    def records(self) -> list[Record]:
        """All but what the trail says of itself."""
        self.trail.stop()
        found = [FORMATS["json"].parse(line.rstrip()) for line in self.rig.lines()]
        return [record for record in found if record.kind != "trail"]


def call_of(path: str) -> CallContext:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    return CallContext(BOB, METHODS[path], "request-7", trace, "10.0.0.9:77", "grpc")


@pytest.fixture
def bench(tmp_path: Path) -> AuditBench:
    return AuditBench(tmp_path / "audit")


def test_every_method_of_a_master_is_recorded_or_said_not_to_be() -> None:
    served = {path for path, row in METHODS.items() if "master" in row.served_by}
    assert NOT_RECORDED | set(AUDITED) <= served
    assert {path for path in served if audited(path) is None} == NOT_RECORDED
    assert audited("/pydfs.v1.Cluster/Status") is None


async def test_a_call_is_recorded_with_everything(bench: AuditBench) -> None:
    await bench.call(MKDIRS, pb.MkdirsRequest(path="/a"))
    (found,) = bench.records()
    assert (found.cmd, found.src, found.allowed, found.outcome) == ("mkdirs", "/a", True, "ok")
    assert (found.user, found.role, found.ip, found.port) == ("bob", "user", "10.0.0.9", 77)
    assert (found.request_id, found.trace_id) == ("request-7", "a" * 32)
    assert (found.kind, found.node, found.transport) == ("namespace", "m1", "grpc")


@pytest.mark.parametrize(
    ("error", "outcome", "allowed"),
    [
        (NotFound("no"), "NotFound", True),
        (AccessDenied("no"), "AccessDenied", False),
        (asyncio.CancelledError(), "Cancelled", True),
    ],
)
async def test_what_failed_is_recorded_as_such(
    bench: AuditBench, error: BaseException, outcome: str, allowed: bool
) -> None:
    with pytest.raises(type(error)):
        await bench.call(MKDIRS, pb.MkdirsRequest(path="/a"), error)
    (found,) = bench.records()
    assert (found.outcome, found.allowed) == (outcome, allowed)


async def test_whom_a_gateway_acts_for_is_recorded_with_it(bench: AuditBench) -> None:
    call = call_of("/pydfs.v1.Namespace/Batch")
    call.via = Identity("c", "gateway", "g1")
    item = pb.BatchItem(method="Mkdirs", request=pb.MkdirsRequest(path="/a").SerializeToString())
    bench.auditing.batch([item], {}, call)
    await asyncio.sleep(0)
    (found,) = bench.records()
    assert (found.user, found.role, found.via, found.ip) == (
        "bob", "user", "gateway/g1", "10.0.0.9",
    )  # fmt: skip


async def test_another_masters_call_is_recorded_there(bench: AuditBench) -> None:
    with pytest.raises(NotLeader):
        await bench.call(MKDIRS, pb.MkdirsRequest(path="/a"), NotLeader("no", leader_hint=""))
    assert bench.records() == []


async def test_as_many_reads_are_recorded_as_are_asked_for(bench: AuditBench) -> None:
    for reads in ("none", "open", "all"):
        await bench.call(STAT, pb.StatRequest(path=f"/stat/{reads}"), reads=reads)
        await bench.call(LOCATE, pb.LocateRequest(path=f"/open/{reads}"), reads=reads)
        with pytest.raises(AccessDenied):
            await bench.call(
                STAT, pb.StatRequest(path=f"/denied/{reads}"), AccessDenied("no"), reads=reads
            )
    assert [record.src for record in bench.records()] == [
        "/denied/none", "/open/open", "/denied/open", "/stat/all", "/open/all", "/denied/all",
    ]  # fmt: skip


async def test_batches_too_leave_reads_out(bench: AuditBench) -> None:
    items = [
        pb.BatchItem(method=name, request=pb.StatRequest(path=f"/{position}").SerializeToString())
        for position, name in enumerate(("Stat", "Stat", "Locate"))
    ]
    bench.make("open").batch(items, {1: "AccessDenied"}, call_of("/pydfs.v1.Namespace/Batch"))
    await asyncio.sleep(0)
    assert [record.src for record in bench.records()] == ["/1", "/2"]


async def test_the_calls_of_a_batch_are_recorded_each(bench: AuditBench) -> None:
    asked = [("Mkdirs", pb.MkdirsRequest(path="/a")), ("Stat", pb.StatRequest(path="/b")),
             ("Rename", pb.RenameRequest(source="/c", destination="/d")),
             ("Delete", pb.DeleteRequest(path="/e"))]  # fmt: skip
    items = [pb.BatchItem(method=name, request=r.SerializeToString()) for name, r in asked]
    items.append(pb.BatchItem(method="Nonsense"))
    items.append(pb.BatchItem(method="Mkdirs", request=b"\xff"))
    outcomes = {1: "AccessDenied", 3: "", 4: "UnknownMethod", 5: "MalformedMessage"}
    bench.auditing.batch(items, outcomes, call_of("/pydfs.v1.Namespace/Batch"))
    await asyncio.sleep(0)
    told = [(r.cmd, r.src, r.dst, r.allowed, r.outcome) for r in bench.records()]
    assert told == [
        ("mkdirs", "/a", None, True, "ok"),
        ("getfileinfo", "/b", None, False, "AccessDenied"),
        ("rename", "/c", "/d", True, "ok"),
        ("mkdirs", None, None, True, "MalformedMessage"),
    ]


async def test_no_secret_and_no_content_comes_into_the_trail(bench: AuditBench) -> None:
    security, namespace = "/pydfs.v1.Security/", "/pydfs.v1.Namespace/"
    await bench.call(security + "Join", pb.JoinRequest(token="0123456789abcdef.SECRET"))
    await bench.call(security + "AddJoinToken", pb.AddJoinTokenRequest(secret_sha256="SECRET"))
    await bench.call(security + "SetAuthority", pb.SetAuthorityRequest(key_pem="SECRET"))
    await bench.call(namespace + "Create", pb.CreateRequest(path="/a", content=b"SECRET"))
    await bench.call(namespace + "SetXattr", pb.SetXattrRequest(path="/a", value=b"SECRET"))
    assert len(bench.records()) == 5
    assert b"SECRET" not in b"".join(bench.rig.lines())


async def test_what_cannot_be_recorded_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = AuditBench(tmp_path)

    def refuse() -> None:
        raise Unavailable("full")

    monkeypatch.setattr(bench.trail, "admit", refuse)
    with pytest.raises(Unavailable):
        await bench.call(MKDIRS, pb.MkdirsRequest(path="/a"))
    assert bench.records() == []


def test_refused_peers_are_recorded_and_a_flood_is_counted(bench: AuditBench) -> None:
    denial = Denial("connect", "10.0.0.9:5", "framed", "expired", detail="its certificate expired")
    for _ in range(STRANGERS_PER_S + 50):
        bench.auditing.denied(denial)
    bench.now_ms = 1000
    bench.auditing.denied(denial)
    bench.auditing.denied(Denial("call", "h:1", "grpc", "role", "eve", "user", "/x/Y"))
    refused = Denial("call", "h:1", "grpc", "may_not_act_for", "bob", "user", "/x/Y")
    bench.auditing.denied(refused._replace(via="gateway/g1"))
    *found, acting = bench.records()
    assert (acting.user, acting.role, acting.via) == ("bob", "user", "gateway/g1")
    assert len(found) == STRANGERS_PER_S + 3
    assert json.loads(found[-3].detail) == {"more": 50}
    assert (found[0].outcome, found[0].allowed, found[0].ip) == ("expired", False, "10.0.0.9")
    assert (found[-1].user, found[-1].cmd, found[-1].src) == ("eve", "call", "/x/Y")


def test_leadership_members_and_certificates_are_recorded(bench: AuditBench) -> None:
    auditing = bench.auditing
    for role, term in (("follower", 1), ("candidate", 2), ("leader", 2), ("follower", 3)):
        auditing.role_changed(role, term)
    auditing.members_changed(Configuration(("m1#1",)))
    auditing.members_changed(Configuration(("m1#1",)))
    auditing.members_changed(Configuration(("m1#1", "m2#1")))
    auditing.certificate_changed("1f")
    told = [(record.cmd, json.loads(record.detail)) for record in bench.records()]
    assert told == [
        ("becomeLeader", {"term": 2}),
        ("leaveLeadership", {"term": 3}),
        ("members", {"voters": ["m1#1", "m2#1"], "outgoing": [], "learners": []}),
        ("certificatesReloaded", {"serial": "1f"}),
    ]
