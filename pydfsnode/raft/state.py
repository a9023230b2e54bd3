"""The state that election, replication and reads share, and the few ways to change it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pydfsnode.raft import quorum
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.configurations import Configurations
from pydfsnode.raft.effects import Effects, HardState, Persist
from pydfsnode.raft.log import EntryLog
from pydfsnode.raft.messages import Free, Promise
from pydfsnode.raft.progress import Progress
from pydfsnode.raft.types import Timing

FOLLOWER, PRE_CANDIDATE, CANDIDATE, LEADER = "follower", "pre_candidate", "candidate", "leader"


@dataclass(slots=True)
class PendingRead:
    """`index`: what must be applied before the answer; `round`: whose confirmation it needs.

    `origin`: the follower that asks, "" for a read of this node; `nonce` is its process's.
    """

    read_id: int
    index: int
    round: int
    origin: str = ""
    nonce: int = 0


@dataclass(slots=True)
class State:
    """Everything that a Raft node knows. Methods here keep its parts consistent, nothing more."""

    node_id: str
    members: Configurations
    log: EntryLog
    timing: Timing
    random: Callable[[], float]
    now_ms: int
    term: int
    vote: str
    role: str = FOLLOWER
    leader: str = ""
    commit_index: int = 0
    applied_index: int = 0
    durable_index: int = 0
    io_issued: int = 0
    io_durable: int = 0
    io_last_index: deque[tuple[int, int]] = field(default_factory=deque)  # (io id, last log index)
    io_issued_ms: deque[tuple[int, int]] = field(default_factory=deque)  # (io id, when)
    tick_ms: int = 0
    nonce: int = 0  # of this process
    effects: Effects = field(default_factory=Effects)
    # elections
    election_deadline_ms: int = 0
    leader_heard_ms: int = 0
    grants: dict[str, bool] = field(default_factory=dict)
    campaign_io: int = 0
    order_until_ms: int | None = None  # of a campaign by a leader's order: when it must be over
    # leader
    progress: dict[str, Progress] = field(default_factory=dict)
    stream: int = 0
    noop_index: int = 0
    heartbeat_due_ms: int = 0
    quorum_check_due_ms: int = 0
    uncommitted_bytes: int = 0
    uncommitted: deque[tuple[int, int]] = field(default_factory=deque)  # (last index, bytes)
    transfer_to: str = ""
    transfer_deadline_ms: int = 0
    lease_void_until_ms: int = 0
    # reads
    reads: deque[PendingRead] = field(default_factory=deque)
    read_round: int = 0
    round_confirmed: int = 0
    round_wanted: bool = False
    asked_leader: dict[int, int] = field(default_factory=dict)  # read id -> given up at (ms)
    fresh_as_of_ms: int = -1  # the applied state is at least what it was then, own clock
    freshness: deque[tuple[int, int]] = field(default_factory=deque)  # (commit index, as of ms)
    # counters, exported by the driver
    elections_started: int = 0
    appends_sent: int = 0
    entries_sent: int = 0

    @property
    def configuration(self) -> Configuration:
        """The one in force: the latest in the log, committed or not."""
        return self.members.current

    @property
    def is_voter(self) -> bool:
        """Whether this node votes and may lead."""
        return self.configuration.is_voter(self.node_id)

    @property
    def may_lead(self) -> bool:
        """Whether this node may campaign: a voter, or one whose leaving is not known as committed.

        It may hold the longest log, with the entry that removes it: then nobody else can be
        elected, and it must lead until that is committed (thesis §4.2.2).
        """
        members = self.members
        leaving = members.index > self.commit_index
        return self.is_voter or (leaving and members.at(members.index - 1).is_voter(self.node_id))

    @property
    def other_voters(self) -> tuple[str, ...]:
        """Everybody else who votes, in either half of a joint configuration."""
        found = self.configuration
        return tuple(m for m in found.members if m != self.node_id and found.is_voter(m))

    @property
    def disk_stalled(self) -> bool:
        """Whether the oldest write under way takes longer than a disk may."""
        return bool(self.io_issued_ms) and (
            self.now_ms - self.io_issued_ms[0][1] > self.timing.disk_stall_ms
        )

    def majority_reached(self, own: int, of: Callable[[Progress], int], unknown: int = 0) -> int:
        """As leader: the largest number that a majority of each set of voters has reached.

        Args:
            own: this node's number, which counts if it votes.
            of: another member's number, from its progress; *unknown* where there is none.
        """
        progress = self.progress

        def reached(member: str) -> int:
            if member == self.node_id:
                return own
            found = progress.get(member)
            return unknown if found is None else of(found)

        return quorum.joint_committed(self.configuration, reached)

    def pending_persist(self) -> Persist:
        """The group that the next `take_effects` hands out, begun when there is none."""
        persist = self.effects.persist
        if persist is None:
            persist = self.effects.persist = Persist(io_id=self.io_issued + 1)
        return persist

    def persist_hard_state(self) -> None:
        """Make term and vote part of the next durable group."""
        self.pending_persist().hard_state = HardState(self.term, self.vote)

    def promise(self, to: str, message: Promise) -> None:
        """Send *message* when everything persisted so far, pending or in flight, is durable."""
        pending = self.effects.persist
        io_id = pending.io_id if pending is not None else self.io_issued
        self.effects.promise(io_id, to, message)

    def send(self, to: str, message: Free) -> None:
        """Send at once."""
        self.effects.send(to, message)

    def append(self, entry: bytes, term: int) -> int:
        """Add one encoded entry to the log and to the next durable group."""
        index = self.log.append(term, entry)
        persist = self.pending_persist()
        if not persist.entries:
            persist.first_index = index
        persist.entries.append(entry)
        return index

    def append_configuration(self, index: int, configuration: Configuration) -> None:
        """Note that the entry at *index*, just appended, changes the members from here on."""
        self.members.append(index, configuration)
        self.effects.configuration_changed = True

    def truncate_from(self, index: int) -> None:
        """Drop the log from *index* on, with the configurations in it.

        Completions of writes already issued no longer count there.
        """
        self.log.truncate_from(index)
        if self.members.truncate_from(index):
            self.effects.configuration_changed = True
        persist = self.pending_persist()
        keep = max(0, index - persist.first_index) if persist.entries else 0
        del persist.entries[keep:]
        if persist.truncate_from is None or index < persist.truncate_from:
            persist.truncate_from = index
        self.forget_writes_above(index - 1)

    def forget_writes_above(self, index: int) -> None:
        """What is durable, or will be, counts up to *index* only: the rest was replaced."""
        self.durable_index = min(self.durable_index, index)
        self.io_last_index = deque((io, min(last, index)) for io, last in self.io_last_index)

    def reset_election_deadline(self) -> None:
        """Draw a new timeout from [1x, 2x) of the smallest."""
        smallest = self.timing.election_timeout_ms
        self.election_deadline_ms = self.now_ms + smallest + int(self.random() * smallest)

    def become_follower(self, term: int, leader: str) -> None:
        """Follow *leader* ("" when unknown) in *term*; a newer term forgets the vote, durably."""
        if self.role == LEADER:
            self._leave_leadership()
        if leader != self.leader:
            self.fail_asked_reads()
        if self.role != FOLLOWER or self.leader != leader or term > self.term:
            self.effects.role_changed = True
        if term > self.term:
            self.term = term
            self.vote = ""
            self.persist_hard_state()
        if self.role != FOLLOWER:
            self.reset_election_deadline()
        self.role = FOLLOWER
        self.leader = leader

    def _leave_leadership(self) -> None:
        own = [read.read_id for read in self.reads if not read.origin]
        self.effects.reads_failed.extend(own)  # those of followers give up by themselves
        self.reads.clear()
        self.round_wanted = False
        self.progress.clear()
        self.uncommitted.clear()
        self.uncommitted_bytes = 0
        self.transfer_to = ""

    def fail_asked_reads(self) -> None:
        """The leader that was asked for read indexes is gone."""
        self.effects.reads_failed.extend(self.asked_leader)
        self.asked_leader.clear()

    def advance_commit(self, index: int) -> None:
        """Note that everything up to *index* is committed; never goes back."""
        if index <= self.commit_index:
            return
        self.commit_index = index
        self.effects.apply_to = index
        while self.uncommitted and self.uncommitted[0][0] <= index:
            self.uncommitted_bytes -= self.uncommitted.popleft()[1]
