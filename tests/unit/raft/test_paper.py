"""Directed scenarios; each names its section of the paper or its trap in the reference's list."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode._fast import encode_entry
from pydfsnode.errors import InvariantViolation, MalformedMessage, NotLeader, Overloaded
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import HardState
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    AppendReject,
    Free,
    HeartbeatAck,
    PreVoteRequest,
    PreVoteResponse,
    Promise,
    VoteGrant,
    VoteRefusal,
    VoteRequest,
    decode_message,
    encode_message,
)
from pydfsnode.raft.types import LogStart, Timing
from tests.support.raft_cluster import Cluster, Faults

VOTERS = ("m1", "m2", "m3")
TIMING = Timing(heartbeat_ms=60, election_timeout_ms=500)


def start(terms: list[int]) -> LogStart:
    """A log whose entries have *terms*, from index 1 on."""
    entries = [encode_entry(i, t, 1, b"%d/%d" % (i, t)) for i, t in enumerate(terms, 1)]
    runs = [(i, t) for i, t in enumerate(terms, 1) if i == 1 or terms[i - 2] != t]
    return LogStart(1, len(terms), runs, 0, lambda first, last, size: entries[first - 1 : last])


def core(terms: list[int] | None = None, term: int = 0, vote: str = "") -> RaftCore:
    return RaftCore("m1", VOTERS, start(terms or []), HardState(term, vote), TIMING, lambda: 0.0, 0)


def append(
    term: int, prev: tuple[int, int], entries: list[tuple[int, int]], commit: int = 0
) -> Append:
    body = b"".join(encode_entry(i, t, 1, b"%d/%d" % (i, t)) for i, t in entries)
    return Append(term, "m2", 1, prev[0], prev[1], commit, 0, len(entries), body)


def settle(node: RaftCore) -> list[Free | Promise]:
    """Take effects, make everything durable, return all that was sent."""
    sent: list[Free | Promise] = []
    for _ in range(3):
        effects = node.take_effects()
        sent += [m for _, m in effects.send_now]
        if effects.persist:
            node.persisted(effects.persist.io_id)
        sent += [m for _, _, m in effects.send_after]
    return sent


def elected(terms: list[int] | None = None) -> RaftCore:
    node = core(terms, term=max(terms or [0]))
    node.tick(100)
    node.tick(300)
    node.tick(500)
    settle(node)
    node.step(PreVoteResponse(node.term, "m2", node.term + 1, True))
    settle(node)
    node.step(VoteGrant(node.term, "m2"))
    assert node.role == "leader"
    return node


def test_a_follower_that_hears_nobody_asks_for_a_pre_vote_and_keeps_its_term() -> None:
    node = core(term=4)
    for now_ms in (250, 500):
        node.tick(now_ms)
    sent = settle(node)
    assert [type(m) for m in sent] == [PreVoteRequest, PreVoteRequest]
    assert (node.role, node.term) == ("pre_candidate", 4)


def test_a_vote_request_leaves_only_behind_the_own_durable_vote() -> None:  # trap A3
    node = core(term=4)
    for now_ms in (250, 500):
        node.tick(now_ms)
    node.take_effects()
    node.step(PreVoteResponse(4, "m2", 5, True))
    effects = node.take_effects()
    assert effects.persist is not None
    assert effects.persist.hard_state == HardState(5, "m1")
    assert {io for io, _, m in effects.send_after if isinstance(m, VoteRequest)} == {1}
    node.step(VoteGrant(5, "m2"))
    assert node.role == "candidate"  # one grant and an own vote that is not durable yet
    node.persisted(1)
    assert node.role == "leader"


def test_a_candidate_waits_for_its_own_disk_instead_of_raising_its_term() -> None:
    node = RaftCore("m1", ("m1",), start([]), HardState(), TIMING, lambda: 0.0, 0)
    for now_ms in range(250, 5000, 250):
        node.tick(now_ms)
    effects = node.take_effects()
    assert (node.role, node.term) == ("candidate", 1)
    assert effects.persist is not None
    node.persisted(effects.persist.io_id)
    assert (node.role, node.term) == ("leader", 1)


def test_a_vote_is_given_once_a_term_and_only_to_a_complete_log() -> None:  # §5.2, §5.4.1
    node = core([1, 1, 2], term=2)
    node.advance(500)  # the promises before the start are over
    node.step(VoteRequest(3, "m2", 2, 2))  # shorter log
    assert isinstance(settle(node)[0], VoteRefusal)
    node.step(VoteRequest(3, "m3", 3, 2))
    assert isinstance(settle(node)[0], VoteGrant)
    node.step(VoteRequest(3, "m2", 9, 2))
    assert isinstance(settle(node)[0], VoteRefusal)
    assert (node.term, node.vote) == (3, "m3")


def test_a_restarted_node_keeps_its_vote() -> None:  # trap A1
    node = core([1], term=3, vote="m3")
    node.advance(500)
    node.step(VoteRequest(3, "m2", 5, 1))
    assert isinstance(settle(node)[0], VoteRefusal)


def test_a_live_leader_is_not_disturbed_by_a_higher_term() -> None:  # traps A7, A8
    node = core([1], term=1)
    node.step(append(1, (1, 1), []))
    settle(node)
    node.tick(100)
    node.step(VoteRequest(9, "m3", 9, 9))
    node.step(PreVoteRequest(9, "m3", 9, 9))
    answers = settle(node)
    assert [type(m) for m in answers] == [PreVoteResponse]
    assert not getattr(answers[0], "granted", True)
    assert node.term == 1


def test_a_refused_pre_vote_teaches_the_higher_term() -> None:  # trap A4
    node = core(term=2)
    for now_ms in (250, 500):
        node.tick(now_ms)
    node.step(PreVoteResponse(7, "m2", 3, False))
    assert (node.term, node.role) == (7, "follower")
    effects = node.take_effects()
    assert effects.persist is not None
    assert effects.persist.hard_state == HardState(7, "")


def test_a_late_answer_to_an_older_pre_vote_counts_for_nothing() -> None:  # trap A6
    node = core(term=4)
    for now_ms in (250, 500):
        node.tick(now_ms)
    node.step(PreVoteResponse(3, "m2", 4, True))
    assert node.role == "pre_candidate"


def test_a_paused_process_does_not_campaign_when_it_wakes() -> None:  # trap J2
    node = core(term=1)
    node.tick(20)
    node.tick(30_000)
    assert node.role == "follower"


def test_a_leader_without_a_majority_steps_down() -> None:
    node = elected()
    for now_ms in range(520, 2200, 20):
        node.tick(now_ms)
    assert node.role == "pre_candidate"  # it seeks a majority again, in its old term
    assert node.term == 1
    with pytest.raises(NotLeader):
        node.propose([b"x"])


def test_an_append_is_acknowledged_behind_its_fsync_even_when_repeated() -> None:  # traps A2, C1
    node = core(term=1)
    message = append(1, (0, 0), [(1, 1), (2, 1)])
    node.step(message)
    first = node.take_effects()
    assert first.persist is not None
    node.step(message)
    second = node.take_effects()
    assert second.persist is None
    assert [(io, type(m)) for io, _, m in second.send_after] == [(first.persist.io_id, AppendAck)]
    assert not any(isinstance(m, Promise) for _, m in first.send_now + second.send_now)


def test_a_follower_commits_only_what_a_message_verified() -> None:  # trap B2
    node = core([1, 1, 1, 3, 3], term=3)
    node.step(append(4, (1, 1), [(2, 1), (3, 1)], commit=5))
    assert node.commit_index == 3
    assert node.last_index == 5  # no conflict: nothing is cut


def test_a_heartbeat_commits_no_further_than_its_match() -> None:  # trap B3
    node = core([1, 1, 1], term=1)
    node.step(append(2, (1, 1), [], commit=3))
    assert node.commit_index == 1


def test_a_conflict_cuts_the_log_from_there_and_nothing_else_does() -> None:  # §5.3, trap B4
    node = core([1, 1, 2, 2], term=2)
    node.step(append(3, (1, 1), [(2, 1)]))
    assert node.last_index == 4
    node.step(append(3, (2, 1), [(3, 3)]))
    assert node.last_index == 3
    effects = node.take_effects()
    assert effects.persist is not None
    assert (effects.persist.truncate_from, effects.persist.first_index) == (3, 3)


def test_a_conflict_with_a_committed_entry_stops_the_node() -> None:  # trap B5
    node = core([1, 1], term=1)
    node.step(append(1, (2, 1), [], commit=2))
    with pytest.raises(InvariantViolation):
        node.step(append(2, (1, 1), [(2, 2)]))


def test_a_damaged_append_changes_nothing() -> None:
    node = core([1], term=1)
    good = append(1, (1, 1), [(2, 1), (3, 1)])
    flipped = bytearray(good.entries)
    flipped[-1] ^= 1
    hole = append(1, (1, 1), [(3, 1)])
    for entries, count in ((bytes(flipped), 2), (good.entries[:-1], 2), (hole.entries, 1)):
        with pytest.raises(MalformedMessage):
            node.step(Append(1, "m2", 1, 1, 1, 0, 0, count, entries))
        assert node.last_index == 1
    with pytest.raises(MalformedMessage):
        node.step(Append(1, "m2", 1, 1, 1, 0, 0, 3, good.entries))
    assert node.last_index == 1


def test_a_leader_does_not_commit_an_older_term_by_counting() -> None:  # §5.4.2, trap B1
    node = elected([1, 2])
    settle(node)
    node.step(AppendAck(node.term, "m2", 1, 2, 0))
    assert node.commit_index == 0
    node.step(AppendAck(node.term, "m2", 1, 3, 0))  # the no-op of its own term
    assert node.commit_index == 3


def test_a_leader_counts_itself_only_for_what_is_durable() -> None:  # trap B11
    node = elected()
    settle(node)
    node.propose([b"x"])
    effects = node.take_effects()
    assert effects.persist is not None
    node.step(AppendAck(node.term, "m2", 1, node.last_index, 0))
    assert node.commit_index == node.last_index - 1  # of the newest only m2's copy is durable
    node.persisted(effects.persist.io_id)
    assert node.commit_index == node.last_index


def test_an_answer_to_another_stream_moves_nothing() -> None:  # trap B8
    node = elected()
    settle(node)
    node.step(AppendAck(node.term, "m2", 77, node.last_index, 0))
    assert node.commit_index == 0


def test_an_old_write_completing_does_not_make_newer_entries_durable() -> None:  # trap C2
    node = core(term=1)
    node.step(append(1, (0, 0), [(1, 1), (2, 1)]))
    old = node.take_effects().persist
    node.step(append(2, (1, 1), [(2, 2), (3, 2)]))
    new = node.take_effects().persist
    assert old is not None
    assert new is not None
    node.persisted(old.io_id)
    assert node.durable_index == 1
    node.persisted(new.io_id)
    assert node.durable_index == 3


def test_a_truncation_takes_back_what_was_durable() -> None:
    node = core([1, 1, 1], term=1)
    assert node.durable_index == 3
    node.step(append(2, (1, 1), [(2, 2)]))
    assert node.durable_index == 1


def test_rejection_skips_a_term_at_a_time() -> None:  # trap B9
    cluster = Cluster(3)
    node = core([1] * 50 + [4] * 5, term=4)
    node.step(append(6, (60, 5), []))
    reject = settle(node)[0]
    assert isinstance(reject, AppendReject)
    assert (reject.hint_index, reject.hint_term) == (55, 4)
    node.step(append(6, (54, 2), []))
    reject = settle(node)[0]
    assert isinstance(reject, AppendReject)
    assert (reject.hint_index, reject.hint_term) == (50, 1)
    assert cluster.elect().core.role == "leader"


def test_a_stopped_pipeline_goes_on_when_the_network_does() -> None:  # traps G1, G3
    cluster = Cluster(3, faults=Faults())
    leader = cluster.elect()
    cluster.run_ms(500)
    other = next(n for n in cluster.nodes.values() if n is not leader)
    cluster.cut = {(leader.node_id, other.node_id)}
    for number in range(limits.INFLIGHT_APPENDS_MAX + 10):
        leader.core.propose([b"%d" % number])
        leader.run()
        cluster.run_ms(1)
    cluster.heal()
    cluster.run_until(lambda: len(other.applied) == leader.core.last_index, 3_000)


def test_a_full_tail_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:  # INV-BOUND
    monkeypatch.setattr(limits, "UNCOMMITTED_ENTRIES_MAX", 4)
    node = elected()
    last = node.last_index
    with pytest.raises(Overloaded):
        node.propose([b"a", b"b", b"c", b"d"])
    assert node.last_index == last
    node.propose([b"a", b"b"])


def test_a_read_waits_for_a_commit_in_the_own_term() -> None:  # trap D1
    node = elected([1])
    node.read(5)
    settle(node)
    node.step(HeartbeatAck(node.term, "m2", 1, 1))
    assert node.take_effects().reads_ready == []
    node.step(AppendAck(node.term, "m2", 1, node.last_index, 1))
    ready = node.take_effects().reads_ready
    assert [(r.read_id, r.index) for r in ready] == [(5, node.last_index)]


def test_a_late_answer_to_an_old_round_confirms_no_newer_read() -> None:  # trap D2
    node = elected()
    settle(node)
    node.step(AppendAck(node.term, "m2", 1, node.last_index, 0))
    node.read(1)
    settle(node)
    node.read(2)  # round 1 is under way: this one waits for round 2
    node.step(HeartbeatAck(node.term, "m2", 1, 1))
    assert [r.read_id for r in node.take_effects().reads_ready] == [1]
    node.step(HeartbeatAck(node.term, "m2", 1, 1))
    assert node.take_effects().reads_ready == []
    node.step(HeartbeatAck(node.term, "m2", 1, 2))
    assert [r.read_id for r in node.take_effects().reads_ready] == [2]


def test_a_round_asks_a_majority_and_a_silent_follower_delays_it_once() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.write(b"x")
    cluster.read(leader)
    cluster.run_until(lambda: len(leader.reads_done) == 1)
    asked = max(
        leader.core._state.progress, key=lambda p: leader.core._state.progress[p].read_round
    )
    cluster.nodes[asked].crash()
    began = cluster.now_ms
    cluster.read(leader)
    cluster.run_until(lambda: len(leader.reads_done) == 2)
    assert cluster.now_ms - began <= cluster.timing.heartbeat_ms + 40
    began = cluster.now_ms
    cluster.read(leader)
    cluster.run_until(lambda: len(leader.reads_done) == 3)
    assert cluster.now_ms - began <= 15  # virtual time: one round trip


def test_reads_of_a_deposed_leader_fail() -> None:  # trap D7
    node = elected()
    node.read(9)
    node.step(append(node.term + 1, (0, 0), []))
    assert node.take_effects().reads_failed == [9]
    with pytest.raises(NotLeader) as caught:
        node.read(10)
    assert caught.value.leader_hint == "m2"


def test_a_leader_cut_off_cannot_confirm_a_read() -> None:
    cluster = Cluster(3)
    leader = cluster.elect()
    cluster.write(b"x")
    cluster.partition({leader.node_id}, set(cluster.voters) - {leader.node_id})
    assert cluster.read(leader)
    cluster.run_ms(5_000)
    assert leader.reads_done == []
    assert leader.core.role != "leader"


def test_a_single_voter_serves_alone() -> None:  # trap C7
    cluster = Cluster(1)
    leader = cluster.elect()
    cluster.write(b"x")
    assert cluster.read(leader)
    assert [index for _, index in leader.reads_done] == [leader.core.commit_index]


def test_a_stranger_is_ignored() -> None:
    node = core(term=1)
    node.step(VoteRequest(9, "m9", 9, 9))
    assert node.term == 1


@pytest.mark.parametrize(
    "message",
    [
        VoteRequest(3, "m1", 5, 2),
        VoteGrant(3, "m2"),
        VoteRefusal(3, "m2"),
        PreVoteRequest(4, "m1", 5, 2),
        PreVoteResponse(3, "m2", 4, True),
        append(3, (5, 2), [(6, 3)]),
        AppendAck(3, "m2", 1, 6, 2),
        AppendReject(3, "m2", 1, 5, 4, 2, 2),
        HeartbeatAck(3, "m2", 1, 2),
    ],
)
def test_messages_survive_the_wire(message: Free | Promise) -> None:
    assert decode_message(encode_message(message)) == message  # type: ignore[arg-type]


def test_a_member_that_may_not_campaign_forgets_a_silent_leader() -> None:  # trap D7
    node = RaftCore("m9", VOTERS, start([1]), HardState(1, ""), TIMING, lambda: 0.0, 0)
    node.step(append(1, (1, 1), []))
    node.read(7, ask=True)
    node.take_effects()
    for now_ms in range(200, 1300, 200):
        node.tick(now_ms)
    effects = node.take_effects()
    assert (node.role, node.leader, node.term) == ("follower", "", 1)
    assert effects.reads_failed == [7]
