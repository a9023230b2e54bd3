"""Seeded runs of real cores under loss, duplication, delay, partitions and crashes.

`PYDFSNODE_SIM_SEEDS` and `PYDFSNODE_SIM_SEED` (one seed) choose what runs; a failure names its
seed.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.support.raft_cluster import Cluster, Faults

SEED_COUNT = int(os.environ.get("PYDFSNODE_SIM_SEEDS", "60"))
ONE_SEED = os.environ.get("PYDFSNODE_SIM_SEED")
SEEDS = [int(ONE_SEED)] if ONE_SEED else list(range(1, SEED_COUNT + 1))
RUN_MS = 20_000


def build(seed: int) -> Cluster:
    choice = random.Random(seed)
    faults = Faults(
        loss=choice.choice([0.0, 0.02, 0.1, 0.3]),
        duplicate=choice.choice([0.0, 0.1, 0.5]),
        delay_ms=(1, choice.choice([3, 20, 100])),
        fsync_ms=(1, choice.choice([3, 30, 200])),
    )
    return Cluster(choice.choice([1, 3, 3, 5, 7]), seed, faults)


def disturb(cluster: Cluster, choice: random.Random) -> None:
    """One random act against the cluster; at most a minority is down at a time."""
    nodes = list(cluster.nodes.values())
    down = [n for n in nodes if not n.alive]
    act = choice.choice(["crash", "restart", "partition", "one_way", "heal", "isolate_leader"])
    if act == "crash" and len(down) < (len(nodes) - 1) // 2:
        choice.choice([n for n in nodes if n.alive]).crash()
    elif act == "restart" and down:
        choice.choice(down).start()
    elif act == "partition":
        side = {n for n in cluster.voters if choice.random() < 0.5}
        cluster.partition(side, set(cluster.voters) - side)
    elif act == "one_way" and len(nodes) > 1:
        source, to = choice.sample(list(cluster.voters), 2)
        cluster.cut.add((source, to))
    elif act == "isolate_leader":
        leader = cluster.leader()
        if leader is not None:
            cluster.partition({leader.node_id}, set(cluster.voters) - {leader.node_id})
    else:
        cluster.heal()


def run(seed: int) -> Cluster:
    cluster = build(seed)
    choice = random.Random(seed + 1_000_000)
    serial = 0
    while cluster.now_ms < RUN_MS:
        cluster.run_ms(choice.randint(20, 400))
        for _ in range(choice.randint(0, 20)):
            serial += 1
            cluster.propose(b"op %d" % serial)
        for node in cluster.nodes.values():
            if node.alive and choice.random() < 0.5:
                cluster.read(node)
        if choice.random() < 0.3:
            disturb(cluster, choice)
    cluster.heal()
    cluster.faults = Faults()
    for node in cluster.nodes.values():
        if not node.alive:
            node.start()
    return cluster


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_and_progress_resumes_after_healing(seed: int) -> None:
    cluster = run(seed)
    cluster.run_until(lambda: cluster.leader() is not None and cluster.propose(b"after healing"))

    def converged() -> bool:
        applied = {len(n.applied) for n in cluster.nodes.values()}
        if b"after healing" not in cluster.payloads():
            cluster.propose(b"after healing")
            return False
        return applied == {len(cluster.committed)}

    cluster.run_until(converged, 60_000)
    for node in cluster.nodes.values():
        assert node.applied == cluster.committed
    leader = cluster.elect()
    answered = len(leader.reads_done)
    assert cluster.read(leader)
    cluster.run_until(lambda: len(leader.reads_done) > answered, 2_000)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = run(SEEDS[0]), run(SEEDS[0])
    assert first.event_count == second.event_count
    assert first.committed == second.committed
    assert first.leaders == second.leaders
