"""Everything that some servers hold, in bounded steps, and what is true in between."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest

from pydfsnode import _fast as fast
from pydfsnode.fleet import sweep as module
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.sweep import Sweep

CHUNKS = 3000


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNKS_PER_STEP", 100)


@pytest.fixture
def table() -> fast.ReplicaTable:
    """Servers 0 to 2; chunk c lies on c % 3."""
    found = fast.ReplicaTable()
    for _ in range(3):
        found.add_server()
    for chunk_id in range(CHUNKS):
        found.add(chunk_id, chunk_id % 3, 1, 1)
    return found


def rest(sweep: Sweep) -> list[list[int]]:
    steps = []
    while not sweep.is_done:
        steps.append(sweep.step())
    return steps


@pytest.mark.usefixtures("small_steps")
def test_every_chunk_of_a_server_is_found_once(table: fast.ReplicaTable) -> None:
    sweep = Sweep(table)
    sweep.begin(1)
    steps = rest(sweep)
    assert sorted(chain.from_iterable(steps)) == list(range(1, CHUNKS, 3))
    assert max(map(len, steps)) < 120
    assert sweep.step() == []


@pytest.mark.usefixtures("small_steps")
def test_who_joins_later_is_walked_through_whole(table: fast.ReplicaTable) -> None:
    sweep = Sweep(table)
    sweep.begin(0)
    found = sweep.step()
    sweep.begin(2)
    sweep.begin(0)  # again from here
    found += chain.from_iterable(rest(sweep))
    counts = Counter(found)
    assert counts.keys() == {c for c in range(CHUNKS) if c % 3 != 1}
    assert {counts[c] for c in range(2, CHUNKS, 3)} == {1}


def test_a_step_looks_at_a_bounded_part_of_the_table(
    table: fast.ReplicaTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECORDS_PER_STEP", CHUNKS // 10)
    table.add(CHUNKS, table.add_server(), 1, 1)
    sweep = Sweep(table)
    sweep.begin(3)
    assert len(rest(sweep)) == pytest.approx(10, abs=1)


def test_a_server_without_replicas_costs_no_step(table: fast.ReplicaTable) -> None:
    sweep = Sweep(table)
    sweep.begin(table.add_server())
    assert sweep.is_done


# ---- the map of replicas while it is behind


@pytest.fixture
def replicas(small_steps: None) -> ReplicaMap:
    """A thousand chunks, whole on c1 to c3."""
    found = ReplicaMap()
    for node_id in ("c1", "c2", "c3"):
        found.server_live(node_id)
        for chunk_id in range(1000):
            found.add(node_id, chunk_id, 1, 1)
    for chunk_id in range(1000):
        found.want(chunk_id, 1, 1, 3)
    assert found.under_replicated_count == 0
    return found


def test_a_death_reaches_the_queues_in_steps(replicas: ReplicaMap) -> None:
    replicas.server_dead("c1")
    assert replicas.is_behind
    assert 100 <= replicas.under_replicated_count < 120
    assert all(replicas.good(chunk_id) == ["c2", "c3"] for chunk_id in range(1000))
    ticks = 0
    while replicas.is_behind:
        ticks += 1
        replicas.tick(ticks)
    assert 8 <= ticks <= 10
    assert sorted(replicas.under_replicated()) == [(chunk_id, 2) for chunk_id in range(1000)]


def test_what_a_queue_gives_is_right_even_when_it_lags(replicas: ReplicaMap) -> None:
    replicas.server_dead("c1")
    stale = replicas.short_at(2, 1000)
    replicas.server_live("c1")
    assert replicas.is_behind
    assert replicas.short_at(2, 1000) == []
    assert stale != []
    replicas.server_dead("c1")
    replicas.server_dead("c2")
    assert replicas.short_at(2, 1000) == []
    assert replicas.short_at(1, 1000) != []
