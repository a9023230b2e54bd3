"""The operator of a simulated cluster: adds, promotes, removes and replaces masters, hands over.

Never does what would lose the majority, and nobody's disk is damaged when that would: members whose
disk is gone must stay a minority of every configuration that anybody may still act on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydfsnode.errors import PydfsError
from pydfsnode.raft.configuration import Configuration
from tests.support.sim.node import Process, SimNode

if TYPE_CHECKING:
    from tests.support.sim.simulation import Simulation

VOTERS_MAX = 7
PROMOTED_BEHIND_MAX = 8
"""Entries by which a learner may lag behind the commit index when it is promoted."""


class Operator:
    """See the module. `act` does one thing now and then."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self._rng = sim.nemesis_rng
        self._every_s = 20.0 if sim.plan.quiet else self._rng.choice((0.5, 2.0, 5.0))

    def act(self) -> None:
        """Do one thing if a leader is there, and come again."""
        sim = self.sim
        if sim.healing:
            return
        leader = sim.leader()
        if leader is not None and not leader.loop.paused:
            leader.loop.call_in(self._with, leader)
        sim.scheduler.after(self._rng.expovariate(1 / self._every_s), self.act)

    def _with(self, leader: Process) -> None:
        plan, rng = self.sim.plan, self._rng
        for node in self.sim.nodes:
            if node.refused and plan.has("membership") and rng.random() < 0.5:
                self.sim.wiped(node)  # somebody puts in another disk
                node.start()
        acts = [self._transfer] * plan.has("transfer")
        if plan.has("membership"):
            acts += [self._add, self._promote, self._promote, self._remove, self._replace]
        try:
            rng.choice(acts)(leader)
        except PydfsError:
            self.sim.counts["refused_changes"] += 1

    # ---- what it does

    def _transfer(self, leader: Process) -> None:
        others = [v for v in leader.core.configuration.voters if v != leader.member]
        to = self._rng.choice([*others, ""])
        self._note(leader.driver.transfer_leadership(to), "transfers")

    def _add(self, leader: Process) -> None:
        """A learner first; now and then at once as a voter."""
        now = leader.core.configuration
        fresh = self._outside(now)
        if not fresh:
            return
        if self._rng.random() < 0.2:
            self._change(leader, [*now.voters, fresh], now.learners)
        else:
            self._change(leader, now.voters, [*now.learners, fresh])

    def _promote(self, leader: Process) -> None:
        now = leader.core.configuration
        matches = {peer.node_id: peer.match_index for peer in leader.core.peers()}
        ready = [
            learner
            for learner in now.learners
            if matches.get(learner, 0) >= leader.core.commit_index - PROMOTED_BEHIND_MAX
        ]
        if ready and len(now.voters) < VOTERS_MAX:
            rest = [learner for learner in now.learners if learner != ready[0]]
            self._change(leader, [*now.voters, ready[0]], rest)

    def _remove(self, leader: Process) -> None:
        """Members whose disk is gone first; else anybody, the leader too."""
        now = leader.core.configuration
        gone = [m for m in now.members if self.sim.is_gone(m)]
        leaving = self._rng.choice(gone or list(now.members))
        voters = [v for v in now.voters if v != leaving]
        if gone or len(voters) >= min(3, self.sim.plan.size):
            self._change(leader, voters, [m for m in now.learners if m != leaving])

    def _replace(self, leader: Process) -> None:
        """One voter leaves and learners take its place, in one change."""
        now = leader.core.configuration
        if now.learners:
            leaving = self._rng.choice(now.voters)
            voters = [v for v in now.voters if v != leaving] + list(now.learners)
            self._change(leader, voters, [])

    def _change(self, leader: Process, voters: Iterable[str], learners: Iterable[str]) -> None:
        voters, learners = sorted(voters), sorted(learners)
        gone = sum(self.sim.is_gone(voter) for voter in voters)
        if not voters or len(voters) > VOTERS_MAX or gone > (len(voters) - 1) // 2:
            return
        addresses = {m: f"{m.partition('#')[0]}:7001" for m in [*voters, *learners]}
        self._note(leader.driver.change_configuration(voters, learners, addresses), "changes")

    def _note(self, future: Any, what: str) -> None:
        def done(ended: Any) -> None:
            if not ended.cancelled() and ended.exception() is None:
                self.sim.counts[what] += 1

        future.add_done_callback(done)

    def _outside(self, now: Configuration) -> str:
        """Somebody who runs and is no member, nor another member's new disk."""
        outside = [
            node.member
            for node in self.sim.nodes
            if node.process is not None and node.member not in now.members
        ]
        return self._rng.choice(outside) if outside else ""


def may_lose(sim: Simulation, node: SimNode) -> bool:
    """Whether the disk of *node* may be lost: every configuration in use keeps its majority."""
    for configuration in sim.configurations.values():
        for half in (configuration.voters, configuration.outgoing):
            gone = sum(sim.is_gone(voter) or voter == node.member for voter in half)
            if node.member in half and gone > (len(half) - 1) // 2:
                return False
    return True
