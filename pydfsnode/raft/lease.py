"""The leader's lease: until when no other master can have been elected (thesis §6.4.1).

Every follower that answered a message refuses its vote for an election timeout from when it came,
so for at least that long from when it was SENT; counted from the receipt of the answer the lease
would outlive the promise (trap D4). A restarted follower keeps the promise by refusing votes for
one timeout (trap D6b). A transfer voids the lease, for elections by its order ignore the promise
(trap D5).
"""

from __future__ import annotations

from pydfsnode.raft.progress import NEVER_MS
from pydfsnode.raft.state import LEADER, State

GUARD_MS = 10
"""Clocks are read in whole milliseconds, and a turn takes a few."""
VOID_TIMEOUTS = 5
"""After a transfer was given up its messages may still elect somebody for a few timeouts."""


def confirmed_sent_ms(state: State) -> int:
    """When the leader sent the newest message that a majority has answered by now."""
    return state.majority_reached(state.now_ms, lambda p: p.acked_sent_ms, NEVER_MS)


def confirmed_ms_ago(state: State) -> int:
    """How long ago a majority confirmed this leader; -1 before the first entry of its term."""
    if state.commit_index < state.noop_index:
        return -1
    ago_ms = state.now_ms - confirmed_sent_ms(state)
    return ago_ms if ago_ms < -NEVER_MS // 2 else -1


def holds(state: State) -> bool:
    """Whether this leader may answer reads from its own state now."""
    if state.role != LEADER or state.transfer_to or state.now_ms < state.lease_void_until_ms:
        return False
    length_ms = state.timing.election_timeout_ms * (1 - state.timing.clock_drift) - GUARD_MS
    return 0 <= confirmed_ms_ago(state) < length_ms


def void(state: State) -> None:
    """A transfer begins: no lease until none of its messages can elect anybody."""
    timeout_ms = state.timing.election_timeout_ms
    state.lease_void_until_ms = state.now_ms + VOID_TIMEOUTS * timeout_ms
