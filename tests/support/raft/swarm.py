"""One seed: which faults and features it has, and what happens to the cluster under them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydfsnode import limits
from tests.support.raft.cluster import Cluster, Faults
from tests.support.raft.node import Node

RUN_MS = 15_000


@dataclass
class Plan:
    """What a seed turns on; each only in some seeds, so that none hides behind another."""

    size: int
    spares: int
    faults: Faults
    disturb: float
    acts: list[str]
    tail: int | None  # entries kept by compaction; None: no compaction
    drift: float
    busy_ms: int
    small_limits: bool
    old_versions: bool
    changes: float
    transfers: float
    burst: int
    batch: int


def plan_of(seed: int) -> Plan:
    pick = random.Random(seed)
    on = pick.random
    acts = ["crash", "restart", "restart", "partition", "one_way", "isolate_leader", "heal", "heal"]
    optional = [
        "crash_between",
        "crash_partly",
        "pause",
        "pause_leader",
        "stall",
        "clog",
        "wipe",
        "slow",
    ]
    acts += [act for act in optional if on() < 0.6]
    changes = pick.choice([0.0, 0.0, 0.1, 0.3])
    return Plan(
        size=pick.choice([1, 3, 3, 3, 5, 5, 7]),
        spares=pick.choice([1, 2, 4]) if changes else 0,
        faults=Faults(
            loss=pick.choice([0.0, 0.02, 0.1, 0.3]),
            duplicate=pick.choice([0.0, 0.1, 0.5]),
            delay_ms=(1, pick.choice([3, 3, 20, 100])),
            fsync_ms=(1, pick.choice([3, 3, 30, 200])),
            snapshot_ms=(5, pick.choice([20, 200, 1000])),
            snapshot_loss=pick.choice([0.0, 0.3]),
        ),
        disturb=pick.choice([0.1, 0.3, 0.5]),
        acts=acts,
        tail=pick.choice([None, 0, 0, 3, 30]),
        drift=pick.choice([0.0, 0.0243]),
        busy_ms=pick.choice([0, 0, 0, 5]),
        small_limits=on() < 0.4,
        old_versions=on() < 0.1,
        changes=changes,
        transfers=pick.choice([0.0, 0.05, 0.2]),
        burst=pick.choice([3, 10, 25]),
        batch=pick.choice([1, 3]),
    )


@contextmanager
def limits_of(plan: Plan) -> Iterator[None]:
    """Small batches, windows and caches, so that a few entries are enough to meet them."""
    small = {
        "APPEND_ENTRIES_MAX": plan.batch,
        "LOG_CACHE_BYTES_MAX": 200,
        "LOG_READ_BYTES_MAX": 100,
    }
    before = {name: getattr(limits, name) for name in small}
    try:
        for name, value in small.items() if plan.small_limits else ():
            setattr(limits, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)


class Swarm:
    """See the module."""

    def __init__(self, seed: int) -> None:
        self.plan = plan = plan_of(seed)
        self.cluster = Cluster(plan.size, seed, plan.faults, plan.spares)
        self.choice = random.Random(seed + 1_000_000)
        self.serial = 0
        for node in self.cluster.nodes.values():
            node.busy_ms = plan.busy_ms
            node.old_version = plan.old_versions and self.choice.random() < 0.5
            if plan.drift:
                node.clock_offset_ms = self.choice.randint(0, 1_000_000)
                node.clock_rate = 1 + self.choice.choice([-1, 1, 0]) * plan.drift
                node.start()

    def usable(self) -> list[Node]:
        return [node for node in self.cluster.nodes.values() if not node.gone]

    def run(self) -> Cluster:
        """Disturb, then heal; the cluster must be able to go on."""
        cluster, choice, plan = self.cluster, self.choice, self.plan
        while cluster.now_ms < RUN_MS:
            cluster.run_ms(choice.randint(20, 400))
            for _ in range(choice.randint(0, plan.burst)):
                self.serial += 1
                cluster.propose(b"op %d" % self.serial)
            for node in self.usable():
                if node.alive:
                    self.look(node)
            if choice.random() < plan.changes:
                self.change_members()
            if choice.random() < plan.transfers:
                self.transfer()
            if choice.random() < plan.disturb:
                self.disturb()
        cluster.heal()
        cluster.faults = Faults()
        for node in self.usable():
            if not node.alive:
                node.start()
            node.crash_after = -1
        return cluster

    def look(self, node: Node) -> None:
        """Reads of every kind, what is said about staleness, and upkeep."""
        cluster, choice = self.cluster, self.choice
        what = choice.random()
        if what < 0.3:
            cluster.read(node)
        elif what < 0.6:
            cluster.read(node, by_lease=what < 0.45, ask=True)
        if not node.is_paused:
            cluster.history.check_staleness(node)
        if self.plan.tail is not None and choice.random() < 0.2:
            node.compact(choice.randint(0, self.plan.tail))

    def transfer(self) -> None:
        cluster = self.cluster
        cluster.transfer(self.choice.choice(["", *cluster.nodes]))

    def disturb(self) -> None:
        """One random act; at most a minority is down at a time."""
        cluster, choice = self.cluster, self.choice
        usable = self.usable()
        up = [node for node in usable if node.alive]
        may_crash = len(usable) - len(up) < (len(usable) - 1) // 2
        act = choice.choice(self.plan.acts)
        node = choice.choice(up)
        leader = cluster.leader() or node
        ids = [n.node_id for n in usable]
        if act == "restart" and len(up) < len(usable):
            choice.choice([n for n in usable if not n.alive]).start()
        elif act == "crash" and may_crash:
            node.crash()
        elif act == "crash_partly" and may_crash:
            node.crash(choice.randint(0, 3))
        elif act == "crash_between" and may_crash:
            node.crash_after = choice.randint(0, 5)
        elif act == "partition":
            side = {m for m in ids if choice.random() < 0.5}
            cluster.partition(side, set(ids) - side)
        elif act == "one_way" and len(ids) > 1:
            source, to = choice.sample(ids, 2)
            cluster.cut.add((source, to))
        elif act == "isolate_leader":
            cluster.partition({leader.node_id}, set(ids) - {leader.node_id})
        elif act == "pause":
            node.pause(choice.choice([50, 400, 2_000, 6_000]))
        elif act == "pause_leader":
            leader.pause(choice.choice([50, 400, 600, 2_000]))
        elif act == "stall":
            busy_until_ms = max(node.disk_free_ms, cluster.now_ms)
            node.disk_free_ms = busy_until_ms + choice.choice([300, 2_500, 5_000])
        elif act == "clog" and len(ids) > 1:
            source, to = choice.sample(ids, 2)
            until_ms = cluster.now_ms + choice.choice([100, 500, 1_500])
            cluster.clogged_until_ms[source, to] = until_ms
        elif act == "slow":
            slow_ms = choice.choice([100, 250, 400])
            for source in ids:  # answers only: what a lease must not be counted from
                cluster.slow_ms[source, leader.node_id] = slow_ms
        elif act == "wipe":
            self.wipe(node)
        elif act == "heal":
            cluster.heal()

    def wipe(self, node: Node) -> None:
        """Lose a disk, but never a majority of those that the last committed change left."""
        history, members = self.cluster.history, self.cluster.members()
        if members.is_joint or node.old_version:
            return
        last = history.configurations[-1][0] if history.configurations else 0
        newest = max(n.disk.configurations[-1][0] for n in self.usable())
        cores = max(n.core.configuration_index for n in self.usable())
        if max(newest, cores) > last:
            return
        gone = sum(self.cluster.nodes[m].gone for m in members.voters)
        if node.node_id in members.voters and gone >= (len(members.voters) - 1) // 2:
            return
        self.cluster.wipe(node).busy_ms = self.plan.busy_ms

    # ---- members

    def change_members(self) -> None:
        cluster, choice = self.cluster, self.choice
        leader = cluster.leader()
        if leader is None:
            return
        usable = {node.node_id for node in self.usable()}
        voters = set(leader.core.configuration.voters)
        learners = set(leader.core.configuration.learners)
        others = sorted(usable - voters - learners)
        changes: list[Callable[[], tuple[set[str], set[str]]]] = [
            lambda: (voters, learners | set(choice.sample(others, min(1, len(others))))),
            lambda: (voters | (learners & usable), set()),
            lambda: (voters & usable, learners & usable),
            lambda: ((voters - {leader.node_id}) & usable, learners & usable),
            lambda: ((voters - {choice.choice(sorted(voters))}) & usable, learners),
            lambda: self._any_members(sorted(usable)),
        ]
        cluster.change(*choice.choice(changes)())

    def _any_members(self, usable: list[str]) -> tuple[set[str], set[str]]:
        choice = self.choice
        voters = set(choice.sample(usable, choice.randint(1, min(5, len(usable)))))
        learners = {m for m in usable if m not in voters and choice.random() < 0.3}
        return voters, learners


REACHED = (
    "elections", "joint changes", "leaders removed", "snapshots installed", "wiped disks",
    "lease reads", "follower reads", "bounded reads",
)  # fmt: skip


def reached(cluster: Cluster) -> dict[str, int]:
    """How often what happened, by the names in `REACHED`."""
    history, counts = cluster.history, cluster.counts
    changes = [found for _, found in history.configurations]
    led_by = [cluster.leaders[history.committed_in[at - 1]] for at, _ in history.configurations]
    return {
        "elections": len(cluster.leaders),
        "joint changes": sum(found.is_joint for found in changes),
        "leaders removed": sum(
            not found.is_voter(m) for found, m in zip(changes, led_by, strict=True)
        ),
        "snapshots installed": counts["install"],
        "wiped disks": sum(node.gone for node in cluster.nodes.values()),
        "lease reads": counts["lease"],
        "follower reads": counts["ask"],
        "bounded reads": counts["staleness"],
    }


def run(seed: int) -> Cluster:
    """Everything that *seed* is: the invariants hold all the time, and progress resumes."""
    swarm = Swarm(seed)
    with limits_of(swarm.plan):
        cluster = swarm.run()
        check_progress(cluster)
    return cluster


def check_progress(cluster: Cluster) -> None:
    """Healed: an operation is committed, every member gets all of it, and reads are answered."""
    payload = b"after healing"

    def committed() -> bool:
        if payload in cluster.payloads()[-50:]:
            return True
        cluster.propose(payload)
        return False

    cluster.run_until(committed, 60_000)

    def converged() -> bool:
        members = [cluster.nodes[m] for m in cluster.members().members]
        return all(len(n.applied) == len(cluster.committed) for n in members if not n.gone)

    cluster.run_until(converged, 60_000)
    asked = [n for n in cluster.nodes.values() if n.node_id in cluster.members().members]
    if any(node.old_version for node in asked):
        asked = []  # an older leader answers no follower
    for node in asked:
        before = len(node.reads_done)
        for _ in range(60):
            is_member = node.node_id in cluster.members().members
            if node.gone or not is_member or len(node.reads_done) > before:
                break
            cluster.read(node, ask=True)
            cluster.run_ms(50)
        else:
            raise AssertionError("reads are not answered")
