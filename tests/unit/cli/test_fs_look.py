"""`fs ls stat test find checksum du count df head tail`: looking without changing."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import NOW_MS, FakeFiles


@pytest.fixture
def tree(files: FakeFiles) -> FakeFiles:
    """/d with files of 1, 3 and 2 bytes, the last one changed first, and a directory."""
    files.tree("/d/a", content=b"1")
    files.tree("/d/b", content=b"333")
    files.tree("/d/c", content=b"22")
    files.tree("/d/sub/e", content=b"x")
    for name, minutes in (("a", 2), ("b", 3), ("c", 1), ("sub", 0)):
        files.nodes[f"/d/{name}"].mtime_ms = NOW_MS + minutes * 60_000
        files.nodes[f"/d/{name}"].atime_ms = NOW_MS - minutes * 60_000
    return files


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ([], "a b c sub"),
        (["-t"], "b a c sub"),
        (["-t", "-r"], "sub c a b"),
        (["-S"], "b c a sub"),
        (["-S", "-r"], "sub a c b"),
        (["-r"], "sub c b a"),
        (["-t", "-u"], "sub c a b"),
        (["-R"], "a b c sub sub/e"),
        (["-R", "-r"], "sub sub/e c b a"),
    ],
)
def test_ls_in_the_order_that_was_asked_for(run: Run, flags: list[str], names: str) -> None:
    result = run("fs", "ls", "-C", *flags, "/d")
    assert result.out.split() == [f"/d/{name}" for name in names.split()]
    assert result.code == 0


def test_ls_marks_lists_and_the_sticky_bit(run: Run, tree: FakeFiles) -> None:
    tree.nodes["/d/a"].entries = ("user:bob:rw-",)
    tree.nodes["/d/sub"].mode = 0o1777
    lines = run("fs", "ls", "/d").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "-rw-r--r--+", "-rw-r--r--", "-rw-r--r--", "drwxrwxrwt",
    ]  # fmt: skip
    assert run("fs", "ls", "-u", "/d/b").out.split()[5:7] == ["2023-11-14", "22:10"]
    assert run("fs", "ls", "/d/b").out.split()[5:7] == ["2023-11-14", "22:16"]


def test_ls_goes_on_behind_a_directory_that_may_not_be_read(run: Run, tree: FakeFiles) -> None:
    tree.tree("/d/b2/secret", "/d/b3/x")
    tree.closed.add("/d/b2")
    result = run("fs", "ls", "-R", "-C", "/d")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "/d/b2" in result.err
    assert "/d/b3/x" in result.out.split()
    assert "/d/b2/secret" not in result.out


def test_ls_of_a_file_itself_recursively(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "ls", "-R", "-C", "/d/a").out == "/d/a\n"
    assert run("fs", "ls", "-d", "-C", "/d", "/d/a").out == "/d\n/d/a\n"


def test_json_of_an_entry_has_what_the_namespace_knows(run: Run, tree: FakeFiles) -> None:
    (found,) = json.loads(run("fs", "ls", "-d", "--json", "/d/b").out)
    assert found == {
        "path": "/d/b", "type": "file", "size": 3, "replication": 3, "owner": "ann",
        "group": "staff", "mode": "0644", "mtime_ms": NOW_MS + 180_000,
        "atime_ms": NOW_MS - 180_000, "checksum": "crc32c:0000000a", "chunk_bytes": 1 << 20,
        "under_construction": False, "has_acl": False, "inline": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ("%n %b %o %r %u %g", "b 3 1048576 3 ann staff"),
        ("%F|%a|%A", "regular file|644|rw-r--r--"),
        ("%y %Y", f"2023-11-14 22:16:20 {NOW_MS + 180_000}"),
        ("%x %X", f"2023-11-14 22:10:20 {NOW_MS - 180_000}"),
        ("100%% %q", "100% %q"),
    ],
)
def test_stat_with_a_format(run: Run, tree: FakeFiles, form: str, shown: str) -> None:
    assert run("fs", "stat", "-c", form, "/d/b").out == f"{shown}\n"
    assert run("fs", "stat", form, "/d/b").out == f"{shown}\n", "as hdfs dfs has it"


def test_stat_of_a_directory_with_a_format_and_without_a_path(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "stat", "%F %n", "/d", "/").out == "directory d\ndirectory /\n"
    result = run("fs", "stat", "%n")
    assert result.code == 2
    assert "no path behind the format" in result.err


@pytest.mark.parametrize(
    ("flag", "path", "code"),
    [
        ("-e", "/d/a", 0), ("-e", "/nothing", 1), ("-e", "/d/a/below-a-file", 1),
        ("-d", "/d", 0), ("-d", "/d/a", 1), ("-d", "/nothing", 1),
        ("-f", "/d/a", 0), ("-f", "/d", 1),
        ("-s", "/d/a", 0), ("-s", "/d/empty", 1), ("-s", "/d", 0), ("-s", "/void", 1),
        ("-z", "/d/empty", 0), ("-z", "/d/a", 1), ("-z", "/void", 1), ("-z", "/nothing", 1),
        ("-r", "/d/a", 0), ("-r", "/d/closed", 1), ("-r", "/d", 0), ("-r", "/d/locked", 1),
        ("-w", "/d/a", 0), ("-w", "/d/closed", 1), ("-w", "/d/locked", 1),
    ],
)  # fmt: skip
def test_test_answers_by_its_code_alone(
    run: Run, tree: FakeFiles, flag: str, path: str, code: int
) -> None:
    tree.tree("/d/empty", "/d/closed", "/d/locked/x", "/void/")
    tree.closed |= {"/d/closed", "/d/locked"}
    result = run("fs", "test", flag, path)
    assert (result.code, result.out, result.err) == (code, "", "")


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("flags", [[], ["-e", "-d"]])
def test_test_wants_one_question(run: Run, flags: list[str]) -> None:
    assert run("fs", "test", *flags, "/d").code == 2


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["/d"], "/d /d/a /d/b /d/c /d/sub /d/sub/e"),
        (["/d", "-name", "[ab]"], "/d/a /d/b"),
        (["/d", "-iname", "S*"], "/d/sub"),
        (["/d", "-type", "d"], "/d /d/sub"),
        (["-type", "f", "-name", "e", "-print", "/d"], "/d/sub/e"),
        (["/d", "-name", "e", "-a", "-type", "f", "-and", "-print"], "/d/sub/e"),
        (["/d", "-iname", "A", "-print"], "/d/a"),
        (["/d/s*", "/d/a", "-type", "f"], "/d/sub/e /d/a"),
        (["/d", "-name", "nothing"], ""),
    ],
)
def test_find(run: Run, arguments: list[str], found: str) -> None:
    result = run("fs", "find", *arguments)
    assert (result.code, result.out.split()) == (0, found.split())


def test_find_for_programs(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "find", "/d", "-name", "[ae]", "-print0").out == "/d/a\0/d/sub/e\0"
    found = json.loads(run("fs", "find", "/d", "-name", "a", "--json").out)
    assert [(entry["path"], entry["size"]) for entry in found] == [("/d/a", 1)]
    result = run("fs", "find", "/nothing")
    assert (result.code, result.out) == (1, "")


def test_checksum(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "checksum", "/d/a").out == "/d/a\tCRC32C\t0000000a\n"
    tree.nodes["/d/b"].is_open = True
    result = run("fs", "checksum", "--json", "/d/a", "/d/b", "/d/sub")
    assert json.loads(result.out) == [
        {"path": "/d/a", "algorithm": "crc32c", "checksum": "0000000a"}
    ]
    assert result.code == 1
    assert "[2009]" in result.err
    assert "'/d/sub' is a directory and has no checksum [2004]" in result.err


def test_du_with_a_header(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "du", "-v", "/d/sub").out == (
        "SIZE  DISK_SPACE_CONSUMED  PATHNAME\n"
        "   1                    3  /d/sub/e\n"
    )  # fmt: skip


def test_count(run: Run, tree: FakeFiles) -> None:
    assert run("fs", "count", "/d", "/d/a").out == "2  4  7  /d\n0  1  1  /d/a\n"
    tree.nodes["/d"].quota = (10, 20)
    assert run("fs", "count", "-q", "/d").out == "10  4  20  -1  2  4  7  /d\n"
    shown = run("fs", "count", "-q", "-h", "-v", "/d/sub").out.splitlines()
    assert shown[0].split() == [
        "QUOTA", "REM_QUOTA", "SPACE_QUOTA", "REM_SPACE_QUOTA",
        "DIR_COUNT", "FILE_COUNT", "CONTENT_SIZE", "PATHNAME",
    ]  # fmt: skip
    assert shown[1].split() == ["none", "inf", "none", "inf", "1", "1", "1", "/d/sub"]
    assert run("fs", "count", "-u", "/d").out == "10  4  20  -1  /d\n"


def test_count_as_json(run: Run, tree: FakeFiles) -> None:
    tree.nodes["/d"].quota = (10, 0)
    (below,) = json.loads(run("fs", "count", "--json", "/d/sub").out)
    assert below["names_quota"] is below["space_quota"] is None
    result = run("fs", "count", "--json", "/d", "/nothing")
    assert result.code == 1
    assert json.loads(result.out) == [
        {"path": "/d", "directories": 2, "files": 4, "bytes": 7, "bytes_replicated": 21,
         "names_quota": 10, "space_quota": None}
    ]  # fmt: skip


def test_df(run: Run, files: FakeFiles) -> None:
    shown = run("fs", "df", "-h").out.splitlines()
    assert shown[1].split() == ["testcluster", "12.0G", "3.0G", "9.0G", "25%"]
    assert json.loads(run("fs", "df", "--json").out) == {
        "size_bytes": 12 << 30, "used_bytes": 3 << 30, "free_bytes": 9 << 30,
    }  # fmt: skip
    files.live = 0
    assert run("fs", "df").out.splitlines()[1].split() == ["testcluster", "0", "0", "0", "-"]


def test_head_and_tail_print_a_kilobyte_or_what_is_asked_for(run: Run, files: FakeFiles) -> None:
    files.tree("/f", content=b"ab" * 1000)
    assert run("fs", "head", "/f").out == "ab" * 512
    assert run("fs", "tail", "/f").out == "ab" * 512
    assert run("fs", "head", "-c", "3", "/f").out == "aba"
    assert run("fs", "tail", "-c", "3", "/f").out == "bab"
    assert len(run("fs", "tail", "-c", "10k", "/f").out) == 2000
    result = run("fs", "tail", "/")
    assert (result.code, result.err) == (1, "pydfsnode: '/' is a directory [2004]\n")


def test_tail_follows_what_grows_and_what_is_cut(
    run: Run, files: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.tree("/f", content=b"one")
    contents = iter([b"one", b"onetwo", b"o", b"one2"])

    async def sleep(seconds: float) -> None:
        assert seconds == 0.5
        try:
            files.nodes["/f"].content = next(contents)
        except StopIteration:
            del files.nodes["/f"]

    monkeypatch.setattr("pydfsnode.cli.fs_ends.sleep", sleep)
    result = run("fs", "tail", "-f", "-s", "0.5", "/f")
    assert result.out == "onetwone2"
    assert result.err.splitlines() == [
        "pydfsnode: /f was truncated",
        "pydfsnode: '/f' does not exist: No such file or directory [2001]",
    ]
    assert result.code == 1
