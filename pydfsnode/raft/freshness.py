"""How old a follower's state is at most, without comparing two masters' clocks.

A follower puts its own clock in its answers, and the leader sends the newest back: the leader's
message was then sent after that moment. It also says how long before sending a majority had last
confirmed it; then, whatever was committed until that moment, by anybody, is within the commit
index that it names. So the state that holds that index is at most `now - (echo - confirmed_ago)`
old, however late the message came.
"""

from __future__ import annotations

from pydfsnode.raft import lease
from pydfsnode.raft.messages import Append
from pydfsnode.raft.state import LEADER, State

PENDING_MAX = 64


def clock_of(state: State) -> int:
    """This process's clock as it goes into answers: shifted, so that another one's is noticed."""
    return state.now_ms + state.nonce


def note(state: State, message: Append) -> None:
    """Take from the leader's *message* how fresh the state after its commit index is."""
    echo_ms = message.echo_ms - state.nonce
    if message.confirmed_ms_ago < 0 or not 0 <= echo_ms <= state.now_ms:
        return
    # The leader counted by its own clock, which may be the slower one.
    ago_ms = int(message.confirmed_ms_ago * (1 + state.timing.clock_drift)) + 1
    as_of_ms = echo_ms - ago_ms
    if message.commit_index <= state.applied_index:
        state.fresh_as_of_ms = max(state.fresh_as_of_ms, as_of_ms)
    elif len(state.freshness) < PENDING_MAX:
        state.freshness.append((message.commit_index, as_of_ms))


def applied(state: State) -> None:
    """Count what the state machine has caught up with."""
    pending = state.freshness
    while pending and pending[0][0] <= state.applied_index:
        state.fresh_as_of_ms = max(state.fresh_as_of_ms, pending.popleft()[1])


def staleness_ms(state: State) -> int | None:
    """How old the applied state is at most; None when nothing is known."""
    if state.role == LEADER:
        if state.applied_index < state.commit_index:
            return None
        ago_ms = lease.confirmed_ms_ago(state)
        return None if ago_ms < 0 else ago_ms
    if state.fresh_as_of_ms < 0:
        return None
    return max(0, state.now_ms - state.fresh_as_of_ms)
