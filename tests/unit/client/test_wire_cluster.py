"""What is asked about the masters: each request names the end that is wanted."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pydfsnode.client.session import OpSession
from pydfsnode.client.wire import MasterCalls
from pydfsnode.client.wire_cluster import ClusterCalls
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.schema import rpc_of

MEMBERS = pb.MembersResponse(
    members=[
        pb.MasterState(id="m1", role="leader", membership="voter", recently_active=True,
                       match_index=9, incarnation=7),
        pb.MasterState(id="m2", role="follower", membership="voter", recently_active=True,
                       match_index=8, lag=1, replication="replicate"),
        pb.MasterState(id="m3", role="follower", membership="voter", match_index=9),
        pb.MasterState(id="m4", role="learner", membership="learner", recently_active=True,
                       match_index=9),
    ],
    leader="m1", term=3, configuration_index=5,
)  # fmt: skip


class FakeRouter:
    """Answers with `answers` by the method's name; `asked` are the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {
            "Members": MEMBERS,
            "AddServer": pb.AddServerResponse(members=MEMBERS),
            "RemoveServer": pb.RemoveServerResponse(members=MEMBERS),
            "TransferLeadership": pb.TransferLeadershipResponse(leader="m2", gap_ms=4),
        }

    async def call(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        assert timeout_ms == 1000
        name = path.rpartition("/")[2]
        self.asked.append((name, rpc_of(path).parse_request(request)))
        encoded: bytes = self.answers[name].SerializeToString()
        return encoded


@pytest.fixture
def router() -> FakeRouter:
    return FakeRouter()


async def test_the_status_has_what_the_leader_counts_and_who_votes(router: FakeRouter) -> None:
    older = pb.MasterState(id="m9", role="follower")  # said by a leader that knows no membership
    router.answers["Status"] = pb.ClusterStatusResponse(
        masters=[MEMBERS.members[3], older], appends_sent=1, entries_sent=2, groups_written=3,
        entries_written=4,
    )  # fmt: skip
    calls = MasterCalls(cast(Any, router), OpSession(), 1000)
    found = await calls.cluster.status()
    assert [(m.id, m.membership, m.replication) for m in found.masters] == [
        ("m4", "learner", ""), ("m9", "voter", ""),
    ]  # fmt: skip
    counts = found.appends_sent, found.entries_sent, found.groups_written, found.entries_written
    assert counts == (1, 2, 3, 4)


async def test_members_come_with_all_that_is_known(router: FakeRouter) -> None:
    found = await ClusterCalls(router, 1000).members()
    assert (found.leader, found.term, found.changing, found.configuration_index) == (
        "m1", 3, False, 5,
    )  # fmt: skip
    assert [m.id for m in found.members] == ["m1", "m2", "m3", "m4"]
    first = found.find("m1")
    assert first is not None
    assert first.incarnation == 7
    assert found.find("m9") is None


async def test_changes_carry_what_is_wanted(router: FakeRouter) -> None:
    calls = ClusterCalls(router, 1000)
    await calls.add_server("m5", "h5:1", learner_only=True)
    await calls.remove_server("m2", force=True)
    assert router.asked == [
        ("AddServer", pb.AddServerRequest(node_id="m5", listen="h5:1", learner_only=True)),
        ("RemoveServer", pb.RemoveServerRequest(node_id="m2", force=True)),
    ]


async def test_any_other_leader_becomes_a_named_one_that_votes_and_answers(
    router: FakeRouter,
) -> None:
    # Asked twice for "any other", the leadership would move twice.
    done = await ClusterCalls(router, 1000).transfer_leadership("")
    assert (done.leader, done.gap_ms) == ("m2", 4)
    assert router.asked[-1] == ("TransferLeadership", pb.TransferLeadershipRequest(to="m2"))
