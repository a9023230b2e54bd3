"""The consensus core: events in, `Effects` out. No clock, disk, network or randomness of its own.

Rules kept here and asserted in the tests (numbers as in the reference's list of normative rules):
1. Hard state and entries of a turn are one durable group with one io id.
2. What promises leaves only behind that io id (`Promise` messages).
3. Followers truncate only at a conflict above the commit index and commit only what a message
   verified.
4. A leader commits by a majority of durable copies and only through an entry of its own term.
5. One vote a term; pre-vote changes nothing; a live leader is not disturbed.
6. Reads are confirmed by monotone rounds and wait for an own-term commit; a lease counts from
   when messages were sent, and a transfer voids it.
7. One change of the members at a time, in force from its entry on, rolled back with it.
8. A snapshot is installed only above the commit index, in a durable group of its own.

When a method raises, nothing was changed, but that the sender of a damaged append leads its term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument, NotLeader, Overloaded, invariant
from pydfsnode.raft import (
    election,
    following,
    freshness,
    lease,
    membership,
    reads,
    replication,
    transfer,
)
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.configurations import Configurations
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
    ReadIndexAnswer,
    ReadIndexRequest,
    SnapshotHeader,
    TimeoutNow,
    VoteGrant,
    VoteRefusal,
    VoteRequest,
)
from pydfsnode.raft.state import CANDIDATE, LEADER, State
from pydfsnode.raft.types import KIND_OPERATION, LogStart, PeerView, Timing

_HANDLERS: dict[type, Callable[[State, Any], None]] = {
    VoteRequest: election.on_vote_request,
    VoteGrant: election.on_vote_answer,
    VoteRefusal: election.on_vote_answer,
    PreVoteRequest: election.on_pre_vote_request,
    PreVoteResponse: election.on_pre_vote_response,
    Append: following.on_append,
    AppendAck: replication.on_append_ack,
    AppendReject: replication.on_append_reject,
    HeartbeatAck: replication.on_heartbeat_ack,
    TimeoutNow: transfer.on_timeout_now,
    ReadIndexRequest: reads.on_request,
    ReadIndexAnswer: reads.on_answer,
}

RETRY_AFTER_MS = 50
_NONCES = 2**44
_NONCE_STEP = 2**8


class RaftCore:
    """One member.

    Feed it with `advance`, `step`, `tick`, `propose`, `read`, `persisted`; then `take_effects`.
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
            node_id: this node's member id.
            voters: of a log that holds no configuration; empty for a node of no cluster yet.
            random: uniform in [0, 1), for election timeouts and this process's nonce.
            now_ms: the caller's monotonic clock.
            applied_index: what the state machine holds; committed by definition.
        """
        log = EntryLog(start)
        base = Configuration(tuple(sorted(voters)))
        if start.base is not None:
            base = Configuration.decode(start.base)
        later = [(index, Configuration.decode(c)) for index, c in start.configurations]
        self._state = state = State(
            node_id, Configurations(base, later), log, timing, random, now_ms,
            hard_state.term, hard_state.vote,
        )  # fmt: skip
        state.durable_index = log.last_index
        state.commit_index = state.applied_index = applied_index
        state.leader_heard_ms = state.tick_ms = now_ms  # what it promised before is forgotten
        state.nonce = int(random() * _NONCES) * _NONCE_STEP
        state.reset_election_deadline()

    # ---- events

    def advance(self, now_ms: int) -> None:
        """Let the core see the clock; nothing times out by it. Call it before other events."""
        self._state.now_ms = max(self._state.now_ms, now_ms)

    def step(self, message: Message) -> None:
        """Take a message of another master.

        Who is not a member is heard too: a new server does not know its leader yet, and voters
        may not know each other. Whose vote or acknowledgement counts is decided where it is
        counted.
        """
        handler = _HANDLERS.get(type(message))
        if handler is not None and message.sender != self._state.node_id:
            handler(self._state, message)

    def tick(self, now_ms: int) -> None:
        """Let time pass; call it a few times per heartbeat interval."""
        election.tick(self._state, now_ms)

    def propose(
        self,
        payloads: Sequence[bytes],
        kind: int = KIND_OPERATION,
        kinds: Sequence[int] | None = None,
    ) -> tuple[int, int]:
        """Append *payloads*, one entry each, all or none; return (term, index of the first).

        Args:
            kinds: of each payload, when they are not all of *kind*.

        Raises:
            NotLeader: with the leader's node id in leader_hint, "" when unknown.
            Overloaded: the uncommitted tail is full.
        """
        state = self._state
        self._require_leader()
        if state.transfer_to:
            raise Overloaded("leadership is being handed over", retry_after_ms=RETRY_AFTER_MS)
        size = sum(map(len, payloads))
        tail = state.log.last_index - state.commit_index
        if (
            tail + len(payloads) > limits.UNCOMMITTED_ENTRIES_MAX
            or state.uncommitted_bytes + size > limits.UNCOMMITTED_BYTES_MAX
        ):
            raise Overloaded(
                f"{tail} operations wait for a majority of masters", retry_after_ms=RETRY_AFTER_MS
            )
        return state.term, replication.propose(state, payloads, kind, kinds)

    def read(self, read_id: int, *, by_lease: bool = False, ask: bool = False) -> None:
        """Register a linearizable read; it comes back in `reads_ready` or `reads_failed`.

        Args:
            by_lease: the leader's lease will do, if it holds one.
            ask: a follower may ask the leader which index to wait for.

        Raises:
            NotLeader, Overloaded.
        """
        state = self._state
        if ask and state.role != LEADER and state.leader:
            if len(state.asked_leader) >= limits.PENDING_READS_MAX:
                raise Overloaded("too many reads wait", retry_after_ms=RETRY_AFTER_MS)
            reads.ask_leader(state, read_id)
            return
        self._require_leader()
        if by_lease and reads.by_lease(state, read_id):
            return
        if len(state.reads) >= limits.PENDING_READS_MAX:
            raise Overloaded("too many reads wait", retry_after_ms=RETRY_AFTER_MS)
        reads.register(state, read_id)

    def change_configuration(
        self, voters: tuple[str, ...], learners: tuple[str, ...], addresses: dict[str, str]
    ) -> int:
        """Begin the change to *voters* and *learners*; return the index of its first entry.

        It is done when `configuration` is final and committed; `membership` says how.

        Raises:
            NotLeader, ChangeInProgress, InvalidArgument: nothing changed.
        """
        self._require_leader()
        if self._state.transfer_to:
            raise Overloaded("leadership is being handed over", retry_after_ms=RETRY_AFTER_MS)
        return membership.change(self._state, voters, learners, addresses)

    def bootstrap(self, configuration: Configuration) -> None:
        """Become a member of a new cluster: *configuration* is that of the empty log.

        Others may have begun it before: what their leader sent until now stays.

        Raises:
            InvalidArgument: this node has members already.
        """
        state = self._state
        if state.configuration.members or state.log.first_index > 1:
            raise InvalidArgument("this master belongs to a cluster already")
        state.members.reset(0, configuration)
        state.pending_persist().base = configuration.encode()
        state.effects.configuration_changed = True

    def transfer_leadership(self, to: str = "") -> str:
        """Begin to hand over to the voter *to*, "" for the best; return its member id.

        Proposals are refused until `transferring` is "" again.

        Raises:
            NotLeader, InvalidArgument: *to* does not vote, or nobody else is heard.
        """
        self._require_leader()
        state = self._state
        to = to or transfer.best_target(state)
        if to not in state.configuration.voters or to not in state.progress:
            raise InvalidArgument(
                f"'{to}' cannot lead: it is no other voter" if to else "no other voter is heard"
            )
        if state.transfer_to != to:
            transfer.begin(state, to)
        return to

    def snapshot_finished(self, peer: str, stream: int) -> None:
        """A transfer that `snapshot_to` asked for has ended, well or not."""
        replication.snapshot_finished(self._state, peer, stream)

    def snapshot_offered(self, header: SnapshotHeader) -> bool:
        """Whether to take the snapshot that *header* begins; its sender leads if so."""
        return following.on_snapshot_header(self._state, header)

    def install(self, header: SnapshotHeader) -> bool:
        """Take the staged snapshot as log and state; False when it is old by now.

        Call it when `take_effects` has just been executed. The driver stops applying, installs by
        the group's `install`, loads the state machine, and goes on after `header.index`.
        """
        return following.install(self._state, header)

    def compact(self, through: int) -> bytes:
        """Forget the log up to *through*, which is applied; return the configuration there.

        The caller removes the entries from the disk afterwards, not before.
        """
        state = self._state
        invariant(
            through <= min(state.applied_index, state.durable_index),
            "compaction of what is not applied and durable",
            through=through,
        )
        state.log.compact(through)
        return state.members.compact(through).encode()

    def persisted(self, io_id: int) -> None:
        """Note that the group *io_id*, and so all before it, is durable."""
        state = self._state
        if io_id <= state.io_durable:
            return
        state.io_durable = io_id
        while state.io_last_index and state.io_last_index[0][0] <= io_id:
            last_index = state.io_last_index.popleft()[1]
            state.durable_index = max(state.durable_index, last_index)
        while state.io_issued_ms and state.io_issued_ms[0][0] <= io_id:
            state.io_issued_ms.popleft()
        if state.role == CANDIDATE and state.campaign_io <= io_id:
            election.own_vote_durable(state)
        elif state.role == LEADER:
            replication.maybe_commit(state)

    def applied(self, index: int) -> None:
        """Note that the state machine holds everything up to *index*."""
        state = self._state
        state.applied_index = max(state.applied_index, index)
        if state.freshness:
            freshness.applied(state)
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
            state.io_issued_ms.append((state.io_issued, state.now_ms))
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
        """The other members as the leader sees them; empty elsewhere."""
        state = self._state
        timeout_ms = state.timing.election_timeout_ms
        return [
            PeerView(
                peer, p.match_index, state.now_ms - p.active_at_ms <= timeout_ms, p.state,
                state.configuration.is_voter(peer),
            )
            for peer, p in state.progress.items()
            if not p.leaving_until_ms
        ]  # fmt: skip

    @property
    def configuration(self) -> Configuration:
        """The members, by the latest entry in the log, committed or not."""
        return self._state.configuration

    @property
    def configuration_index(self) -> int:
        """The index of that entry, 0 for the first configuration."""
        return self._state.members.index

    @property
    def configuration_settled(self) -> bool:
        """Whether `configuration` is final and known to be committed."""
        state = self._state
        return not state.configuration.is_joint and state.members.index <= state.commit_index

    @property
    def transferring(self) -> str:
        """To whom leadership is being handed over, "" when it is not."""
        return self._state.transfer_to

    @property
    def first_index(self) -> int:
        """The first entry that the log still holds; one after the last when it holds none."""
        return self._state.log.first_index

    def holds_lease(self) -> bool:
        """Whether this leader may answer from its own state; see `advance`."""
        return lease.holds(self._state)

    def staleness_ms(self) -> int | None:
        """How old the applied state is at most, None when unknown; see `advance`."""
        return freshness.staleness_ms(self._state)

    def snapshot_header(self, index: int, stream: int) -> SnapshotHeader | None:
        """What begins the transfer of the state after *index* to the peer seen as *stream*.

        None when this node does not lead any more or has begun to see that peer anew.
        """
        state = self._state
        known = any(p.stream == stream for p in state.progress.values())
        index_term = state.log.term_at(index)
        if state.role != LEADER or not known or index_term < 0:
            return None
        configuration = state.members.at(index).encode()
        return SnapshotHeader(state.term, state.node_id, stream, index, index_term, configuration)
