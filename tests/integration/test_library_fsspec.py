"""fsspec's own suites, and what more it promises, against a real cluster."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from fsspec.callbacks import Callback
from fsspec.tests.abstract import (
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)

from pydfsnode import limits
from pydfsnode.client.fsspec_filesystem import PydfsFileSystem
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MIB = limits.MIB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("fsspec") / "dev") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def fs(cluster: Cluster) -> PydfsFileSystem:
    return fsspec.filesystem("pydfs", config=str(cluster.directory / "client.toml"))


class OnACluster(AbstractFixtures):
    """What the suites of fsspec want to know."""

    @pytest.fixture
    def fs(self, cluster: Cluster) -> PydfsFileSystem:
        return fsspec.filesystem("pydfs", config=str(cluster.directory / "client.toml"))

    @pytest.fixture
    def fs_path(self, request: pytest.FixtureRequest) -> str:
        return f"/abstract/{type(self).__name__}"

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *names: "/".join(names)


class TestCopy(OnACluster, AbstractCopyTests):
    """cp."""


class TestGet(OnACluster, AbstractGetTests):
    """get."""


class TestPut(OnACluster, AbstractPutTests):
    """put."""


class TestOpen(OnACluster, AbstractOpenTests):
    """open."""


class TestPipe(OnACluster, AbstractPipeTests):
    """pipe."""


def test_a_url_names_the_path_and_the_options_the_cluster(cluster: Cluster) -> None:
    options = {"config": str(cluster.directory / "client.toml")}
    for url in ("pydfs:///url/a", "pydfs://url/a", "pydfs://url//a/"):
        with fsspec.open(url, "wb", **options) as file:
            file.write(url.encode())
        fs, path = fsspec.url_to_fs(url, **options)
        assert path.rstrip("/").replace("//", "/") == "/url/a"
        assert fs.cat_file("/url/a") == url.encode()
    assert fs.unstrip_protocol("/url/a") == "pydfs:///url/a"
    assert fsspec.get_filesystem_class("pydfs") is PydfsFileSystem


def test_mv_is_one_step_and_goes_into_directories(fs: PydfsFileSystem) -> None:
    fs.pipe({"/mv/a/f": b"1", "/mv/a/b/g": b"2", "/mv/other": b"3"})
    inode_id = fs.info("/mv/a/f")["ino"]
    fs.mv("/mv/a/f", "/mv/new/h")
    assert fs.info("/mv/new/h")["ino"] == inode_id, "moved, not copied"
    fs.mv("/mv/other", "/mv/new/h")
    assert fs.cat_file("/mv/new/h") == b"3", "a file takes the place of a file"
    fs.mv("/mv/a", "/mv/new", recursive=True)
    assert fs.find("/mv") == ["/mv/new/a/b/g", "/mv/new/h"]
    fs.mv("/mv/new/h", "/mv/into/")
    assert fs.find("/mv/into") == ["/mv/into/h"]
    fs.mv("/mv/into/h", "/mv/into/h")
    with pytest.raises(FileNotFoundError):
        fs.mv("/mv/nothing", "/mv/x")


def test_names_and_totals(fs: PydfsFileSystem) -> None:
    fs.pipe({"/tree/a.csv": b"1", "/tree/b/c.csv": b"22", "/tree/b/d.txt": b"333"})
    fs.mkdir("/tree/empty")
    assert fs.ls("/tree", detail=False) == ["/tree/a.csv", "/tree/b", "/tree/empty"]
    assert fs.find("/tree") == ["/tree/a.csv", "/tree/b/c.csv", "/tree/b/d.txt"]
    assert fs.find("/tree", maxdepth=1) == ["/tree/a.csv"]
    assert "/tree/empty" in fs.find("/tree", withdirs=True)
    assert fs.find("/tree/a.csv") == ["/tree/a.csv"]
    assert fs.find("/tree/nothing") == []
    assert fs.glob("/tree/**/*.csv") == ["/tree/a.csv", "/tree/b/c.csv"]
    assert fs.du("/tree") == 6
    assert fs.du("/tree", total=False)["/tree/b/d.txt"] == 3
    assert next(iter(fs.walk("/tree"))) == ("/tree", ["b", "empty"], ["a.csv"])
    assert fs.size("/tree/b/d.txt") == 3
    assert fs.isdir("/tree")
    assert not fs.isfile("/tree")
    assert not fs.exists("/tree/nothing")
    before = fs.ukey("/tree/a.csv")
    fs.touch("/tree/a.csv", truncate=False)
    assert fs.cat_file("/tree/a.csv") == b"1"
    fs.touch("/tree/a.csv")
    assert fs.cat_file("/tree/a.csv") == b""
    assert fs.ukey("/tree/a.csv") != before
    assert fs.modified("/tree/a.csv").year > 2000
    fs.rmdir("/tree/empty")
    with pytest.raises(OSError, match="entries"):
        fs.rm("/tree")
    fs.rm("/tree", recursive=True)
    with pytest.raises(FileNotFoundError):
        fs.info("/tree")


def test_a_transaction_shows_all_its_files_or_none(fs: PydfsFileSystem) -> None:
    with fs.transaction:
        with fs.open("/deal/a", "wb") as file:
            file.write(b"1")
        with fs.open("/deal/b", "w") as file:
            file.write("2")
        assert not fs.exists("/deal/a")
    assert fs.cat(["/deal/a", "/deal/b"]) == {"/deal/a": b"1", "/deal/b": b"2"}

    def fail() -> None:
        with fs.transaction, fs.open("/deal/c", "wb") as file:
            file.write(b"3")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert fs.ls("/deal", detail=False) == ["/deal/a", "/deal/b"], "nothing is left over"


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_an_exception_in_the_block_leaves_no_file(fs: PydfsFileSystem, mode: str) -> None:
    def fail() -> None:
        with fs.open("/half", mode) as file:
            file.write("half" if mode == "w" else b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not fs.exists("/half")


def test_copies_tell_how_far_they_are(fs: PydfsFileSystem, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(3 * MIB))
    callback = Callback()
    fs.put_file(str(tmp_path / "f"), "/told", callback=callback)
    assert (callback.size, callback.value) == (3 * MIB, 3 * MIB)
    callback = Callback()
    fs.get_file("/told", str(tmp_path / "g"), callback=callback)
    assert (callback.size, callback.value) == (3 * MIB, 3 * MIB)


def test_it_travels_to_other_processes_and_threads(fs: PydfsFileSystem) -> None:
    fs.pipe_file("/travels", b"123456")
    other = pickle.loads(pickle.dumps(fs))
    assert other.cat_file("/travels", 1, -1) == b"2345"
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: fs.cat_file("/travels"), range(64))) == {b"123456"}
    ranges = fs.cat_ranges(["/travels"] * 2, [0, 3], [2, 6])
    assert ranges == [b"12", b"456"]


async def test_all_of_it_awaits_in_the_callers_loop(cluster: Cluster) -> None:
    fs = PydfsFileSystem(
        str(cluster.directory / "client.toml"), asynchronous=True, skip_instance_cache=True
    )
    try:
        await fs._pipe_file("/awaited/a", b"12345")
        assert await fs._cat_file("/awaited/a", 1, 3) == b"23"
        contents = [fs._cat_file("/awaited/a") for _ in range(20)]
        assert set(await asyncio.gather(*contents)) == {b"12345"}
        async with await fs.open_async("/awaited/b", "wb") as file:
            await file.write(b"xyz")
            assert file.tell() == 3
        async with await fs.open_async("/awaited/b") as file:
            assert file.size == 3
            assert await file.seek(1) == 1
            assert await file.read() == b"yz"
        with pytest.raises(FileNotFoundError):
            await fs.open_async("/awaited/nothing")
        assert await fs._find("/awaited") == ["/awaited/a", "/awaited/b"]
    finally:
        await fs.aclose()
