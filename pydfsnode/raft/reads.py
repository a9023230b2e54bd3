"""Linearizable reads without the log: a round of confirmation, shared by all waiting reads
(thesis §6.4).

Rounds are numbered per leadership and only grow; an answer confirms its round and all before it,
so a late answer to an old round never confirms a newer read (trap D2). One round is under way at
a time; reads that arrive meanwhile share the next. A leader that has not committed in its own
term does not know the commit index yet: its reads wait for its no-op (trap D1).
"""

from __future__ import annotations

from pydfsnode.raft import quorum
from pydfsnode.raft.effects import ReadReady
from pydfsnode.raft.state import PendingRead, State


def register(state: State, read_id: int) -> None:
    """Queue a read of this leader."""
    index = max(state.commit_index, state.noop_index)
    under_way = state.read_round > state.round_confirmed
    state.reads.append(PendingRead(read_id, index, state.read_round + 1))
    if not under_way:
        state.round_wanted = True


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
    rounds = [p.read_round for p in state.progress.values()]
    confirmed = quorum.committed([*rounds, state.read_round])
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
        state.effects.reads_ready.append(ReadReady(read.read_id, read.index))
