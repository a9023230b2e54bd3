"""bench meta writes distinct paths, reads only what it wrote, and reports both loads."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode.cli import bench_meta
from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import NotFound


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


def test_directories_stay_of_a_real_size() -> None:
    paths = {bench_meta.path_of("/b", number) for number in range(2500)}
    assert len(paths) == 2500
    assert len({path.rpartition("/")[0] for path in paths}) == 3
