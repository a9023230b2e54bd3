"""bench meta writes distinct paths, reads only what it wrote, and reports both loads."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pydfsnode.cli import bench_meta
from pydfsnode.client.consistency import Consistency
from pydfsnode.client.model import ClusterStatus
from pydfsnode.errors import NotFound


def status(**counts: int) -> ClusterStatus:
    """What matters here of a leader's answer."""
    fields = {"leader": "m1", "term": 2, **counts}
    return ClusterStatus("x", "OK", [], masters=[], chunkservers=[], commit_index=0,
                         applied_index=0, **cast(Any, fields))  # fmt: skip


class FakeNamespace:
    """Answers after one turn of the loop; remembers what was made."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.read: list[str] = []
        self.consistencies: set[Consistency | None] = set()
        self.behind = False

    async def makedirs(self, path: str, exist_ok: bool = False) -> object:
        assert exist_ok, "else it would cost a second RPC"
        await asyncio.sleep(0.0005)
        self.made.append(path)
        return path

    async def cluster_status(self) -> ClusterStatus:
        return status(
            appends_sent=10 + 2 * len(self.made),
            entries_sent=7 * len(self.made),
            groups_written=len(self.made),
            entries_written=40 * len(self.made),
        )

    async def info(self, path: str, *, consistency: Consistency | None = None) -> object:
        await asyncio.sleep(0.0005)
        assert path in self.made
        self.read.append(path)
        self.consistencies.add(consistency)
        if self.behind:
            raise NotFound(f"{path}: no such file or directory")
        return path


async def test_writes_are_distinct_and_reads_are_of_what_was_written() -> None:
    namespace = FakeNamespace()
    figures = await bench_meta.measure(namespace, "/bench", inflight=4, seconds=0.05)
    assert len(set(namespace.made)) == len(namespace.made) > 0
    assert len(set(namespace.read)) > 1
    assert all(path.startswith("/bench/") for path in namespace.made)
    assert set(figures) == {
        "writes_per_s", "write_p50_ms", "write_p99_ms",
        "reads_per_s", "read_p50_ms", "read_p99_ms",
        "write_alone_p50_ms", "write_alone_p99_ms",
        "read_alone_p50_ms", "read_alone_p99_ms",
        "entries_per_append", "entries_per_fsync",
    }  # fmt: skip
    assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize("text", ["stale", "bounded:50"])
async def test_a_read_that_may_miss_what_was_just_written_counts(text: str) -> None:
    namespace = FakeNamespace()
    namespace.behind = True
    wanted = Consistency.parse(text)
    figures = await bench_meta.measure(
        namespace, "/bench", inflight=4, seconds=0.05, consistency=wanted
    )
    assert figures["reads_per_s"] > 0
    assert namespace.consistencies == {wanted}


async def test_a_linearizable_read_that_misses_something_ends_the_measurement() -> None:
    namespace = FakeNamespace()
    namespace.behind = True
    for consistency in (None, Consistency("lease")):
        with pytest.raises(NotFound):
            await bench_meta.measure(
                namespace, "/bench", inflight=4, seconds=0.05, consistency=consistency
            )


def test_what_the_leader_grouped_is_the_difference_of_its_counts() -> None:
    before = status(appends_sent=100, entries_sent=50, groups_written=9, entries_written=10)
    after = status(appends_sent=120, entries_sent=350, groups_written=19, entries_written=210)
    assert bench_meta.grouping(before, after) == {
        "entries_per_append": 15.0, "entries_per_fsync": 20.0,
    }  # fmt: skip
    assert bench_meta.grouping(after, after) == {
        "entries_per_append": 0.0, "entries_per_fsync": 0.0,
    }  # fmt: skip


def test_counts_of_two_leaders_are_not_compared() -> None:
    assert bench_meta.grouping(status(term=2), status(term=3)) == {}


def test_directories_stay_of_a_real_size() -> None:
    paths = {bench_meta.path_of("/b", number) for number in range(2500)}
    assert len(paths) == 2500
    assert len({path.rpartition("/")[0] for path in paths}) == 3
