"""Real files of all edge sizes, whole and in ranges, by the library and the command line."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client.chunk_channels import READ_STALL_MS
from pydfsnode.client.sync import FileSystem
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CHUNK = limits.CHUNK_BYTES_MIN
EDGES = (limits.INLINE_BYTES_MAX, limits.BLOCK_BYTES, CHUNK, 3 * CHUNK)
SIZES = (0, 1, *(edge + step for edge in EDGES for step in (-1, 0, 1)))
DATA = random.Random(56).randbytes(max(SIZES))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev", masters=1) as cluster:
        config = cluster.directory / "client.toml"
        text = config.read_text(encoding="utf-8")
        config.write_text(f"chunk_bytes = {CHUNK}\nrack = '/here'\n{text}", encoding="utf-8")
        yield cluster


@pytest.fixture(scope="module")
def fs(cluster: Cluster) -> Iterator[FileSystem]:
    with cluster.connect() as fs:
        yield fs


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_comes_back_whole_and_in_ranges(fs: FileSystem, size: int) -> None:
    path, data = f"/f{size}", DATA[:size]
    fs.pipe_file(path, data)
    assert fs.info(path).size == size
    assert fs.cat_file(path) == data
    around = {0, 1, size // 2, *(edge + step for edge in (*EDGES, size) for step in (-1, 0, 1))}
    with fs.open(path, "rb") as file:
        for start in sorted(position for position in around if position >= 0):
            for length in (1, limits.BLOCK_BYTES):
                assert fs.cat_file(path, start, start + length) == data[start : start + length]
                file.seek(start)
                assert file.read(length) == data[start : start + length]


def test_a_chunkserver_that_hangs_delays_reads_but_little(cluster: Cluster) -> None:
    data = random.Random(57).randbytes(24 * CHUNK + 5)
    with cluster.connect() as fs:
        fs.pipe_file("/large", data)
    process = cluster.nodes()["c1"]["pid"]
    with cluster.connect() as fs:  # one that knows nothing of the servers yet
        os.kill(process, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert fs.cat_file("/large") == data
            for start in range(0, len(data), CHUNK // 2):
                assert fs.cat_file("/large", start, start + 4096) == data[start : start + 4096]
            took_s = time.monotonic() - began
        finally:
            os.kill(process, signal.SIGCONT)
        assert took_s < READ_STALL_MS / 1000, "nobody waited for it to the end"
        assert 0 < fs.read_counts.hedged <= 4 + 0.05 * fs.read_counts.reads


def test_the_command_line_copies_them_all(cluster: Cluster, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for size in SIZES:
        (source / str(size)).write_bytes(DATA[:size])
    cluster.run("fs", "put", "-r", source, "/all")
    cluster.run("fs", "get", "/all", tmp_path / "back")
    for size in SIZES:
        assert (tmp_path / "back" / str(size)).read_bytes() == DATA[:size]
