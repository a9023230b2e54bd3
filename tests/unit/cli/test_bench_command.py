"""The bench commands: sizes as people write them, figures for scripts, no directory left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pydfsnode.cli import bench
from pydfsnode.client import filesystem
from pydfsnode.client.model import ClusterStatus
from pydfsnode.errors import NotFound


class FakeFile:
    def __init__(self, files: dict[str, bytearray], path: str) -> None:
        self._content = files.setdefault(path, bytearray())

    async def __aenter__(self) -> FakeFile:
        return self

    async def __aexit__(self, *_exit: object) -> None:
        return None

    async def write(self, data: bytes) -> int:
        self._content += data
        return len(data)

    async def packets(self, start: int, end: int) -> AsyncIterator[bytes]:
        yield bytes(self._content[start:end])

    async def read_range(self, start: int, end: int) -> bytes:
        return bytes(self._content[start:end])


class FakeFileSystem:
    """In memory; one for all clients of a test."""

    files: dict[str, bytearray]
    directories: list[str]
    removed: list[str]
    connected: int
    replications: list[int]
    consistencies: set[str]

    @classmethod
    async def connect(cls, _config: Path | None) -> FakeFileSystem:
        cls.connected += 1
        return cls()

    async def __aenter__(self) -> FakeFileSystem:
        return self

    async def __aexit__(self, *_exit: object) -> None:
        return None

    async def makedirs(self, path: str, exist_ok: bool = False) -> None:
        assert exist_ok
        self.directories.append(path)
        await asyncio.sleep(0)

    async def info(self, path: str, *, consistency: object = None) -> str:
        self.consistencies.add(str(consistency))
        await asyncio.sleep(0)
        if path not in self.files:
            raise NotFound(f"{path}: no such file or directory")
        return path

    async def ls_page(self, path: str, *, limit: int, consistency: object = None) -> list[str]:
        self.consistencies.add(str(consistency))
        await asyncio.sleep(0)
        return [file for file in self.files if file.startswith(path + "/")][:limit]

    async def rename(self, source: str, destination: str) -> None:
        self.files[destination] = self.files.pop(source)
        await asyncio.sleep(0)

    async def delete(self, path: str) -> None:
        del self.files[path]
        await asyncio.sleep(0)

    async def cluster_status(self) -> ClusterStatus:
        return ClusterStatus("x", "OK", [], "m1", 1, 0, 0, [], [])

    async def rm(self, path: str, recursive: bool = False) -> int:
        assert recursive
        self.removed.append(path)
        return 1

    async def open_writer(self, path: str, *, replication: int) -> FakeFile:
        self.replications.append(replication)
        return FakeFile(self.files, path)

    async def open_reader(self, path: str) -> FakeFile:
        return FakeFile(self.files, path)

    async def pipe_file(self, path: str, value: bytes) -> None:
        self.files[path] = bytearray(value)

    async def cat_file(self, path: str) -> bytes:
        return bytes(self.files[path])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeFileSystem]:
    class Fresh(FakeFileSystem):
        files, directories, removed, connected, replications, consistencies = (
            {},
            [],
            [],
            0,
            [],
            set(),
        )

    monkeypatch.setattr(filesystem, "AsyncFileSystem", Fresh)
    return Fresh


def figures(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(bench.group, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


UNITS = ("_per_s", "_ms", "_bytes", "_per_append", "_per_fsync", "_percent")


def test_meta_prints_one_object_whose_keys_end_in_their_unit(fake: type[FakeFileSystem]) -> None:
    found = figures("meta", "--inflight", "8", "--seconds", "0.1")
    assert found["writes_per_s"] > 0
    assert found["reads_per_s"] > 0
    assert all(key.endswith(UNITS) for key in found)
    assert len(fake.removed) == 1
    assert all(path.startswith(fake.removed[0]) for path in fake.directories)


def test_meta_reads_with_the_consistency_asked_for(fake: type[FakeFileSystem]) -> None:
    figures("meta", "--inflight", "2", "--seconds", "0.1", "--consistency", "bounded:200")
    assert fake.consistencies == {"bounded:200"}


def test_io_writes_the_size_and_replication_asked_for(fake: type[FakeFileSystem]) -> None:
    found = figures("io", "--size", "5MiB", "--replication", "2", "--no-baseline")
    assert found["size_bytes"] == 5 << 20
    assert found["write_mb_per_s"] > 0
    assert found["read_mb_per_s"] > 0
    assert [len(content) for content in fake.files.values()] == [5 << 20]
    assert fake.replications == [2]
    assert found["read_several_mb_per_s"] > 0
    assert found["random_read_p99_ms"] > 0
    assert all(key.endswith(UNITS) for key in found)
    assert not any("tls" in key for key in found)


def test_io_stands_beside_what_tls_alone_reaches(
    fake: type[FakeFileSystem], tmp_path: Path
) -> None:
    found = figures("io", "--size", "2MiB", "--random-reads", "9", "--scratch", str(tmp_path))
    for name in ("write", "read", "read_several"):
        ours, tls = found[f"{name}_mb_per_s"], found[f"tls_{name}_mb_per_s"]
        assert found[f"{name}_of_tls_percent"] == round(100 * ours / tls, 1)
    assert found["tls_random_read_p50_ms"] > 0
    assert all(key.endswith(UNITS) for key in found)
    assert list(tmp_path.iterdir()) == []


def test_small_uses_as_many_connections_as_clients(fake: type[FakeFileSystem]) -> None:
    found = figures("small", "--files", "30", "--bytes", "1KiB", "--clients", "3")
    assert found["creates_per_s"] > 0
    assert len(fake.files) == 30
    assert fake.connected == 3
    assert (found.pop("clients"), found.pop("inflight_per_client")) == (3, 8)
    assert all(key.endswith(UNITS) for key in found)


def test_small_says_with_how_many_operations_it_measured(fake: type[FakeFileSystem]) -> None:
    assert figures("small", "--files", "5", "--inflight", "1")["inflight_per_client"] == 1
    assert CliRunner().invoke(bench.group, ["small", "--inflight", "0"]).exit_code == 2


def test_a_failed_measurement_leaves_no_directory(
    fake: type[FakeFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_self: FakeFileSystem, path: str, **_options: object) -> str:
        raise NotFound(f"{path}: no such file or directory")

    monkeypatch.setattr(fake, "info", lost)
    with pytest.raises(NotFound):
        figures("meta", "--seconds", "0.1")
    assert len(fake.removed) == 1


def test_people_read_a_figure_a_line(fake: type[FakeFileSystem]) -> None:
    done = CliRunner().invoke(bench.group, ["io", "--size", "1MB", "--no-baseline"])
    assert [line.split()[0] for line in done.output.splitlines()] == [
        "write_mb_per_s",
        "read_mb_per_s",
        "read_several_mb_per_s",
        "random_read_p50_ms",
        "random_read_p99_ms",
        "size_bytes",
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1048576", 1 << 20), ("64KiB", 65536), ("10MB", 10**7), ("2g", 2 * 10**9)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    context = click.Context(bench.io)
    assert bench.parse_size(context, bench.io.params[0], text) == size


@pytest.mark.parametrize("text", ["", "1TB", "-1", "1.5G", "GiB"])
def test_what_is_no_size_is_refused_with_the_way_to_write_it(text: str) -> None:
    done = CliRunner().invoke(bench.group, ["io", "--size", text])
    assert done.exit_code == 2
    assert "write 1048576, 64KiB, 10MB or 1GiB" in done.output
