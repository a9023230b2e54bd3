"""The library and its surroundings: forks, interrupts, errors that are Python's own, cancelling."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode import errors, limits
from pydfsnode.client import builtin_errors
from pydfsnode.client.builtin_errors import as_builtin
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.loop_thread import LoopThread
from pydfsnode.client.part_file import PartFile
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import Cancelled, PydfsError
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB


@pytest.fixture
def fs() -> Iterator[FileSystem]:
    cluster = FakeCluster(MIB)

    async def make() -> AsyncFileSystem:
        return cluster.connect()

    with FileSystem(make) as made:
        yield made


def in_a_fork(work: object) -> str:
    """What `work()` raised or returned in a fork of this process, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = str(work())  # type: ignore[operator]
        except PydfsError as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_is_told_to_connect_itself_and_can(fs: FileSystem) -> None:
    fs.pipe_file("/f", b"1")
    assert in_a_fork(lambda: fs.cat_file("/f")).startswith("Cancelled: the file system was connect")
    assert in_a_fork(fs.close) == "None", "closing what the parent uses is harmless"

    def connect_here() -> bytes:
        async def make() -> AsyncFileSystem:
            return FakeCluster(MIB).connect()

        with FileSystem(make) as own:
            own.pipe_file("/f", b"own")
            return own.cat_file("/f")

    assert in_a_fork(connect_here) == "b'own'"
    assert fs.cat_file("/f") == b"1", "the parent goes on"


def test_an_interrupt_ends_the_call_after_it_has_cleaned_up() -> None:
    thread = LoopThread()
    done: list[str] = []
    started = threading.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            done.append("cleaned up")

    def interrupt() -> None:
        started.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        thread.run(work())
    interrupting.join()
    assert done == ["cleaned up"]
    thread.close()


def test_calls_from_many_threads_end_when_it_is_closed() -> None:
    thread = LoopThread()
    started = threading.Barrier(5)
    ended: list[str] = []

    async def for_ever() -> None:
        await asyncio.Event().wait()

    def call() -> None:
        started.wait()
        try:
            thread.run(for_ever())
        except Cancelled as error:
            ended.append(error.message)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for each in threads:
        each.start()
    started.wait()
    thread.close()
    for each in threads:
        each.join()
    assert len(ended) == 4
    with pytest.raises(Cancelled, match="closed"):
        thread.run(for_ever())


def test_errors_are_pythons_own_too(fs: FileSystem) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        fs.info("/nothing")
    assert isinstance(caught.value, errors.NotFound)
    assert caught.value.code == errors.NotFound.code
    fs.mkdir("/d")
    fs.pipe_file("/d/f", b"")
    with pytest.raises(IsADirectoryError):
        fs.open("/d")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file("/d/f/g", b"")
    with pytest.raises(FileExistsError):
        fs.mkdir("/d")
    with pytest.raises(OSError, match="entr"):
        fs.rm("/d")
    with pytest.raises(ValueError, match=r"\.\."):
        fs.info("/a/../b")


@pytest.mark.parametrize("kind", list(builtin_errors._BOTH))
def test_they_keep_what_they_were_and_travel(kind: type[PydfsError]) -> None:
    cause = KeyError("why")
    error = kind("it says why", path="/a")
    error.__cause__ = cause
    found = as_builtin(error)
    assert isinstance(found, kind)
    assert isinstance(found, OSError | ValueError)
    assert (str(found), found.code, found.fields) == ("it says why", kind.code, {"path": "/a"})
    assert found.__cause__ is cause
    if isinstance(found, OSError):
        assert found.errno
        assert found.filename == "/a"
    again = pickle.loads(pickle.dumps(found))
    assert isinstance(again, kind)
    assert (str(again), again.fields) == (str(found), found.fields)


def test_other_errors_stay_as_they_are() -> None:
    for error in (errors.NoQuorum("no"), KeyError("k"), errors.CorruptionError("bad")):
        assert as_builtin(error) is error


def test_what_a_discarded_part_gets_late_goes_nowhere(tmp_path: Path) -> None:
    for late in (lambda part: part.write([b"late"]), lambda part: part.commit([b"late"])):
        part = PartFile(tmp_path / "f")
        part.discard()
        late(part)
        assert list(tmp_path.iterdir()) == []


async def test_a_cancelled_copy_leaves_nothing_behind(tmp_path: Path) -> None:
    cluster = FakeCluster(MIB)
    async with cluster.connect() as fs:
        (tmp_path / "source").write_bytes(bytes(5 * MIB))
        for number in range(3):
            await fs.put_file(tmp_path / "source", f"/tree/{number}")

        def cancelled(_count: int) -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await fs.put_file(tmp_path / "source", "/put", on_bytes=cancelled)
        with pytest.raises(asyncio.CancelledError):
            await fs.get_file("/tree/0", tmp_path / "got", on_bytes=cancelled)
        with pytest.raises(asyncio.CancelledError):
            await fs.cp_file("/tree/0", "/cp", on_bytes=cancelled)
        assert [entry.path for entry in await fs.ls("/")] == ["/tree"]
        assert [path.name for path in tmp_path.iterdir()] == ["source"]
