"""`fs rm rmdir expunge trash`: deleting, and bringing back."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from pydfsnode.cli import fs_trash
from pydfsnode.cli.fs_remove import in_trash
from pydfsnode.client.model import FileStatus
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import NOW_MS, FakeFiles

TRASH = "/user/ann/.Trash"
CURRENT = f"{TRASH}/Current"


@pytest.fixture(autouse=True)
def _ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs_trash, "own_name", lambda: "ann")


def test_rm_moves_to_the_trash_and_says_where(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f", content=b"x")
    result = run("fs", "rm", "/d/f")
    assert (result.code, result.out) == (0, f"Moved: '/d/f' to trash at: {CURRENT}/d/f\n")
    assert files.nodes[f"{CURRENT}/d/f"].content == b"x"


def test_rm_of_a_directory_wants_r(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f", "/void/")
    result = run("fs", "rm", "/d", "/void")
    assert result.code == 1
    assert result.err.splitlines()[0] == (
        "pydfsnode: '/d' is a directory: -r removes it with all it holds [2004]"
    )
    assert "/void" in files.nodes
    assert run("fs", "rm", "-r", "/d", "/void").code == 0
    assert sorted(path for path in files.nodes if path.startswith(CURRENT)) == [
        CURRENT, f"{CURRENT}/d", f"{CURRENT}/d/f", f"{CURRENT}/void",
    ]  # fmt: skip


def test_rm_past_the_trash(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", "/d/b", "/f")
    assert run("fs", "rm", "-skipTrash", "/f").out == "Deleted /f\n"
    assert run("fs", "rm", "-r", "-f", "-skipTrash", "/d").out == "Deleted /d and 2 below it\n"
    assert list(files.nodes) == ["/"]


def test_rm_of_what_is_in_the_trash_deletes_it(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    run("fs", "rm", "/f")
    assert run("fs", "rm", f"{CURRENT}/f").out == f"Deleted {CURRENT}/f\n"
    assert run("fs", "rm", "-r", TRASH).code == 0
    assert TRASH not in files.nodes


@pytest.mark.parametrize(
    ("path", "inside"),
    [("/user/ann/.Trash", True), ("/user/bob/.Trash/Current/x", True), ("/user/ann", False),
     ("/user/ann/.Trash2", False), ("/home/ann/.Trash", False), ("/", False),
     ("//user/ann//.Trash/", True)],
)  # fmt: skip
def test_what_lies_in_a_trash(path: str, inside: bool) -> None:
    assert in_trash(path) is inside


def test_rm_f_is_silent_about_what_is_not_there(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    result = run("fs", "rm", "/nothing", "/f/below")
    assert result.code == 1
    assert result.err.splitlines() == [
        "pydfsnode: '/nothing' does not exist: No such file or directory [2001]",
        "pydfsnode: '/f/below' has a file in its way: Is not a directory [2003]",
    ]
    for flags in (["-f"], ["-rf"], ["-f", "-skipTrash"]):
        result = run("fs", "rm", *flags, "/nothing", "/f/below", "/no*")
        assert (result.code, result.out, result.err) == (0, "", "")


def test_rm_as_json(run: Run, files: FakeFiles) -> None:
    files.tree("/a", "/b/c")
    found = json.loads(run("fs", "rm", "--json", "/a").out)
    assert found == [{"path": "/a", "trash": f"{CURRENT}/a"}]
    result = run("fs", "rm", "-r", "-skipTrash", "--json", "/b", "/nothing")
    assert result.code == 1
    assert json.loads(result.out) == [{"path": "/b", "deleted": 2}]


def test_a_full_trash_says_what_to_do(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    files.trash_full = True
    result = run("fs", "rm", "/f")
    assert result.code == 1
    assert "is exceeded: it does not fit into your trash; -skipTrash deletes it" in result.err
    assert "/f" in files.nodes


def test_rmdir_deletes_only_what_is_empty(run: Run, files: FakeFiles) -> None:
    files.tree("/void/", "/d/f", "/g")
    result = run("fs", "rmdir", "/void", "/d", "/g", "/nothing")
    assert result.code == 1
    assert "/void" not in files.nodes
    assert [line.rpartition("[")[2] for line in result.err.splitlines()] == [
        "2005]", "2003]", "2001]",
    ]  # fmt: skip
    result = run("fs", "rmdir", "--ignore-fail-on-non-empty", "/d")
    assert (result.code, result.err) == (0, "")
    assert "/d" in files.nodes


def test_expunge_puts_the_trash_aside(run: Run, files: FakeFiles) -> None:
    assert run("fs", "expunge").out == "Nothing was deleted since the last checkpoint\n"
    for name in ("a", "b"):
        files.tree(f"/{name}")
        run("fs", "rm", f"/{name}")
        run("fs", "expunge")
    stamp = f"{TRASH}/231114221320"  # the masters' time, not that of this clock
    assert {f"{stamp}/a", f"{stamp}-1/b"} <= files.nodes.keys()
    assert CURRENT not in files.nodes
    files.tree("/c")
    run("fs", "rm", "/c")
    assert run("fs", "expunge").out == f"Created trash checkpoint: {stamp}-2\n"
    assert json.loads(run("fs", "expunge", "--json").out) == {"checkpoint": None}


def test_a_checkpoint_is_named_by_the_time_of_the_change_before_it(
    run: Run, files: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.tree("/a")
    run("fs", "rm", "/a")
    chmod = files.chmod

    async def an_hour_later(path: str, mode: int) -> FileStatus:
        return replace(await chmod(path, mode), ctime_ms=NOW_MS + 3_600_000)

    monkeypatch.setattr(files, "chmod", an_hour_later)
    assert run("fs", "expunge").out.endswith("/231114231320\n")


def test_expunge_says_when_no_name_is_free(run: Run, files: FakeFiles) -> None:
    stamp = f"{TRASH}/231114221320"
    files.tree("/a", f"{stamp}/", *(f"{stamp}-{again}/" for again in range(1, 9)))
    run("fs", "rm", "/a")
    result = run("fs", "expunge")
    assert (result.code, "try again in a second" in result.err) == (1, True)
    assert f"{CURRENT}/a" in files.nodes


def test_expunge_immediate_empties_the_trash(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    run("fs", "rm", "/f")
    assert run("fs", "expunge", "-immediate").out == "Deleted 2 files and directories\n"
    assert f"{CURRENT}/f" not in files.nodes


def test_trash_empty(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    run("fs", "rm", "/f")
    assert json.loads(run("fs", "trash", "empty", "--json").out) == {"deleted": 2}


def test_trash_list_shows_the_topmost_that_can_be_restored(run: Run, files: FakeFiles) -> None:
    files.tree("/d/tree/a", "/d/tree/b", "/d/keep", content=b"123")
    run("fs", "rm", "-r", "/d/tree")
    files.tree(f"{TRASH}/260101000000/d/older", f"{TRASH}/250101000000/gone/x")
    shown = run("fs", "trash", "list").out.splitlines()
    assert [line.split()[2:] for line in shown] == [
        ["6", "/d/tree", f"{CURRENT}/d/tree"],
        ["0", "/d/older", f"{TRASH}/260101000000/d/older"],
        ["0", "/gone", f"{TRASH}/250101000000/gone"],
    ]
    found = json.loads(run("fs", "trash", "list", "--json", "--user", "ann").out)
    assert found[0] == {
        "path": "/d/tree", "trash": f"{CURRENT}/d/tree", "type": "directory", "size": 6,
        "deleted_ms": NOW_MS,
    }  # fmt: skip


def test_a_trash_that_was_never_used_is_empty(run: Run, files: FakeFiles) -> None:
    result = run("fs", "trash", "list", "--user", "bob")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_trash_restore_by_the_path_that_it_had(run: Run, files: FakeFiles) -> None:
    files.tree("/d/f", content=b"old")
    run("fs", "rm", "/d/f")
    files.tree("/d/f", content=b"new")
    run("fs", "rm", "/d/f")
    newest = f"{CURRENT}/d/f {NOW_MS}"
    assert files.nodes[newest].content == b"new"
    shown = run("fs", "trash", "list").out.splitlines()
    assert [line.split()[3] for line in shown] == ["/d/f", "/d/f"]
    result = run("fs", "trash", "restore", "/d/f")
    assert (result.code, result.out) == (0, "Restored /d/f\n")
    assert files.nodes["/d/f"].content == b"new"
    result = run("fs", "trash", "restore", "/d/f")
    assert result.code == 1
    assert "'/d/f' exists: rename it first: File exists [2002]" in result.err


def test_trash_restore_looks_into_checkpoints_newest_first(run: Run, files: FakeFiles) -> None:
    files.tree(f"{TRASH}/250101000000/f", content=b"1")
    files.tree(f"{TRASH}/260101000000/f", content=b"2")
    files.tree(f"{CURRENT}/other")
    found = json.loads(run("fs", "trash", "restore", "--json", "/f").out)
    assert found == [{"path": "/f", "trash": f"{TRASH}/260101000000/f"}]
    assert files.nodes["/f"].content == b"2"


def test_trash_restore_by_the_path_in_the_trash(run: Run, files: FakeFiles) -> None:
    files.tree(f"{TRASH}/250101000000/d/f", "/d/")
    assert run("fs", "trash", "restore", f"{TRASH}/250101000000/d/f").code == 0
    assert "/d/f" in files.nodes
    result = run("fs", "trash", "restore", "/nothing")
    assert result.code == 1
    assert "'/nothing' is not in the trash /user/ann/.Trash" in result.err


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/c/a", "/a"),
        ("/c/a 1700000000000", "/a"),
        ("/c/a 1700000000000-17/b", "/a/b"),
        ("/c/a 17", "/a 17"),
        ("/c/ 1700000000000", "/ 1700000000000"),
    ],
)
def test_where_something_was(path: str, origin: str) -> None:
    assert fs_trash.origin_of("/c", path) == origin
