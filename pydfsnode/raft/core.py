"""The consensus core: events in, `Effects` out. No clock, disk, network or randomness of its own.

Rules kept here and asserted in the tests (numbers as in the reference's list of normative rules):
1. Hard state and entries of a turn are one durable group with one io id.
2. What promises leaves only behind that io id (`Promise` messages).
3. Followers truncate only at a conflict above the commit index and commit only what a message
   verified.
4. A leader commits by a majority of durable copies and only through an entry of its own term.
5. One vote a term; pre-vote changes nothing; a live leader is not disturbed.
6. Reads are confirmed by monotone rounds and wait for an own-term commit.

When a method raises, nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydfsnode import limits
from pydfsnode.errors import NotLeader, Overloaded
from pydfsnode.raft import election, reads, replication
from pydfsnode.raft.effects import Effects, HardState
from pydfsnode.raft.log import EntryLog
from pydfsnode.raft.messages import (
    Append,
    AppendAck,
    AppendReject,
    HeartbeatAck,
    Message,
    PreVoteRequest,
    PreVoteResponse,
    VoteGrant,
    VoteRefusal,
    VoteRequest,
)
from pydfsnode.raft.state import CANDIDATE, LEADER, State
from pydfsnode.raft.types import LogStart, PeerView, Timing

_HANDLERS: dict[type, Callable[[State, Any], None]] = {
    VoteRequest: election.on_vote_request,
    VoteGrant: election.on_vote_answer,
    VoteRefusal: election.on_vote_answer,
    PreVoteRequest: election.on_pre_vote_request,
    PreVoteResponse: election.on_pre_vote_response,
    Append: replication.on_append,
    AppendAck: replication.on_append_ack,
    AppendReject: replication.on_append_reject,
    HeartbeatAck: replication.on_heartbeat_ack,
}

RETRY_AFTER_MS = 50


class RaftCore:
    """One voter.

    Feed it with `step`, `tick`, `propose`, `read`, `persisted`; then `take_effects`.
    """

    def __init__(
        self,
        node_id: str,
        voters: tuple[str, ...],
        start: LogStart,
        hard_state: HardState,
        timing: Timing,
        random: Callable[[], float],
        now_ms: int,
        applied_index: int = 0,
    ) -> None:
        """Begin as a follower with what was durable.

        Args:
            voters: node ids of all voters, this one usually among them.
            random: uniform in [0, 1), for election timeouts.
            now_ms: the caller's monotonic clock.
            applied_index: what the state machine holds; committed by definition.
        """
        log = EntryLog(start)
        self._state = State(
            node_id, voters, log, timing, random, now_ms, hard_state.term, hard_state.vote
        )
        self._state.durable_index = log.last_index
        self._state.commit_index = self._state.applied_index = applied_index
        self._state.reset_election_deadline()

    # ---- events

    def step(self, message: Message) -> None:
        """Take a message of another voter; one of a stranger is ignored."""
        if message.sender in self._state.voters and message.sender != self._state.node_id:
            _HANDLERS[type(message)](self._state, message)

    def tick(self, now_ms: int) -> None:
        """Let time pass; call it a few times per heartbeat interval."""
        election.tick(self._state, now_ms)

    def propose(
        self, payloads: Sequence[bytes], kind: int = replication.KIND_OPERATION
    ) -> tuple[int, int]:
        """Append *payloads*, one entry each, all or none; return (term, index of the first).

        Raises:
            NotLeader: with the leader's node id in leader_hint, "" when unknown.
            Overloaded: the uncommitted tail is full.
        """
        state = self._state
        self._require_leader()
        size = sum(map(len, payloads))
        tail = state.log.last_index - state.commit_index
        if (
            tail + len(payloads) > limits.UNCOMMITTED_ENTRIES_MAX
            or state.uncommitted_bytes + size > limits.UNCOMMITTED_BYTES_MAX
        ):
            raise Overloaded(
                f"{tail} operations wait for a majority of masters", retry_after_ms=RETRY_AFTER_MS
            )
        return state.term, replication.propose(state, list(payloads), kind)

    def read(self, read_id: int) -> None:
        """Register a linearizable read; it comes back in `reads_ready` or `reads_failed`.

        Raises:
            NotLeader, Overloaded.
        """
        self._require_leader()
        if len(self._state.reads) >= limits.PENDING_READS_MAX:
            raise Overloaded("too many reads wait", retry_after_ms=RETRY_AFTER_MS)
        reads.register(self._state, read_id)

    def persisted(self, io_id: int) -> None:
        """Note that the group *io_id*, and so all before it, is durable."""
        state = self._state
        if io_id <= state.io_durable:
            return
        state.io_durable = io_id
        while state.io_last_index and state.io_last_index[0][0] <= io_id:
            last_index = state.io_last_index.popleft()[1]
            state.durable_index = max(state.durable_index, last_index)
        if state.role == CANDIDATE and state.campaign_io <= io_id:
            election.own_vote_durable(state)
        elif state.role == LEADER:
            replication.maybe_commit(state)

    def applied(self, index: int) -> None:
        """Note that the state machine holds everything up to *index*."""
        state = self._state
        state.applied_index = max(state.applied_index, index)
        state.log.trim_cache(min(state.applied_index, state.durable_index))

    def take_effects(self) -> Effects:
        """Everything that must be done now, in `Effects`' order; the core starts a new record."""
        state = self._state
        if state.role == LEADER:
            replication.flush(state)
        effects = state.effects
        if effects.persist is not None:
            state.io_issued = effects.persist.io_id
            state.io_last_index.append((state.io_issued, state.log.last_index))
        state.effects = Effects()
        return effects

    def _require_leader(self) -> None:
        if self._state.role != LEADER:
            raise NotLeader("this master is not the leader", leader_hint=self._state.leader)

    # ---- views

    def entries(
        self, first: int, last: int, bytes_max: int = limits.APPEND_BYTES_MAX
    ) -> list[bytes]:
        """Encoded entries from *first* on: at least one, up to *last*, about *bytes_max*."""
        return self._state.log.entries(first, last, bytes_max)

    @property
    def node_id(self) -> str:
        """This voter's id."""
        return self._state.node_id

    @property
    def role(self) -> str:
        """'follower', 'pre_candidate', 'candidate' or 'leader'."""
        return self._state.role

    @property
    def term(self) -> int:
        """The current term."""
        return self._state.term

    @property
    def vote(self) -> str:
        """Whom this node voted for in the current term, "" for nobody."""
        return self._state.vote

    @property
    def leader(self) -> str:
        """The node id of the known leader, "" when unknown."""
        return self._state.leader

    @property
    def commit_index(self) -> int:
        """The last index known to be committed."""
        return self._state.commit_index

    @property
    def applied_index(self) -> int:
        """The last index that the state machine reported as applied."""
        return self._state.applied_index

    @property
    def last_index(self) -> int:
        """The last index of the log, durable or not."""
        return self._state.log.last_index

    @property
    def durable_index(self) -> int:
        """The last index durable here."""
        return self._state.durable_index

    @property
    def noop_index(self) -> int:
        """As leader: the index of the no-op that opened this term."""
        return self._state.noop_index

    def term_at(self, index: int) -> int:
        """The term of the entry at *index*, -1 where there is none."""
        return self._state.log.term_at(index)

    def counters(self) -> dict[str, int]:
        """Totals since start, for metrics."""
        state = self._state
        return {
            "elections_started": state.elections_started,
            "appends_sent": state.appends_sent,
            "entries_sent": state.entries_sent,
        }

    def peers(self) -> list[PeerView]:
        """The other voters as the leader sees them; empty elsewhere."""
        state = self._state
        timeout_ms = state.timing.election_timeout_ms
        return [
            PeerView(peer, p.match_index, state.now_ms - p.active_at_ms <= timeout_ms)
            for peer, p in state.progress.items()
        ]
