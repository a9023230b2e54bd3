"""What must hold whatever happens: checked after each event, at a cost of what the event changed.

Election safety and completeness, one vote a term and member, log matching, commitment by a durable
majority of the configuration in force, acknowledgements behind durability, reads that miss nothing,
leases and staleness that promise no more than is true.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydfsnode._fast import entry_payload
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import Persist
from pydfsnode.raft.messages import AppendAck, Promise, VoteGrant, VoteRequest
from pydfsnode.raft.types import KIND_CONFIGURATION
from tests.support.raft.disk import head

if TYPE_CHECKING:
    from tests.support.raft.node import Node

CLOCK_SLACK_MS = 3
"""Clocks are read in whole milliseconds."""


def is_majority(configuration: Configuration, agrees: Callable[[str], bool]) -> bool:
    """Of both halves of a joint configuration; written apart from the core's own."""
    halves = [half for half in (configuration.voters, configuration.outgoing) if half]
    return bool(halves) and all(2 * len([m for m in h if agrees(m)]) > len(h) for h in halves)


class History:
    """The truth about one cluster, as an observer of everything knows it."""

    def __init__(self, nodes: dict[str, Node], drift: float) -> None:
        self.nodes = nodes
        self.drift = drift
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.committed: list[bytes] = []
        self.committed_in: list[int] = []  # term of the leader that committed the entry
        self.commit_times_ms: list[int] = []
        self.configurations: list[tuple[int, Configuration]] = []  # committed
        self._entries: dict[tuple[int, int], tuple[bytes, int]] = {}

    # ---- logs and promises

    def check_group(self, node: Node, persist: Persist) -> None:
        """Log matching: one entry, after one predecessor, for an index and term."""
        disk = node.disk
        if not persist.entries:
            return
        prev_term = disk.term_at(persist.first_index - 1)
        assert prev_term >= 0, "entries after none"
        for entry in persist.entries:
            index, term, _ = head(entry)
            known = self._entries.setdefault((index, term), (entry, prev_term))
            assert known == (entry, prev_term), f"two logs differ at entry {index} of term {term}"
            assert term <= disk.hard_state.term, "an entry of a term that is not durable"
            prev_term = term

    def check_promise(self, node: Node, to: str, message: Promise) -> None:
        """What a promise says is on the sender's disk now."""
        disk = node.disk
        assert disk.hard_state.term >= message.term, "promise before its term"
        if isinstance(message, AppendAck):
            index = message.match_index
            assert index <= disk.last_index, "an append was acknowledged before it was durable"
            leader = self.nodes.get(self.leaders.get(message.term, ""))
            if leader is not None and leader.alive and leader.core.role == "leader":
                core = leader.core
                if core.term == message.term and index >= max(core.first_index, disk.first_index):
                    assert core.term_at(index) == disk.term_at(index), "an ack for another entry"
        elif isinstance(message, VoteGrant | VoteRequest):
            candidate = to if isinstance(message, VoteGrant) else node.node_id
            first = self.votes.setdefault((node.node_id, message.term), candidate)
            assert first == candidate, f"{node.node_id} voted twice in term {message.term}"

    def check_settled(self, node: Node) -> None:
        """When nothing is being written: log and configurations in memory are those on disk."""
        core, disk = node.core, node.disk
        assert (core.first_index, core.last_index) == (disk.first_index, disk.last_index)
        assert core.term_at(core.last_index) == disk.term_at(disk.last_index)
        assert core.configuration == disk.configuration, "another configuration than in the log"
        assert (core.term, core.vote) == (disk.hard_state.term, disk.hard_state.vote)

    # ---- leaders and commitment

    def check(self, node: Node) -> None:
        core = node.core
        assert core.term >= node.last_term, "the term went back"
        node.last_term = core.term
        if core.role == "leader" and self.leaders.get(core.term) != node.node_id:
            self._check_election(node)
        commit_index = core.commit_index
        if commit_index != node.last_commit:
            assert commit_index > node.last_commit, "the commit index went back"
            self._check_commit(node, commit_index)
            node.last_commit = commit_index

    def _check_election(self, node: Node) -> None:
        core = node.core
        other = self.leaders.setdefault(core.term, node.node_id)
        assert other == node.node_id, f"two leaders in term {core.term}"
        own = node.disk.hard_state
        assert (own.term, own.vote) == (core.term, node.node_id), "elected without its own vote"

        def granted(member: str) -> bool:
            return member == node.node_id or self.votes.get((member, core.term)) == node.node_id

        assert is_majority(core.configuration, granted), f"no majority elected term {core.term}"
        before = bisect_left(self.committed_in, core.term)
        if before:
            term = head(self.committed[before - 1])[1]
            complete = before < core.first_index or core.term_at(before) == term
            assert complete, f"the leader of term {core.term} lacks committed entry {before}"
            assert core.last_index >= before, f"the leader lacks committed entry {before}"

    def _check_commit(self, node: Node, last: int) -> None:
        """State machine safety, and every newly committed entry durable at a majority."""
        core = node.core
        known = len(self.committed)
        if last <= known:
            if last >= core.first_index:
                term = head(self.committed[last - 1])[1]
                assert core.term_at(last) == term, f"entry {last} committed twice"
            return
        fresh: list[bytes] = []
        while known + len(fresh) < last:  # older entries come from the disk, in parts
            fresh.extend(core.entries(known + 1 + len(fresh), last, 1 << 40))
        newest = fresh[-1]  # by log matching, who holds it holds what is before it

        def holds(member: str) -> bool:
            holder = self.nodes.get(member)
            return holder is not None and holder.disk.holds(last, newest)

        assert is_majority(core.configuration, holds), f"entry {last} committed without a majority"
        now_ms = node.cluster.now_ms
        for entry in fresh:
            index, _, kind = head(entry)
            if kind == KIND_CONFIGURATION:
                found = Configuration.decode(entry_payload(entry))
                self.configurations.append((index, found))
            self.committed.append(entry)
            self.committed_in.append(core.term)
            self.commit_times_ms.append(now_ms)
        self._check_leases()

    def _check_leases(self) -> None:
        """Who holds a lease knows all that is committed anywhere (INV-LIN)."""
        for node in self.nodes.values():
            if node.alive and not node.is_paused and node.core.role == "leader":
                node.core.advance(node.clock_ms())
                missing = len(self.committed) - node.core.commit_index
                assert not missing or not node.core.holds_lease(), "a lease outlives its promises"

    def check_applied(self, first: int, entries: list[bytes]) -> None:
        here = self.committed[first - 1 : first - 1 + len(entries)]
        assert entries == here, f"something else than committed entry {first} was applied"

    def check_staleness(self, node: Node) -> None:
        """The applied state holds whatever was committed as long ago as is said."""
        node.core.advance(node.clock_ms())
        staleness_ms = node.core.staleness_ms()
        if staleness_ms is None:
            return
        node.cluster.counts["staleness"] += node.core.role != "leader"
        as_of_ms = node.cluster.now_ms - staleness_ms * (1 + self.drift) - CLOCK_SLACK_MS
        must_hold = bisect_right(self.commit_times_ms, as_of_ms)
        assert len(node.applied) >= must_hold, "the state is older than is said"
