"""Linearizable reads without the log: a round of confirmation, shared by all waiting reads
(thesis §6.4).

Rounds are numbered per leadership and only grow; an answer confirms its round and all before it,
so a late answer to an old round never confirms a newer read (trap D2). One round is under way at
a time; reads that arrive meanwhile share the next. A leader that has not committed in its own
term does not know the commit index yet: its reads wait for its no-op (trap D1).
"""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode.raft import lease
from pydfsnode.raft.effects import ReadReady
from pydfsnode.raft.messages import ReadIndexAnswer, ReadIndexRequest
from pydfsnode.raft.state import LEADER, PendingRead, State


def register(state: State, read_id: int, origin: str = "", nonce: int = 0) -> None:
    """Queue a read of this leader, or one that a follower, *origin*, asks for."""
    index = max(state.commit_index, state.noop_index)
    under_way = state.read_round > state.round_confirmed
    state.reads.append(PendingRead(read_id, index, state.read_round + 1, origin, nonce))
    if not under_way:
        state.round_wanted = True


def by_lease(state: State, read_id: int) -> bool:
    """Answer a read from the lease, without asking anybody; False when there is none."""
    if not lease.holds(state):
        return False
    state.effects.reads_ready.append(ReadReady(read_id, state.commit_index))
    return True


def ask_leader(state: State, read_id: int) -> None:
    """As a follower: have the leader say which index the read must wait for."""
    state.asked_leader[read_id] = state.now_ms + state.timing.election_timeout_ms
    request = ReadIndexRequest(state.term, state.node_id, read_id, state.nonce)
    state.send(state.leader, request)


def expire_asked(state: State) -> None:
    """Give up questions that the leader did not answer within an election timeout."""
    if not state.asked_leader:
        return
    late = [i for i, until_ms in state.asked_leader.items() if until_ms <= state.now_ms]
    for read_id in late:
        del state.asked_leader[read_id]
    state.effects.reads_failed.extend(late)


def on_request(state: State, message: ReadIndexRequest) -> None:
    """A follower asks; one that does not lead says so."""
    if state.role != LEADER or len(state.reads) >= limits.PENDING_READS_MAX:
        answer = ReadIndexAnswer(state.term, state.node_id, message.read_id, message.nonce, -1)
        state.send(message.sender, answer)
        return
    register(state, message.read_id, message.sender, message.nonce)


def on_answer(state: State, message: ReadIndexAnswer) -> None:
    """The leader's answer; one to an older process, or come too late, is not counted."""
    if message.nonce != state.nonce or state.asked_leader.pop(message.read_id, None) is None:
        return
    if message.index < 0:
        state.effects.reads_failed.append(message.read_id)
    else:
        state.effects.reads_ready.append(ReadReady(message.read_id, message.index))


def start_round(state: State) -> bool:
    """Begin the next round if one is wanted; True when followers must be asked."""
    if not state.round_wanted:
        return False
    state.round_wanted = False
    state.read_round += 1
    confirm(state)
    return state.round_confirmed < state.read_round


def confirm(state: State) -> None:
    """Recompute which round a majority has confirmed; the leader confirms its own rounds."""
    confirmed = state.majority_reached(state.read_round, lambda p: p.read_round)
    if confirmed > state.round_confirmed:
        state.round_confirmed = confirmed
        release(state)
        if state.reads and state.reads[-1].round > state.read_round:
            state.round_wanted = True


def release(state: State) -> None:
    """Hand out the reads that are confirmed and whose index is committed."""
    while state.reads:
        read = state.reads[0]
        if read.round > state.round_confirmed or read.index > state.commit_index:
            return
        state.reads.popleft()
        if read.origin:
            answer = ReadIndexAnswer(
                state.term, state.node_id, read.read_id, read.nonce, read.index
            )
            state.send(read.origin, answer)
        else:
            state.effects.reads_ready.append(ReadReady(read.read_id, read.index))
