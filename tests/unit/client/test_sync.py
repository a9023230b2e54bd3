"""FileSystem: blocking calls from any thread, and file objects."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import AlreadyExists, Cancelled, InvalidArgument, NotFound
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB
DATA = random.Random(11).randbytes(3 * MIB + 17)


@pytest.fixture
def fs() -> Iterator[FileSystem]:
    cluster = FakeCluster(MIB)

    async def make() -> AsyncFileSystem:
        return cluster.connect()

    with FileSystem(make) as made:
        yield made


def test_every_call_of_the_async_file_system_blocks_and_returns(
    fs: FileSystem, tmp_path: Path
) -> None:
    fs.makedirs("/a/b", exist_ok=True)
    fs.mkdir("/a/c")
    fs.pipe_file("/a/f", b"12345")
    assert fs.cat_file("/a/f", 1, 3) == b"23"
    assert fs.exists("/a/f")
    assert fs.isfile("/a/f")
    assert fs.isdir("/a/b")
    assert fs.info("/a/f").size == 5
    assert [entry.name for entry in fs.ls("/a")] == ["b", "c", "f"]
    assert [entry.name for entry in fs.scandir("/a")] == ["b", "c", "f"]
    assert len(list(fs.find("/"))) == 5
    assert fs.du("/").bytes == 5
    fs.mv("/a/f", "/a/g")
    fs.get_file("/a/g", tmp_path / "g")
    fs.put_file(tmp_path / "g", "/h")
    assert fs.get("/a", tmp_path / "a").files == 1
    assert fs.put(tmp_path / "a", "/again").files == 1
    assert fs.rm("/a", recursive=True) == 4
    with pytest.raises(NotFound):
        fs.info("/a")


def test_reads_take_a_consistency(fs: FileSystem) -> None:
    fs.pipe_file("/f", b"12345")
    assert fs.info("/f", consistency="stale").freshness is not None
    assert [entry.name for entry in fs.ls("/", consistency="bounded:5")] == ["f"]
    assert len(list(fs.find("/", consistency="stale"))) == 2
    assert [entry.name for entry in fs.scandir("/", consistency="stale")] == ["f"]
    assert fs.du("/", consistency="follower").bytes == 5
    assert fs.exists("/f", consistency="lease")
    assert fs.isfile("/f", consistency="stale")
    assert not fs.isdir("/f", consistency="stale")
    assert fs.cat_file("/f", consistency="stale") == b"12345"
    assert fs.stalest is not None
    assert fs.stalest.staleness_ms == 0


def test_many_threads_may_call_at_once(fs: FileSystem) -> None:
    def work(number: int) -> bytes:
        fs.pipe_file(f"/f{number}", DATA[: number * 1000])
        return fs.cat_file(f"/f{number}")

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(64))):
            assert found == DATA[: number * 1000]


def test_a_binary_file_object_writes_and_reads(fs: FileSystem) -> None:
    with fs.open("/f", "wb") as file:
        for start in range(0, len(DATA), 100_001):
            file.write(DATA[start : start + 100_001])
        assert file.tell() == len(DATA)
    with fs.open("/f", "rb") as file:
        assert file.read() == DATA
        assert file.seek(-10, io.SEEK_END) == len(DATA) - 10
        assert file.read(100) == DATA[-10:]
        assert file.seek(MIB) == MIB
        assert file.read(10) == DATA[MIB : MIB + 10]
        assert file.readable()
        assert not file.writable()


def test_text_is_utf8_by_lines(fs: FileSystem) -> None:
    with fs.open("/t", "w") as file:
        file.write("erste Zeile\nzweite: café\n")
    with fs.open("/t", "r") as file:
        assert list(file) == ["erste Zeile\n", "zweite: café\n"]
    assert fs.cat_file("/t") == "erste Zeile\nzweite: café\n".encode()


def test_x_refuses_an_existing_file_and_other_modes_are_refused(fs: FileSystem) -> None:
    fs.pipe_file("/f", b"1")
    with pytest.raises(AlreadyExists):
        fs.open("/f", "xb")
    with pytest.raises(InvalidArgument, match="a\\+"):
        fs.open("/f", "a+")


@pytest.mark.parametrize("mode", ["wb", "w"])
def test_an_exception_in_the_block_leaves_no_file(fs: FileSystem, mode: str) -> None:
    def fail_halfway() -> None:
        with fs.open("/f", mode) as file:
            file.write(b"half" if "b" in mode else "half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert not fs.exists("/f")


def test_a_closed_file_system_says_so_and_its_thread_has_ended() -> None:
    cluster = FakeCluster(MIB)

    async def make() -> AsyncFileSystem:
        return cluster.connect()

    fs = FileSystem(make)
    threads = [t for t in threading.enumerate() if t.name == "pydfsnode-client"]
    fs.close()
    fs.close()
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(Cancelled, match="closed"):
        fs.exists("/")


def test_a_failed_connect_leaves_no_thread() -> None:
    async def make() -> AsyncFileSystem:
        raise NotFound("no configuration")

    before = threading.active_count()
    with pytest.raises(NotFound):
        FileSystem(make)
    assert threading.active_count() == before
