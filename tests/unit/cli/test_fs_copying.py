"""`fs put get cp getmerge moveFromLocal text`: flags, other names, interruptions."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pydfsnode.client import event_loop
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.unit.cli.conftest import Run
from tests.unit.client.fakes import FakeCluster

pytestmark = pytest.mark.usefixtures("cluster")
Give = Callable[[bytes], None]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_bytes(b"hello")
    (root / "sub" / "b").write_bytes(b"world" * 1000)
    return root


def test_put_resume_copies_the_rest_and_counts_what_it_skips(run: Run, source: Path) -> None:
    run("fs", "put", source / "sub", "/t/sub")
    result = run("fs", "put", "--resume", source, "/t")
    assert result.code == 0
    assert result.out.startswith("copied 1 file, 5 B in ")
    assert result.out.endswith(", 1 skipped\n")
    found = json.loads(run("fs", "put", "--resume", "--json", source, "/t").out)
    assert (found["files"], found["skipped"], found["bytes"]) == (0, 2, 0)
    (source / "a").write_bytes(b"HELLO")
    result = run("fs", "put", "--resume", source, "/t")
    assert result.code == 1
    assert "'/t/a' exists with another content than" in result.err
    assert "(-f overwrites)" in result.err
    assert run("fs", "put", "--resume", "-f", source, "/t").code == 0
    assert run("fs", "cat", "/t/a").out == "HELLO"


def test_get_resume(run: Run, source: Path, tmp_path: Path) -> None:
    run("fs", "put", source, "/t")
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "a").write_bytes(b"hello")
    result = run("fs", "get", "--resume", "/t", tmp_path / "back")
    assert (result.code, result.out.rpartition(", ")[2]) == (0, "1 skipped\n")
    assert (tmp_path / "back" / "sub" / "b").exists()


def test_preserve_keeps_what_may_be_kept(run: Run, source: Path, tmp_path: Path) -> None:
    (source / "a").chmod(0o600)
    result = run("fs", "put", "-p", source / "a", "/a")
    assert result.code == 0
    status = json.loads(run("fs", "stat", "--json", "/a").out)
    assert status["mode"] == "0600"
    assert status["mtime_ms"] == (source / "a").stat().st_mtime_ns // 1_000_000
    assert run("fs", "get", "--preserve", "/a", tmp_path / "b").code == 0
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600


def test_flags_that_scripts_for_hdfs_give(run: Run, source: Path, tmp_path: Path) -> None:
    assert run("fs", "-put", "-f", "-d", "-l", "-t", "2", "-q", "9", source / "a", "/a").code == 0
    assert json.loads(run("fs", "-stat", "--json", "/a").out)["replication"] == 1
    assert run("fs", "-copyFromLocal", source / "a", "/b").code == 0
    assert run("fs", "-copyToLocal", "-ignoreCrc", "-crc", "/b", tmp_path / "b").code == 0
    assert run("fs", "appendToFile", source / "a", "/b").code == 0
    assert run("fs", "-cat", "-ignoreCrc", "/b").out == "hellohello"
    assert run("fs", "-ls", "-C", "/").out == "/a\n/b\n"
    assert run("fs", "-help", "ls").out.startswith("Usage: pydfsnode fs ls")
    assert run("fs", "help").out.startswith("Usage: pydfsnode fs [OPTIONS]")
    assert run("fs", "-nonsense", "/").code == 2


def test_move_from_local_deletes_what_was_copied(run: Run, source: Path) -> None:
    run("fs", "put", source / "a", "/t/a")
    result = run("fs", "moveFromLocal", source / "sub", source / "a", "/t")
    assert result.code == 1
    assert [path.name for path in source.iterdir()] == ["a"], "not copied: it was there"
    assert run("fs", "cat", "/t/sub/b").out == "world" * 1000


def test_cp_copies_trees_and_keeps_what_it_is_told_to(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    run("fs", "chmod", "640", "/t/a")
    run("fs", "setfattr", "-n", "user.x", "-v", "1", "/t/a")
    run("fs", "touch", "-t", "20260131:170000", "/t/a")
    assert run("fs", "cp", "/t", "/plain").out.startswith("copied 2 files, 5.0 kB in ")
    assert run("fs", "cp", "-p", "/t", "/p").code == 0
    assert run("fs", "cp", "-ptpx", "/t", "/x").code == 0
    for copy, mode, xattrs in (("plain", "0644", 0), ("p", "0640", 0), ("x", "0640", 1)):
        status = json.loads(run("fs", "stat", "--json", f"/{copy}/a").out)
        assert (status["mode"], status["mtime_ms"] == 1_769_878_800_000) == (mode, copy != "plain")
        assert run("fs", "getfattr", "-d", f"/{copy}/a").out.count("user.x") == xattrs
        assert run("fs", "cat", f"/{copy}/sub/b").out == "world" * 1000
    assert run("fs", "cp", "-pz", "/t", "/y").code == 2


def test_cp_refuses_what_is_there_and_a_tree_into_itself(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    result = run("fs", "cp", "/t/sub/b", "/t/a")
    assert result.code == 1
    assert "File exists [2002] (-f overwrites)" in result.err
    assert run("fs", "cp", "-f", "/t/sub/b", "/t/a").code == 0
    assert run("fs", "cp", "/t", "/t/sub").code == 1
    assert run("fs", "cp", "/t/a", "/t/sub/b", "/nothing").code == 1


def test_getmerge_writes_files_one_behind_the_other(run: Run, tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(b"" if name == "b" else name.encode() * 3)
        run("fs", "put", tmp_path / name, f"/d/{name}")
    run("fs", "mkdir", "/d/sub")
    out = tmp_path / "out"
    for flags, content in (
        ([], b"aaaccc"), (["-nl"], b"aaa\n\nccc\n"), (["-nl", "-skip-empty-file"], b"aaa\nccc\n"),
    ):  # fmt: skip
        assert run("fs", "getmerge", *flags, "/d", out).code == 0
        assert out.read_bytes() == content
    assert run("fs", "getmerge", "/d/[ac]", "/nothing", out).code == 1
    assert run("fs", "getmerge", "/d/a", "/d/" + "{a,b}" * 11, out).code == 1
    assert out.read_bytes() == b"aaa\nccc\n", "it stays after an error"
    assert run("fs", "getmerge", "/d/sub", out).code == 1
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_text_unpacks(run: Run, standard_input: Give, pack: Callable[[bytes], bytes]) -> None:
    text = b"line\n" * 100_000
    standard_input(pack(text) + pack(b"more\n"))
    assert run("fs", "put", "-", "/f").code == 0
    assert run("fs", "text", "/f").out == text.decode() + "more\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"plain", ""),
        (b"x", ""),
        (b"", ""),
        (gzip.compress(b"hello" * 100)[:-20], "ends too early"),
        (b"\x1f\x8b" + b"\0" * 40, "cannot be unpacked"),
        (b"SEQ\x06org.apache", "a Hadoop sequence file"),
        (b"Obj\x01" + b"\0" * 9, "an Avro file"),
    ],
)
def test_text_says_what_it_cannot_show(
    run: Run, standard_input: Give, content: bytes, said: str
) -> None:
    standard_input(content)
    run("fs", "put", "-", "/f")
    result = run("fs", "text", "/f")
    assert result.code == (1 if said else 0)
    assert said in result.err
    assert said or result.out == content.decode()


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_interrupted_copy_says_what_is_done(
    run: Run, source: Path, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    put_file = AsyncFileSystem.put_file

    commands: list[asyncio.Future[Any]] = []

    async def interrupted(fs: AsyncFileSystem, lpath: Any, *more: Any, **options: Any) -> Any:
        if str(lpath).endswith("b"):
            commands[0].cancel()
            await asyncio.Event().wait()
        return await put_file(fs, lpath, *more, **options)

    async def cancelled_by_ctrl_c(main: Any) -> None:
        commands.append(asyncio.ensure_future(main))
        try:
            await commands[0]
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(AsyncFileSystem, "put_file", interrupted)
    monkeypatch.setattr(event_loop, "run", lambda main: asyncio.run(cancelled_by_ctrl_c(main)))
    result = run("fs", "put", *flags, source, "/t")
    assert result.code == 130
    assert result.err.startswith("pydfsnode: interrupted: copied ")
    assert result.err.rstrip().endswith("; 'fs put --resume' copies only the rest")
    if flags:
        found = json.loads(result.out)
        assert found["interrupted"] is True
        assert found["files"] <= 1
    else:
        assert result.out == ""


def test_standard_input_has_nothing_to_resume(run: Run) -> None:
    assert run("fs", "put", "--resume", "-", "/f").code == 2
