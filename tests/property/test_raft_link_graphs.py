"""Trap A9: partial partitions. Whatever is cut, a fully connected majority elects and serves.

A graph says who can send to whom. For three members all 64 graphs are tried, for four one of each
of the 218 kinds, each with each leader of before; for five a sample of those with such a majority.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from itertools import combinations, permutations, product

import pytest

from pydfsnode._fast import entry_payload
from tests.support.raft_cluster import Cluster, Node

TIMEOUTS_MAX = 12
SETTLE_MS = 1_100  # more than two election timeouts: who hears no majority leads no more

Link = tuple[int, int]


def links(size: int) -> list[Link]:
    return [(a, b) for a in range(size) for b in range(size) if a != b]


def connected_majority(size: int, graph: frozenset[Link]) -> tuple[int, ...]:
    """The largest set of members that all hear each other, if it is a majority; else ()."""
    for count in range(size, size // 2, -1):
        for chosen in combinations(range(size), count):
            if all(link in graph for link in links(size) if set(link) <= set(chosen)):
                return chosen
    return ()


def canonical(graph: frozenset[Link], size: int) -> tuple[Link, ...]:
    """The same for graphs that differ by renaming only."""
    return min(
        tuple(sorted((names[a], names[b]) for a, b in graph)) for names in permutations(range(size))
    )


def all_graphs(size: int) -> Iterator[frozenset[Link]]:
    for chosen in product((False, True), repeat=size * (size - 1)):
        yield frozenset(link for link, there in zip(links(size), chosen, strict=True) if there)


@cache
def graphs_of_four() -> list[frozenset[Link]]:
    """One of each kind."""
    kinds = {canonical(graph, 4) for graph in all_graphs(4)}
    return [frozenset(kind) for kind in sorted(kinds)]


def graphs_of_five(count: int) -> Iterator[frozenset[Link]]:
    chooser = random.Random(5)
    core = frozenset(link for link in links(5) if set(link) <= {0, 1, 2})
    free = [link for link in links(5) if not set(link) <= {0, 1, 2}]
    for _ in range(count):
        yield core | {link for link in free if chooser.random() < 0.5}


def led_by(cluster: Cluster, name: str) -> Node:
    """The cluster, whole, with *name* as its leader."""
    leader = cluster.elect()
    cluster.run_ms(200)
    if leader.node_id != name:
        leader.core.transfer_leadership(name)
        leader.run()
        cluster.run_until(lambda: cluster.nodes[name].core.role == "leader", 1_000)
        cluster.run_ms(200)
    return cluster.nodes[name]


def check(size: int, graph: frozenset[Link], leader: int, seed: int) -> None:
    cluster = Cluster(size, seed=seed)
    names = cluster.voters
    led_by(cluster, names[leader])
    cluster.cut = {(names[a], names[b]) for a, b in links(size) if (a, b) not in graph}
    majority = [names[member] for member in connected_majority(size, graph)]
    cluster.run_ms(SETTLE_MS)
    if not majority:
        return  # nothing is promised, but the cluster's invariants were checked all the time
    limit_ms = TIMEOUTS_MAX * cluster.timing.election_timeout_ms
    end_ms = cluster.now_ms + limit_ms
    while not any(b"x" in node_payloads(cluster, name) for name in majority):
        assert cluster.now_ms < end_ms, f"no progress with {sorted(graph)}, led by {leader}"
        for name in names:
            node = cluster.nodes[name]
            if node.core.role == "leader" and not node.core.transferring:
                node.core.propose([b"x"])
                node.run()
        cluster.run_ms(100)


def node_payloads(cluster: Cluster, name: str) -> list[bytes]:
    return [entry_payload(entry) for entry in cluster.nodes[name].applied]


@pytest.mark.parametrize("leader", range(3))
def test_all_graphs_of_three(leader: int) -> None:
    for seed, graph in enumerate(all_graphs(3)):
        check(3, graph, leader, seed)


@pytest.mark.parametrize("leader", range(4))
def test_all_kinds_of_graphs_of_four(leader: int) -> None:
    assert len(graphs_of_four()) == 218
    for seed, graph in enumerate(graphs_of_four()):
        check(4, graph, leader, seed)


def test_a_sample_of_the_graphs_of_five() -> None:
    for seed, graph in enumerate(graphs_of_five(200)):
        check(5, graph, seed % 5, seed)
