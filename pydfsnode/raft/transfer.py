"""Handing leadership over: stop proposals and lease, let the target catch up, ask it to be elected
(thesis §3.10).

The target campaigns at once, without a pre-vote, and its request says that the leader wants it, so
that nobody refuses for the leader's sake. It must hold the leader's whole log, durably, and the
order must be fresh: one that was delayed would depose a leader that long trusts its lease again
(trap H1).
"""

from __future__ import annotations

from pydfsnode.raft import election, lease
from pydfsnode.raft.messages import TimeoutNow
from pydfsnode.raft.state import FOLLOWER, State


def best_target(state: State) -> str:
    """The other voter that is heard and holds most; "" when there is none."""
    timeout_ms = state.timing.election_timeout_ms
    staying = [m for m in state.configuration.voters if m in state.progress]
    heard = [m for m in staying if state.now_ms - state.progress[m].active_at_ms <= timeout_ms]
    return max(heard, key=lambda m: (state.progress[m].match_index, m), default="")


def begin(state: State, to: str) -> None:
    """Take no more proposals and order the election of *to* once it holds everything."""
    state.transfer_to = to
    state.transfer_deadline_ms = state.now_ms + state.timing.election_timeout_ms
    lease.void(state)
    order_election(state)


def order_election(state: State) -> None:
    """Send the order when the target holds the whole log."""
    progress = state.progress.get(state.transfer_to)
    if progress is None or progress.match_index != state.log.last_index:
        return
    state.send(
        state.transfer_to,
        TimeoutNow(
            state.term, state.node_id, state.log.last_index, state.log.last_term,
            progress.clock_ms,
        ),
    )  # fmt: skip


def tick(state: State) -> None:
    """Give up in time, and then void the lease for long enough; repeat an order that was lost."""
    if not state.transfer_to:
        return
    if state.now_ms >= state.transfer_deadline_ms or state.transfer_to not in state.progress:
        state.transfer_to = ""
        lease.void(state)
        return
    order_election(state)


def hand_over(state: State) -> None:
    """Lead no longer, and let the best voter be elected if it can be at once."""
    to = best_target(state)
    if to:
        state.transfer_to = to
        order_election(state)
    state.become_follower(state.term, "")


def on_timeout_now(state: State, message: TimeoutNow) -> None:
    """Campaign, unless the order is old or this node is not the one that it describes."""
    if message.term > state.term:
        state.become_follower(message.term, "")
        return
    age_ms = state.now_ms + state.nonce - message.echo_ms
    if (
        message.term != state.term
        or state.role != FOLLOWER
        or state.leader not in (message.sender, "")
        or not state.is_voter
        or not 0 <= age_ms <= state.timing.election_timeout_ms
        or (state.log.last_index, state.log.last_term) != (message.last_index, message.last_term)
        or state.durable_index < message.last_index
    ):
        return
    election.campaign(state, by_transfer=True)
