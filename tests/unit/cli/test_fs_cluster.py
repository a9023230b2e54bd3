"""The verbs with the real namespace, service and wire behind them, in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode.cli import fs_trash
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.unit.cli.conftest import Run
from tests.unit.client.fakes import BOB, FakeCluster

pytestmark = pytest.mark.usefixtures("cluster")
Put = Callable[..., None]
CURRENT = "/user/ann/.Trash/Current"


@pytest.fixture
def put(run: Run, tmp_path: Path) -> Put:
    """`put("/a", "/b", content=b"x")` makes files of Ann."""

    def make(*paths: str, content: bytes = b"") -> None:
        (tmp_path / "content").write_bytes(content)
        for path in paths:
            assert run("fs", "put", tmp_path / "content", path).code == 0

    return make


@pytest.fixture
def become_bob(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, commands run as Bob, who is no superuser as Ann is."""

    async def connect(_config: object) -> AsyncFileSystem:
        return cluster.connect(identity=BOB)

    return lambda: monkeypatch.setattr(AsyncFileSystem, "connect", connect)


def test_times(run: Run, put: Put) -> None:
    put("/d/f", content=b"x")
    assert run("fs", "touch", "-m", "-t", "20260131:170000", "/d/f", "/d").code == 0
    assert run("fs", "touch", "-a", "-t", "20250131:170000", "/d/f").code == 0
    assert run("fs", "stat", "-c", "%y %x", "/d/f").out == (
        "2026-01-31 17:00:00 2025-01-31 17:00:00\n"
    )
    assert run("fs", "touch", "/d/new").code == 0
    assert run("fs", "touchz", "/d/new", "/d/newer").code == 0
    assert run("fs", "touchz", "/d/f").code == 1
    assert run("fs", "ls", "-C", "-t", "/d").out == "/d/new\n/d/f\n/d/newer\n", "2023 in there"
    assert run("fs", "touchz", "/nothing/f").err.endswith("No such file or directory [2001]\n")


def test_contents(run: Run, put: Put, tmp_path: Path) -> None:
    put("/d/f", content=b"one,")
    (tmp_path / "more").write_bytes(b"two" * 3000)
    assert run("fs", "append", tmp_path / "more", "/d/f").code == 0
    assert run("fs", "append", tmp_path / "more", "/d/new").code == 0
    assert run("fs", "head", "-c", "7", "/d/f").out == "one,two"
    assert run("fs", "tail", "-c", "3", "/d/f").out == "two"
    assert run("fs", "truncate", "6", "/d/f").out == "Truncated /d/f to length: 6\n"
    assert run("fs", "cat", "/d/f").out == "one,tw"
    assert run("fs", "truncate", "60", "/d/f").code == 1
    put("/d/p1", content=b"1" * 5000)
    put("/d/p2", content=b"2" * 5000)
    assert run("fs", "concat", "/d/new", "/d/p*").code == 0
    assert run("fs", "cat", "/d/new").out == "two" * 3000 + "1" * 5000 + "2" * 5000
    assert run("fs", "ls", "-C", "/d").out == "/d/f\n/d/new\n"
    path, algorithm, value = run("fs", "checksum", "/d/f").out.split()
    assert (path, algorithm, len(value)) == ("/d/f", "CRC32C", 8)


def test_who_may_do_what(run: Run, put: Put) -> None:
    put("/d/f", "/d/sub/g")
    assert run("fs", "chmod", "-R", "u=rwX,go=,+t", "/d").code == 0
    assert run("fs", "stat", "-c", "%a %A %n", "/d", "/d/f").out == (
        "1700 rwx-----T d\n1600 rw------T f\n"
    )
    assert run("fs", "setfacl", "-m", "user:bob:rwx,mask::r-x", "/d").code == 0
    shown = run("fs", "getfacl", "/d").out.splitlines()
    assert "user:bob:rwx\t#effective:r-x" in shown
    assert "# flags: --t" in shown
    assert run("fs", "ls", "-d", "/d").out.startswith("drwxr-x--T+")
    assert run("fs", "setfacl", "-b", "/d").code == 0
    assert run("fs", "getfacl", "--json", "/d").out.count("::") == 3
    result = run("fs", "setfacl", "-m", "user:bob:q", "/d")
    assert (result.code, result.err[-7:]) == (1, "[2008]\n")


def test_a_user_is_refused_in_words(run: Run, put: Put, become_bob: Callable[[], None]) -> None:
    put("/d/f")
    run("fs", "chmod", "600", "/d/f")
    assert run("fs", "chown", "bob:eng", "/d").code == 0
    become_bob()
    assert [run("fs", "test", flag, "/d/f").code for flag in ("-e", "-r", "-w")] == [0, 1, 1]
    assert [run("fs", "test", flag, "/d").code for flag in ("-r", "-w")] == [0, 0]
    for command in (
        ("chown", "bob", "/d/f"), ("quota", "set", "--names", "10", "/d"), ("cat", "/d/f"),
        ("getfattr", "-d", "/d/f"), ("chmod", "777", "/d/f"), ("setfacl", "-b", "/d/f"),
        ("truncate", "0", "/d/f"), ("touch", "/d/f"),
    ):  # fmt: skip
        result = run("fs", *command)
        assert result.code == 1
        assert "permission denied" in result.err.lower(), command
        assert result.err.endswith(" [2014]\n"), command
    assert run("fs", "rm", "/d/f").out.endswith("/user/bob/.Trash/Current/d/f\n"), "his directory"


def test_attributes(run: Run, put: Put) -> None:
    put("/f")
    assert run("fs", "setfattr", "-n", "user.a", "-v", "0x00ff", "/f").code == 0
    assert run("fs", "getfattr", "-d", "/f").out == "# file: /f\nuser.a=0sAP8=\n\n"
    assert run("fs", "setfattr", "-x", "user.a", "/f").code == 0
    assert run("fs", "setfattr", "-x", "user.a", "/f").code == 1
    result = run("fs", "setfattr", "-n", "system.a", "/f")
    assert (result.code, result.err[-7:]) == (1, "[2016]\n")


def test_counting_and_quotas(run: Run, put: Put) -> None:
    put("/d/a", "/d/sub/b", content=b"x" * 5000)
    assert run("fs", "count", "-q", "/d").out.split() == [
        "none", "inf", "none", "inf", "2", "2", "10000", "/d",
    ]  # fmt: skip
    assert run("fs", "quota", "show", "/d").out.split()[-7:] == [
        "/d", "4", "none", "-", "30000", "none", "-",
    ]  # fmt: skip
    assert run("fs", "quota", "set", "--names", "4", "--space", "40K", "/d").code == 0
    assert run("fs", "count", "-q", "-h", "/d").out.split()[:4] == ["4", "0", "40.0K", "10.7K"]
    result = run("fs", "touch", "/d/c")
    assert (result.code, result.err[-7:]) == (1, "[2015]\n")
    assert "The NameSpace quota of '/d' is exceeded" in result.err


def test_replication(run: Run, put: Put) -> None:
    put("/d/a", "/d/sub/b", content=b"x" * 5000)
    assert run("fs", "setrep", "2", "/d").code == 0
    assert run("fs", "stat", "%r", "/d/a", "/d/sub/b").out == "2\n2\n"
    result = run("fs", "setrep", "5", "/nothing")
    assert (result.code, result.err[-7:]) == (1, "[2001]\n")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["-name", "*.GZ"], ""),
        (["-iname", "*.GZ"], "/d/a.gz /d/sub/b.gz"),
        (["-name", "[^a].*", "-type", "f"], "/d/sub/b.gz /d/sub/c.txt"),
        (["-type", "d"], "/d /d/sub"),
        ([], "/d /d/a.gz /d/sub /d/sub/b.gz /d/sub/c.txt"),
    ],
)
def test_find(run: Run, put: Put, arguments: list[str], found: str) -> None:
    put("/d/a.gz", "/d/sub/b.gz", "/d/sub/c.txt")
    assert run("fs", "find", "/d", *arguments).out.split() == found.split()
    assert run("fs", "ls", "-C", "/d/*/{b,c}.*").out.split() == ["/d/sub/b.gz", "/d/sub/c.txt"]


def test_the_trash(run: Run, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs_trash, "own_name", lambda: "ann")
    put("/d/tree/a", "/d/tree/b", "/d/f", content=b"old")
    assert run("fs", "rm", "-r", "/d/tree").out == (
        f"Moved: '/d/tree' to trash at: {CURRENT}/d/tree\n"
    )
    run("fs", "rm", "/d/f")
    put("/d/f", content=b"new")
    run("fs", "rm", "/d/f")
    found = json.loads(run("fs", "trash", "list", "--json").out)
    assert [(row["path"], row["size"]) for row in found] == [
        ("/d/f", 3), ("/d/f", 3), ("/d/tree", 6),
    ]  # fmt: skip
    assert run("fs", "trash", "restore", "/d/f", "/d/tree").out == (
        "Restored /d/f\nRestored /d/tree\n"
    )
    assert run("fs", "cat", "/d/f", "/d/tree/a").out == "newold"
    result = run("fs", "trash", "restore", "/d/f")
    assert result.code == 1
    assert result.err.endswith(": File exists [2002]\n")
    assert run("fs", "rm", "-r", CURRENT).out.startswith(f"Deleted {CURRENT} and ")
    assert run("fs", "trash", "list").out == ""
    run("fs", "rm", "/d/f")
    made = json.loads(run("fs", "expunge", "--json").out)["checkpoint"]
    assert re.fullmatch(r"/user/ann/\.Trash/\d{12}", made)
    assert made in run("fs", "trash", "list").out
    assert run("fs", "expunge", "-immediate").out.startswith("Deleted ")
    assert run("fs", "trash", "list").out == ""


def test_snapshots(run: Run, put: Put) -> None:
    put("/d/a", "/d/b", content=b"x" * 5000)
    assert run("fs", "snapshot", "create", "/d", "s1").out == "Created snapshot /d/.snapshot/s1\n"
    run("fs", "rm", "-skipTrash", "/d/a")
    put("/d/c")
    assert run("fs", "mv", "/d/b", "/d/e").code == 0
    assert run("fs", "ls", "-C", "/d/.snapshot/s1").out == (
        "/d/.snapshot/s1/a\n/d/.snapshot/s1/b\n"
    )
    assert run("fs", "cat", "/d/.snapshot/s1/a").out == "x" * 5000
    assert run("fs", "test", "-w", "/d/.snapshot/s1/a").code == 1
    assert run("fs", "find", "/d/.snapshot/s1", "-type", "f").out == (
        "/d/.snapshot/s1/a\n/d/.snapshot/s1/b\n"
    )
    assert sorted(run("fs", "snapshot", "diff", "/d", "s1").out.splitlines()[1:]) == [
        "+\t./c", "-\t./a", "R\t./b -> ./e",
    ]  # fmt: skip
    assert run("fs", "snapshot", "rename", "/d", "s1", "s2").code == 0
    assert run("fs", "snapshot", "list", "/d").out.endswith("  /d/.snapshot/s2\n")
    assert run("fs", "snapshot", "delete", "/d", "s2").code == 0
    assert run("fs", "snapshot", "list", "/d").out == ""
    result = run("fs", "snapshot", "delete", "/d", "s2")
    assert (result.code, result.err[-7:]) == (1, "[2001]\n")


def test_looking_into_a_snapshot(run: Run, put: Put, tmp_path: Path) -> None:
    put("/d/a", "/d/sub/b", content=b"x" * 5000)
    run("fs", "setfattr", "-n", "user.a", "-v", "old", "/d/a")
    run("fs", "setfacl", "-m", "user:bob:r--", "/d/a")
    run("fs", "snapshot", "create", "/d", "s1")
    run("fs", "setfattr", "-n", "user.a", "-v", "new", "/d/a")
    run("fs", "setfacl", "-b", "/d/a")
    run("fs", "rm", "-r", "-skipTrash", "/d/sub")
    past = "/d/.snapshot/s1"
    assert "user:bob:r--\n" in run("fs", "getfacl", f"{past}/a").out
    assert 'user.a="old"' in run("fs", "getfattr", "-d", f"{past}/a").out
    shown = json.loads(run("fs", "getfacl", "-R", "--json", "/d/.snapshot").out)
    below = ["", "/s1", "/s1/a", "/s1/sub", "/s1/sub/b"]
    assert [row["path"] for row in shown] == [f"/d/.snapshot{path}" for path in below]
    assert run("fs", "find", "/d/.snapshot", "-name", "[sb]*").out.split() == [
        past, f"{past}/sub", f"{past}/sub/b",
    ]  # fmt: skip
    assert run("fs", "get", past, tmp_path / "back").code == 0
    assert (tmp_path / "back" / "sub" / "b").read_bytes() == b"x" * 5000
    assert run("fs", "setfattr", "-x", "user.a", f"{past}/a").err[-7:] == "[2006]\n"


def test_a_copy_is_refused_in_the_words_of_hdfs(
    run: Run, put: Put, tmp_path: Path, become_bob: Callable[[], None]
) -> None:
    put("/closed/f", content=b"x")
    run("fs", "chmod", "700", "/closed/f")
    run("fs", "chmod", "755", "/closed")
    become_bob()
    for command in (("put", tmp_path / "content", "/closed/g"), ("get", "/closed/f", tmp_path)):
        result = run("fs", *command)
        assert (result.code, "1 failure" in result.out) == (1, True)
        assert re.fullmatch(r"pydfsnode: .*Permission denied.* \[2014\]\n", result.err)


def test_there_are_no_symbolic_links(run: Run) -> None:
    result = run("fs", "ln", "-s", "/a", "/b")
    assert (result.code, "No such command 'ln'" in result.err) == (2, True)


def test_what_is_kept_by_the_masters_says_so(run: Run, put: Put) -> None:
    put("/small", content=b"x")
    assert "(kept by the masters)" in run("fs", "stat", "/small").out
    assert json.loads(run("fs", "stat", "--json", "/small").out)["inline"] is True
