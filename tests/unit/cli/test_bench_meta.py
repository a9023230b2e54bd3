"""bench meta writes distinct paths, reads only what it wrote, and reports both loads."""

from __future__ import annotations

import asyncio
from collections import Counter
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
    """Answers after one turn of the loop; refuses what a namespace would refuse."""

    def __init__(self) -> None:
        self.directories: set[str] = set()
        self.files: set[str] = set()
        self.done: Counter[str] = Counter()
        self.consistencies: set[Consistency | None] = set()
        self.behind = False

    async def _turn(self, verb: str) -> None:
        await asyncio.sleep(0.0005)
        self.done[verb] += 1

    async def makedirs(self, path: str, exist_ok: bool = False) -> object:
        assert exist_ok, "else it would cost a second RPC"
        await self._turn("makedirs")
        self.directories.add(path)
        return path

    async def pipe_file(self, path: str, value: bytes) -> object:
        await self._turn("pipe_file")
        assert path not in self.files
        assert value == b""
        self.files.add(path)
        return path

    async def rename(self, source: str, destination: str) -> object:
        await self._turn("rename")
        self.files.remove(source)
        assert destination not in self.files
        self.files.add(destination)
        return destination

    async def delete(self, path: str) -> object:
        await self._turn("delete")
        self.files.remove(path)
        return 1

    async def cluster_status(self) -> ClusterStatus:
        count = self.done.total()
        return status(
            appends_sent=10 + 2 * count,
            entries_sent=7 * count,
            groups_written=count,
            entries_written=40 * count,
        )

    def _ask(self, consistency: Consistency | None) -> None:
        self.consistencies.add(consistency)
        if self.behind:
            raise NotFound("no such file or directory")

    async def info(self, path: str, *, consistency: Consistency | None = None) -> object:
        await self._turn("info")
        self._ask(consistency)
        assert path in self.files
        return path

    async def ls_page(
        self, path: str, *, limit: int, consistency: Consistency | None = None
    ) -> object:
        await self._turn("ls_page")
        self._ask(consistency)
        assert any(file.startswith(path + "/") for file in self.files)
        return [path] * min(limit, 1)


async def test_changes_are_a_mix_and_questions_are_about_what_there_is() -> None:
    namespace = FakeNamespace()
    figures = await bench_meta.measure(namespace, "/bench", inflight=4, seconds=0.2)
    done = namespace.done
    verbs = {"makedirs", "pipe_file", "rename", "delete", "info", "ls_page"}
    assert set(done) == verbs
    assert done["pipe_file"] > done["rename"] > done["makedirs"]
    assert done["info"] > 2 * done["ls_page"]
    assert set(figures) == {
        "writes_per_s", "write_p50_ms", "write_p99_ms", "write_p999_ms",
        "reads_per_s", "read_p50_ms", "read_p99_ms", "read_p999_ms",
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
    for consistency in (None, Consistency("lease")):
        namespace = FakeNamespace()
        namespace.behind = True
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
