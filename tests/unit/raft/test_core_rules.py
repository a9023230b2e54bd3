"""Rules that only show where several faults meet: each breaks when one line of the core does."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import ChangeInProgress
from pydfsnode.raft import freshness, lease
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    ReadIndexAnswer,
    ReadIndexRequest,
    TimeoutNow,
    VoteRequest,
)
from pydfsnode.raft.progress import PROBE, REPLICATE, Progress
from tests.support.raft_cluster import Cluster, Node


def followed() -> tuple[Cluster, Node, Node]:
    """Three masters, their leader, and one that follows it."""
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.write(b"x")
    cluster.run_ms(500)
    follower = next(node for node in cluster.nodes.values() if node is not leader)
    return cluster, leader, follower


def test_a_lease_ends_while_the_fastest_clock_still_keeps_its_promise() -> None:  # trap D3
    cluster, leader, _ = followed()
    sent_ms = lease.confirmed_sent_ms(leader.core._state)
    timing = cluster.timing
    promised_ms = timing.election_timeout_ms / (1 + timing.clock_drift)
    leader.core.advance(sent_ms + int(promised_ms) - 20)
    assert leader.core.holds_lease()
    leader.core.advance(sent_ms + int(promised_ms) - 10)
    assert not leader.core.holds_lease()


@pytest.mark.parametrize(("age_ms", "role"), [(0, "candidate"), (500, "candidate")])
def test_a_fresh_order_to_campaign_is_obeyed(age_ms: int, role: str) -> None:
    assert _ordered(age_ms) == role


@pytest.mark.parametrize("age_ms", [501, 5_000, -1])
def test_an_old_order_to_campaign_is_not_obeyed(age_ms: int) -> None:  # trap H1
    assert _ordered(age_ms) == "follower"


def _ordered(age_ms: int) -> str:
    cluster, leader, follower = followed()
    core = follower.core
    core.advance(cluster.now_ms)
    echo_ms = freshness.clock_of(core._state) - age_ms
    last = core.last_index
    core.step(TimeoutNow(core.term, leader.node_id, last, core.term_at(last), echo_ms))
    return core.role


def test_who_restarts_keeps_still_as_long_as_it_may_have_promised() -> None:  # trap D6b
    cluster, leader, follower = followed()
    follower.crash()
    follower.start()
    core = follower.core
    candidate = next(n for n in cluster.nodes if n not in (leader.node_id, follower.node_id))
    last = core.last_index
    request = VoteRequest(core.term + 1, candidate, last + 1, core.term)
    core.advance(cluster.now_ms + cluster.timing.election_timeout_ms - 1)
    core.step(request)
    assert core.vote != candidate
    core.advance(cluster.now_ms + cluster.timing.election_timeout_ms)
    core.step(request)
    assert core.vote == candidate


def test_a_transfer_that_does_not_work_out_is_given_up_in_time() -> None:  # trap H2
    cluster, leader, follower = followed()
    cluster.partition(set(cluster.nodes) - {follower.node_id}, {follower.node_id})
    assert cluster.transfer(follower.node_id)
    assert not cluster.propose(b"meanwhile")
    cluster.run_ms(cluster.timing.election_timeout_ms + 200)
    assert leader.core.transferring == ""
    assert cluster.propose(b"afterwards")


def test_who_lacks_entries_is_not_ordered_to_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, leader, follower = followed()
    sent: list[object] = []
    cluster.cut = {(follower.node_id, leader.node_id)}
    assert cluster.propose(b"y")
    monkeypatch.setattr(cluster, "send", lambda node, to, message: sent.append(message))
    assert cluster.transfer(follower.node_id)
    cluster.run_ms(200)
    assert sent
    assert not any(isinstance(message, TimeoutNow) for message in sent)


def test_a_leader_whose_disk_stalls_hands_over() -> None:  # trap C12
    cluster, leader, _ = followed()
    began_ms = cluster.now_ms
    leader.disk_free_ms = began_ms + 30_000
    assert cluster.propose(b"y")
    cluster.run_until(lambda: cluster.leader() not in (leader, None), 10_000)
    assert cluster.now_ms - began_ms < cluster.timing.disk_stall_ms + 1_000


def test_a_change_waits_for_the_one_before() -> None:  # trap E2
    cluster, leader, _ = followed()
    members = set(leader.core.configuration.voters)
    assert cluster.change(members - {leader.node_id}, set())
    with pytest.raises(ChangeInProgress):
        leader.core.change_configuration(tuple(members), (), {})


def test_an_answer_to_an_older_process_is_not_counted() -> None:  # trap D8
    cluster, leader, follower = followed()
    core = follower.core
    core.read(7, ask=True)
    sent = [message for _, message in core.take_effects().send_now]
    asked = next(message for message in sent if isinstance(message, ReadIndexRequest))
    core.step(ReadIndexAnswer(core.term, leader.node_id, 7, asked.nonce + 1, 1))
    assert core.take_effects().reads_ready == []
    core.step(ReadIndexAnswer(core.term, leader.node_id, 7, asked.nonce, 1))
    assert [ready.read_id for ready in core.take_effects().reads_ready] == [7]
    assert cluster.leader() is leader


def test_a_snapshot_inside_the_log_keeps_what_was_acknowledged_behind_it() -> None:  # trap F4
    cluster, leader, follower = followed()
    cluster.cut = {(leader.node_id, follower.node_id)}
    for number in range(5):
        assert cluster.propose(b"%d" % number)
    cluster.run_until(lambda: leader.core.commit_index == leader.core.last_index)
    applied = len(leader.applied)
    stream = leader.core._state.progress[follower.node_id].stream
    header = leader.core.snapshot_header(applied - 2, stream)
    assert header is not None
    core = follower.core
    body = b"".join(leader.core.entries(core.last_index + 1, applied))
    count = applied - core.last_index
    term = leader.core.term
    core.step(Append(term, leader.node_id, stream, core.last_index, term, 0, 0, count, body))
    core.take_effects()
    assert core.install(header)
    assert (core.first_index, core.last_index) == (applied - 1, applied)


def test_an_answer_of_an_older_term_moves_nothing() -> None:  # trap B8
    cluster, leader, _ = followed()
    leader.crash()
    leader.start()  # counts its streams from the beginning again
    cluster.run_until(lambda: cluster.leader() is not None)
    again = cluster.elect()
    cluster.cut = {(again.node_id, other) for other in cluster.nodes}
    cluster.propose(b"y")
    cluster.run_ms(50)
    core = again.core
    peer, progress = next(iter(core._state.progress.items()))
    before = core.commit_index
    assert before < core.last_index == core.durable_index
    core.step(AppendAck(core.term - 1, peer, progress.stream, core.last_index, 0))
    assert core.commit_index == before
    core.step(AppendAck(core.term, peer, progress.stream, core.last_index, 0))
    assert core.commit_index == core.last_index


def test_a_new_search_begins_with_an_empty_window() -> None:  # trap G2
    progress = Progress(next_index=1, stream=1)
    progress.acked(0, 0)
    assert progress.state == REPLICATE
    while progress.can_send():
        progress.sent(progress.next_index, limits.APPEND_BYTES_MAX)
    progress.probe_from(1)
    assert (progress.state, len(progress.inflight), progress.inflight_bytes) == (PROBE, 0, 0)
    assert progress.can_send()
