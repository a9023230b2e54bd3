"""Elections: pre-vote, vote, check-quorum (Raft §5.2, §5.4.1; thesis §9.6).

Safety here: a term and a vote are durable, in one record, before anyone hears of them (traps
A1-A3), and a candidate counts its own vote only then.
"""

from __future__ import annotations

from pydfsnode.raft import quorum, reads, replication, transfer
from pydfsnode.raft.messages import (
    PreVoteRequest,
    PreVoteResponse,
    VoteGrant,
    VoteRefusal,
    VoteRequest,
)
from pydfsnode.raft.progress import NEVER_MS
from pydfsnode.raft.state import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, State

OVERSLEPT_MS = 300
"""A gap between ticks after which this process was paused: what it believes is old (trap J2)."""


def tick(state: State, now_ms: int) -> None:
    """Let time pass to *now_ms*."""
    overslept = now_ms - state.tick_ms > OVERSLEPT_MS
    state.now_ms = state.tick_ms = max(state.now_ms, now_ms)
    reads.expire_asked(state)
    if not overslept:
        _forget_silent_leader(state)
    if state.role == LEADER:
        replication.tick(state)
        _check_quorum(state, overslept)
        if state.role == LEADER and state.disk_stalled and state.other_voters:
            transfer.hand_over(state)
    elif overslept:
        state.reset_election_deadline()
    elif state.disk_stalled or (state.role == CANDIDATE and state.campaign_io > state.io_durable):
        return  # its own vote is not on disk yet: another term would only queue behind it
    elif state.now_ms >= state.election_deadline_ms and state.may_lead:
        start_pre_vote(state)


def _forget_silent_leader(state: State) -> None:
    """Who may not campaign must notice too that nobody leads it any more, or was removed.

    Else it would name that leader, and let reads wait for it, for ever (trap D7).
    """
    given_up_ms = state.election_deadline_ms + state.timing.election_timeout_ms
    if state.role == FOLLOWER and state.leader and state.now_ms > given_up_ms:
        state.become_follower(state.term, "")


def _check_quorum(state: State, overslept: bool) -> None:
    """Step down when no majority was heard from for an election timeout."""
    if state.now_ms < state.quorum_check_due_ms:
        return
    timeout_ms = state.timing.election_timeout_ms
    state.quorum_check_due_ms = state.now_ms + timeout_ms
    if overslept:
        return  # nobody could be heard; the next check decides
    heard_ms = state.majority_reached(state.now_ms, lambda p: p.active_at_ms, NEVER_MS)
    if state.now_ms - heard_ms > timeout_ms:
        state.become_follower(state.term, "")


def start_pre_vote(state: State) -> None:
    """Ask whether an election could be won, without disturbing anybody's term."""
    state.reset_election_deadline()
    if state.role != PRE_CANDIDATE or state.leader:
        state.effects.role_changed = True
    state.role = PRE_CANDIDATE
    state.leader = ""
    state.fail_asked_reads()
    state.grants = {state.node_id: True}
    state.elections_started += 1
    if _won(state):
        campaign(state)
        return
    request = PreVoteRequest(
        state.term + 1, state.node_id, state.log.last_index, state.log.last_term
    )
    for peer in state.other_voters:
        state.send(peer, request)


def campaign(state: State, *, by_transfer: bool = False) -> None:
    """Become a candidate of the next term; votes are asked for once the own one is durable.

    Args:
        by_transfer: the leader ordered this election (thesis §3.10).
    """
    if by_transfer:
        state.elections_started += 1
    state.reset_election_deadline()
    state.role = CANDIDATE
    state.leader = ""
    state.fail_asked_reads()
    state.effects.role_changed = True
    state.term += 1
    state.vote = state.node_id
    state.grants = {}
    state.persist_hard_state()
    state.campaign_io = state.pending_persist().io_id
    state.order_until_ms = state.election_deadline_ms if by_transfer else None
    request = VoteRequest(
        state.term, state.node_id, state.log.last_index, state.log.last_term, by_transfer
    )
    for peer in state.other_voters:
        state.promise(peer, request)


def own_vote_durable(state: State) -> None:
    """Count the own vote; called when the campaign's io is durable and the term still the same."""
    state.grants[state.node_id] = True
    _count(state)


def _has_live_leader(state: State) -> bool:
    """A leader was heard from within the smallest election timeout: nobody is needed (trap A7).

    Also when it is not followed any more: its lease counts on this silence (trap D4). A process
    that just started does not know what it promised before, so it waits that long too (trap D6b).
    """
    if state.role == LEADER:
        return True
    return state.now_ms - state.leader_heard_ms < state.timing.election_timeout_ms


def on_pre_vote_request(state: State, message: PreVoteRequest) -> None:
    """Answer what a vote would be; changes nothing here."""
    granted = (
        message.term > state.term
        and not _has_live_leader(state)
        and state.log.is_up_to_date(message.last_index, message.last_term)
    )
    answer = PreVoteResponse(state.term, state.node_id, message.term, granted)
    state.send(message.sender, answer)


def on_pre_vote_response(state: State, message: PreVoteResponse) -> None:
    """Count an answer to the pre-vote of now; a higher term in a refusal is adopted (trap A4)."""
    if message.term > state.term and not message.granted:
        state.become_follower(message.term, "")
        return
    if state.role != PRE_CANDIDATE or message.asked_term != state.term + 1:
        return
    if state.now_ms >= state.election_deadline_ms:
        return  # of a round that is over: this process slept, and a leader may live (trap J2)
    state.grants[message.sender] = message.granted
    if _won(state):
        campaign(state)


def on_vote_request(state: State, message: VoteRequest) -> None:
    """Grant one vote a term, durably, to a candidate whose log is complete enough."""
    if message.term < state.term:
        state.send(message.sender, VoteRefusal(state.term, state.node_id))
        return
    if _has_live_leader(state) and not message.transfer:
        return  # a rejoining or removed node must not depose a leader that is heard (traps A7, A8)
    if message.term > state.term:
        state.become_follower(message.term, "")
    free = state.vote in ("", message.sender)
    if not free or not state.log.is_up_to_date(message.last_index, message.last_term):
        state.send(message.sender, VoteRefusal(state.term, state.node_id))
        return
    if state.vote != message.sender:
        state.vote = message.sender
        state.persist_hard_state()
    if state.role != FOLLOWER:
        state.role = FOLLOWER
        state.effects.role_changed = True
    state.reset_election_deadline()
    state.promise(message.sender, VoteGrant(state.term, state.node_id))


def on_vote_answer(state: State, message: VoteGrant | VoteRefusal) -> None:
    """Count an answer to the campaign of now."""
    if message.term > state.term:
        state.become_follower(message.term, "")
        return
    if state.role != CANDIDATE or message.term != state.term:
        return
    state.grants[message.sender] = isinstance(message, VoteGrant)
    _count(state)


def _won(state: State) -> bool:
    """Whether a majority of the voters granted; what others say does not count (trap A10)."""
    grants = state.grants
    return quorum.joint_majority(state.configuration, lambda voter: grants.get(voter, False))


def _count(state: State) -> None:
    if not state.grants.get(state.node_id) or not _won(state):
        return  # the own vote must be durable first
    if state.order_until_ms is not None and state.now_ms >= state.order_until_ms:
        return  # votes by order ignore the leader's lease, and it may trust that again (trap H1)
    replication.become_leader(state)
