"""Changing the members while they work: joint consensus over any two sets of voters (Raft §6).

A change is in force once its entry is in the log, committed or not, and rolled back when the entry
is truncated. One change at a time: the next may begin when the last is committed, final, and this
leader has committed in its own term (trap E2). Whoever leads when the joint entry is committed
appends the final one (trap E4). A leader that is no voter any more leads until that is committed.
"""

from __future__ import annotations

from pydfsnode.errors import ChangeInProgress, InvalidArgument
from pydfsnode.raft import reads, replication, transfer
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.progress import Progress
from pydfsnode.raft.state import State
from pydfsnode.raft.types import KIND_CONFIGURATION

LEAVING_TIMEOUTS = 8
"""A removed member is still told what is committed for so many election timeouts."""


def change(
    state: State, voters: tuple[str, ...], learners: tuple[str, ...], addresses: dict[str, str]
) -> int:
    """Append the configuration that leads to *voters* and *learners*; return its index.

    Raises:
        ChangeInProgress: the last change, or this leader's first entry, is not committed yet.
        InvalidArgument: nobody would vote, or somebody would be voter and learner.
    """
    if not voters or set(voters) & set(learners):
        raise InvalidArgument(
            f"voters {', '.join(voters) or 'none'} and learners {', '.join(learners) or 'none'}: "
            "at least one must vote, and nobody can be both"
        )
    if not is_settled(state):
        raise ChangeInProgress(
            "another change of the masters is not finished: try again when it is",
            retry_after_ms=50,
        )
    return _append(state, state.configuration.joint_with(voters, learners, addresses))


def is_settled(state: State) -> bool:
    """Whether the configuration in force is final and committed, and this term has committed."""
    return (
        not state.configuration.is_joint
        and state.members.index <= state.commit_index
        and state.noop_index <= state.commit_index
    )


def settle(state: State) -> None:
    """As leader: leave a joint configuration that is committed; step down when left out."""
    if state.members.index > state.commit_index or state.noop_index > state.commit_index:
        return
    if state.configuration.is_joint:
        _append(state, state.configuration.final())
    elif not state.is_voter:
        replication.broadcast_commit(state)
        transfer.hand_over(state)


def _append(state: State, configuration: Configuration) -> int:
    index = replication.propose(state, [configuration.encode()], KIND_CONFIGURATION)
    state.append_configuration(index, configuration)
    track(state, index)
    reads.confirm(state)  # by the voters of now: those that left may never answer
    return index


def track(state: State, next_index: int) -> None:
    """As leader: replicate to every member, and tell those that left for a while.

    Args:
        next_index: where the search begins in the log of a new one; an entry of ours, so that the
            search begins at once and does not wait for the next proposal.
    """
    members = state.configuration.members
    for member in members:
        if member == state.node_id:
            continue
        progress = state.progress.get(member)
        if progress is None or progress.leaving_until_ms:
            # Also one that is added again, as if never seen: nothing learnt counts (trap B8).
            state.progress.pop(member, None)
            state.stream += 1
            state.progress[member] = Progress(
                next_index, state.stream,
                active_at_ms=state.now_ms, advanced_at_ms=state.now_ms,
            )  # fmt: skip
    until_ms = state.now_ms + LEAVING_TIMEOUTS * state.timing.election_timeout_ms
    for member, progress in state.progress.items():
        if member not in members and not progress.leaving_until_ms:
            progress.leaving_until_ms = until_ms


def tick(state: State) -> None:
    """Forget those that left long enough ago."""
    gone = [m for m, p in state.progress.items() if 0 < p.leaving_until_ms <= state.now_ms]
    for member in gone:
        del state.progress[member]
