"""File objects: what the standard library expects of them, with its own modules as users."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.loop_thread import LoopThread
from pydfsnode.client.sync import FileSystem
from pydfsnode.client.sync_files import FIRST_READ_BYTES
from pydfsnode.errors import InvalidArgument
from tests.unit.client.fakes import FakeCluster

MIB = limits.MIB
DATA = random.Random(11).randbytes(3 * MIB + 17)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(MIB)


@pytest.fixture
def fs(cluster: FakeCluster) -> Iterator[FileSystem]:
    async def make() -> AsyncFileSystem:
        return cluster.connect()

    with FileSystem(make) as made:
        yield made


def test_they_are_those_of_io(fs: FileSystem) -> None:
    fs.pipe_file("/f", DATA)
    with fs.open("/f") as file:
        assert isinstance(file, io.BufferedIOBase)
        assert (file.name, file.mode) == ("/f", "rb")
        assert file.size == len(DATA)  # type: ignore[attr-defined]
        assert file.peek(3)[:3] == DATA[:3]  # type: ignore[attr-defined]
        buffer = bytearray(5)
        assert file.readinto(buffer) == 5  # type: ignore[attr-defined]
        assert buffer == DATA[:5]
        assert file.tell() == 5
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"1")
        with pytest.raises(io.UnsupportedOperation):
            file.fileno()
        with pytest.raises(io.UnsupportedOperation):
            file.truncate()
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with fs.open("/g", "wb") as file:
        assert (file.name, file.mode) == ("/g", "wb")
        assert not file.seekable()
        with pytest.raises(io.UnsupportedOperation):
            file.read()


def test_unbuffered_and_buffers_of_any_size(fs: FileSystem) -> None:
    with fs.open("/f", "wb", buffering=0) as file:
        assert isinstance(file, io.RawIOBase)
        assert file.write(DATA) == len(DATA)
    with fs.open("/f", "rb", buffering=0) as file:
        assert file.read(7) == DATA[:7]
        assert file.read() == DATA[7:]
    with fs.open("/f", buffering=1000) as file:
        assert file.read(1500) == DATA[:1500]
        assert file.read() == DATA[1500:]


def test_small_and_large_writes_keep_their_order(fs: FileSystem) -> None:
    pieces = [b"a" * 10, DATA, b"b" * 10, memoryview(DATA), bytearray(b"c" * MIB), b"d"]
    with fs.open("/f", "wb") as file:
        for number, piece in enumerate(pieces):
            assert file.write(piece) == len(piece)
            assert file.tell() == sum(map(len, pieces[: number + 1]))
    assert fs.cat_file("/f") == b"".join(pieces)


def test_reads_into_a_buffer_of_any_size(fs: FileSystem) -> None:
    fs.pipe_file("/f", DATA)
    for size in (1000, MIB, 2 * MIB + 1, len(DATA) + 1):
        found, buffer = b"", bytearray(size)
        with fs.open("/f", buffering=0) as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                found += buffer[:count]
        assert found == DATA


def test_the_first_read_behind_a_seek_is_small(fs: FileSystem, cluster: FakeCluster) -> None:
    fs.pipe_file("/f", DATA)
    with fs.open("/f") as file:
        file.seek(MIB + 100)
        assert file.read(10) == DATA[MIB + 100 : MIB + 110]
    assert [length for _, _, length in cluster.chunks.reads] == [FIRST_READ_BYTES]


def test_large_reads_in_order_fetch_what_they_ask_for(fs: FileSystem, cluster: FakeCluster) -> None:
    fs.pipe_file("/f", DATA)
    with fs.open("/f") as file:
        assert file.read(MIB) == DATA[:MIB]
        assert file.tell() == file.raw.tell() == MIB  # type: ignore[attr-defined]
        assert file.read(MIB) == DATA[MIB : 2 * MIB]
        assert file.tell() == file.raw.tell() == 2 * MIB  # type: ignore[attr-defined]
        assert file.read(1) == DATA[2 * MIB : 2 * MIB + 1]
    assert cluster.chunks.reads[0][1:] == (0, MIB)


def test_what_came_with_the_bytes_before_is_read_and_left_by_a_seek(fs: FileSystem) -> None:
    fs.pipe_file("/f", DATA)
    with fs.open("/f", buffering=0) as file:
        assert file.read(10) == DATA[:10]
        assert file.read(MIB) == DATA[10 : MIB + 10]  # here what is ahead begins to come
        assert file.tell() == MIB + 10
        with pytest.raises(InvalidArgument):
            file.seek(-1)
        assert file.tell() == MIB + 10
        assert file.seek(-5, io.SEEK_CUR) == MIB + 5
        assert file.read(10) == DATA[MIB + 5 : MIB + 15]
        assert file.read(20) == DATA[MIB + 15 : MIB + 35]
        assert file.read() == DATA[MIB + 35 :]
        assert file.read(1) == b""
        assert file.seek(-3, io.SEEK_END) == len(DATA) - 3
        assert file.read() == DATA[-3:]


def test_reads_in_order_wait_for_the_thread_once_for_what_comes_at_once(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.pipe_file("/f", DATA)
    waited = []
    run = LoopThread.run
    with fs.open("/f", buffering=0) as file:
        assert file.read(1) == DATA[:1]
        monkeypatch.setattr(
            LoopThread, "run", lambda thread, work: waited.append(1) or run(thread, work)
        )
        found = [file.read(4096) for _ in range(20)]
    assert b"".join(found) == DATA[1 : 1 + 20 * 4096]
    assert len(waited) == 2, "one to begin, one to close"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16"])
def test_text_in_any_encoding(fs: FileSystem, encoding: str) -> None:
    with fs.open("/t", "w", encoding=encoding) as file:
        assert file.mode == "w"
        file.write("één\ntwee\n")
    assert fs.cat_file("/t") == "één\ntwee\n".encode(encoding)
    with fs.open("/t", "rt", encoding=encoding) as file:
        assert file.readline() == "één\n"
        assert list(file) == ["twee\n"]


def test_newlines_and_undecodable_bytes(fs: FileSystem) -> None:
    with fs.open("/t", "w", newline="\r\n") as file:
        file.write("a\nb\n")
    assert fs.cat_file("/t") == b"a\r\nb\r\n"
    assert fs.open("/t", "r").read() == "a\nb\n"
    assert fs.open("/t", "r", newline="").read() == "a\r\nb\r\n"
    fs.pipe_file("/t", b"a\xff")
    with pytest.raises(UnicodeDecodeError):
        fs.open("/t", "r").read()
    assert fs.open("/t", "r", errors="replace").read() == "a�"


@pytest.mark.parametrize(
    ("mode", "how"),
    [("r+", {}), ("rw", {}), ("rbt", {}), ("", {}), ("rb", {"encoding": "utf-8"}),
     ("r", {"buffering": 0})],
)  # fmt: skip
def test_modes_that_there_are_not_are_value_errors(
    fs: FileSystem, mode: str, how: dict[str, Any]
) -> None:
    fs.pipe_file("/f", b"")
    with pytest.raises(ValueError, match=r"mode|binary|unbuffered"):
        fs.open("/f", mode, **how)


def test_append_and_exclusive_text(fs: FileSystem) -> None:
    with fs.open("/t", "x") as file:
        file.write("1")
    with fs.open("/t", "a") as file:
        file.write("2")
    assert fs.cat_file("/t") == b"12"
    with pytest.raises(FileExistsError):
        fs.open("/t", "x")


def test_zipfile(fs: FileSystem) -> None:
    with fs.open("/z", "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("a", DATA)
        pack.writestr("b", b"small")
    with fs.open("/z") as file, zipfile.ZipFile(file) as pack:
        assert pack.testzip() is None
        assert pack.read("b") == b"small"
        assert pack.read("a") == DATA


@pytest.mark.parametrize("kind", ["", "gz"])
def test_tarfile(fs: FileSystem, kind: str) -> None:
    with fs.open("/t", "wb") as file, tarfile.open(fileobj=file, mode=f"w:{kind}") as pack:
        member = tarfile.TarInfo("a")
        member.size = len(DATA)
        pack.addfile(member, io.BytesIO(DATA))
    with fs.open("/t") as file, tarfile.open(fileobj=file) as pack:
        found = pack.extractfile("a")
        assert found is not None
        assert found.read() == DATA


def test_gzip_csv_json_and_shutil(fs: FileSystem) -> None:
    with fs.open("/g", "wb") as file, gzip.open(file, "wt", newline="") as text:
        csv.writer(text).writerows([["a", "b"], ["1", "two\nlines"]])
    with fs.open("/g") as file, gzip.open(file, "rt", newline="") as text:
        assert list(csv.reader(text)) == [["a", "b"], ["1", "two\nlines"]]
    with fs.open("/j", "w") as file:
        json.dump({"a": [1, "é"]}, file, ensure_ascii=False)
    with fs.open("/j", "r") as file:
        assert json.load(file) == {"a": [1, "é"]}
    fs.pipe_file("/f", DATA)
    with fs.open("/f") as source, fs.open("/copy", "wb") as target:
        shutil.copyfileobj(source, target)
    assert fs.cat_file("/copy") == DATA


def test_a_file_object_that_is_given_up_leaves_no_file(fs: FileSystem) -> None:
    for mode in ("wb", "w"):
        file = fs.open("/f", mode)
        file.write(DATA if mode == "wb" else "text")
        file.abort()  # type: ignore[attr-defined]
        assert file.closed
        assert not fs.exists("/f")
