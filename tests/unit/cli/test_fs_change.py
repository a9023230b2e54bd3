"""`fs touch touchz append truncate concat mkdir mv chmod chown chgrp setrep`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode.cli.fs_mode import parse_mode
from pydfsnode.cli.fs_touch import FILES_AT_ONCE
from pydfsnode.client.model import FileStatus
from pydfsnode.errors import NotFound, UsageError
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import NOW_MS, FakeFiles

JANUARY_MS = 1_769_878_800_000
"""2026-01-31 17:00 UTC."""


def times(files: FakeFiles, path: str) -> tuple[int, int]:
    return files.nodes[path].mtime_ms, files.nodes[path].atime_ms


@pytest.mark.parametrize(
    ("flags", "changed"),
    [([], (True, True)), (["-m"], (True, False)), (["-a"], (False, True)),
     (["-a", "-m"], (True, True))],
)  # fmt: skip
@pytest.mark.parametrize(
    "when", ["20260131:170000", "2026-01-31T17:00", "2026-01-31T18:00:00+01:00"]
)
def test_touch_sets_the_times_that_were_asked_for(
    run: Run, files: FakeFiles, flags: list[str], changed: tuple[bool, bool], when: str
) -> None:
    files.tree("/f")
    assert run("fs", "touch", *flags, "-t", when, "/f").code == 0
    assert times(files, "/f") == tuple(JANUARY_MS if one else NOW_MS for one in changed)


def test_touch_without_a_time_means_now(run: Run, files: FakeFiles) -> None:
    files.tree("/f", "/d/")
    before = time.time_ns() // 1_000_000
    assert run("fs", "touch", "/f", "/d").code == 0
    for path in ("/f", "/d"):
        assert all(before <= at <= time.time_ns() // 1_000_000 for at in times(files, path))


def test_touch_makes_an_empty_file_unless_c(run: Run, files: FakeFiles) -> None:
    assert run("fs", "touch", "-c", "/f").code == 0
    assert "/f" not in files.nodes
    assert run("fs", "touch", "/f", "/nothing/g").code == 1
    assert files.nodes["/f"].content == b""
    assert sorted(files.nodes) == ["/", "/f"], "no parents"
    assert run("fs", "touch", "-t", "20260131:170000", "/h").code == 0
    assert times(files, "/h") == (JANUARY_MS, JANUARY_MS)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("when", ["now", "20261331:170000", "17:00"])
def test_what_is_no_time_is_wrong_usage(run: Run, when: str) -> None:
    result = run("fs", "touch", "-t", when, "/f")
    assert result.code == 2
    assert "is no time: write 20260131:170500" in result.err


def test_touchz_makes_empty_files_and_never_empties_one(run: Run, files: FakeFiles) -> None:
    files.tree("/full", content=b"x")
    files.tree("/empty", "/d/")
    result = run("fs", "touchz", "/new", "/empty", "/full", "/d")
    assert result.code == 1
    assert files.nodes["/new"].content == b""
    assert files.nodes["/empty"].mtime_ms > NOW_MS
    assert files.nodes["/full"].content == b"x"
    assert result.err.splitlines() == [
        "pydfsnode: '/full': Not a zero-length file [2008]",
        "pydfsnode: '/d' is a directory [2004]",
    ]


@pytest.mark.parametrize("verb", ["touch", "touchz"])
def test_many_files_are_made_at_the_same_time(
    run: Run, files: FakeFiles, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    make, at_once, most = files.pipe_file, 0, 0

    async def pipe_file(path: str, value: bytes, **options: bool) -> FileStatus:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return await make(path, value, **options)

    monkeypatch.setattr(files, "pipe_file", pipe_file)
    paths = [f"/f{number}" for number in range(FILES_AT_ONCE + 10)]
    assert run("fs", verb, *paths, "/f1").code == 0
    assert set(paths) <= files.nodes.keys()
    assert 10 < most <= FILES_AT_ONCE


@pytest.mark.parametrize("verb", ["touch", "touchz"])
def test_a_file_that_somebody_made_meanwhile_is_not_overwritten(
    run: Run, files: FakeFiles, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    files.tree("/f", content=b"theirs")
    look = files.info

    async def info(path: str, **options: object) -> FileStatus:
        if path == "/f":
            raise NotFound("not yet")
        return await look(path, **options)

    monkeypatch.setattr(files, "info", info)
    assert run("fs", verb, "/f").err.endswith("File exists [2002]\n")
    assert files.nodes["/f"].content == b"theirs"


def test_append_adds_files_in_order_and_makes_the_target(
    run: Run, files: FakeFiles, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2" * 3_000_000)
    assert run("fs", "append", tmp_path / "a", tmp_path / "b", "/f").code == 0
    assert run("fs", "append", tmp_path / "a", "/f").code == 0
    assert files.nodes["/f"].content == b"1" + b"2" * 3_000_000 + b"1"


def test_append_of_standard_input(
    run: Run, files: FakeFiles, standard_input: Callable[[bytes], None], tmp_path: Path
) -> None:
    files.tree("/f", content=b"a")
    standard_input(b"b\n")
    assert run("fs", "append", "-", "/f").code == 0
    assert files.nodes["/f"].content == b"ab\n"
    assert run("fs", "append", "-", tmp_path / "x", "/f").code == 2


def test_append_appends_nothing_when_a_source_cannot_be_read(
    run: Run, files: FakeFiles, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    result = run("fs", "append", tmp_path / "a", tmp_path / "nothing", "/f")
    assert result.code == 1
    assert result.err == f"pydfsnode: {tmp_path / 'nothing'}: No such file or directory\n"
    assert "/f" not in files.nodes


def test_truncate(run: Run, files: FakeFiles) -> None:
    files.tree("/a", "/b", content=b"12345")
    assert run("fs", "truncate", "-w", "2", "/a").out == "Truncated /a to length: 2\n"
    result = run("fs", "truncate", "--json", "3", "/a", "/b")
    assert result.code == 1
    assert json.loads(result.out) == [{"path": "/b", "size": 3}]
    assert (files.nodes["/a"].content, files.nodes["/b"].content) == (b"12", b"123")
    assert run("fs", "truncate", "-1", "/a").code == 2


def test_concat_expands_and_keeps_the_order(run: Run, files: FakeFiles) -> None:
    for name in ("p2", "p1", "first"):
        files.tree(f"/d/{name}", content=name.encode())
    assert run("fs", "concat", "/d/first", "/d/p*").code == 0
    assert files.nodes["/d/first"].content == b"firstp1p2"
    assert sorted(files.nodes) == ["/", "/d", "/d/first"]
    assert run("fs", "concat", "/d/first", "/d/gone").code == 1


def test_concat_does_nothing_when_it_is_not_clear_what_is_meant(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", "/d/b", content=b"x")
    result = run("fs", "concat", "/d/a", "/d/b", "/d/" + "{a,b}" * 11)
    assert result.code == 1
    assert files.nodes["/d/a"].content == b"x"


def test_mv_of_a_pattern_needs_a_directory(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a1", "/d/a2", "/to/")
    result = run("fs", "mv", "/d/a*", "/elsewhere")
    assert result.code == 1
    assert "'/elsewhere' is not a directory: cannot move several into it [2003]" in result.err
    assert run("fs", "mv", "/d/a*", "/to").code == 0
    assert sorted(files.nodes) == ["/", "/d", "/to", "/to/a1", "/to/a2"]
    files.tree("/d/a1")
    result = run("fs", "mv", "/d/a1", "/to")
    assert (result.code, result.err) == (1, "pydfsnode: '/to/a1' exists: File exists [2002]\n")


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("755", 0o644, 0o755), ("0600", 0o1777, 0o600), ("1777", 0o755, 0o1777),
        ("u+x", 0o644, 0o744), ("+x", 0o644, 0o755), ("-w", 0o666, 0o444),
        ("u+x,g-w", 0o664, 0o744), ("a=r", 0o777, 0o444), ("go=", 0o755, 0o700),
        ("+t", 0o755, 0o1755), ("-t", 0o1755, 0o755), ("o+t", 0o755, 0o1755),
        ("g+t", 0o755, 0o755), ("a=rx", 0o1777, 0o1555), ("u=rw,go=r", 0o777, 0o644),
        ("u+rw-x", 0o500, 0o600), ("g=u-", None, None), ("u+s", None, None),
        ("8", None, None), ("2755", None, None), ("", None, None), ("u+x,", None, None),
    ],
)  # fmt: skip
def test_modes(text: str, before: int | None, after: int | None) -> None:
    if before is None:
        with pytest.raises(UsageError, match="is no mode"):
            parse_mode(text)
    else:
        assert parse_mode(text)(before, False) == after


def test_a_capital_x_is_for_directories_and_what_is_executable() -> None:
    change = parse_mode("a+X")
    assert change(0o644, False) == 0o644
    assert change(0o644, True) == 0o755
    assert change(0o744, False) == 0o755


def test_chmod_takes_modes_that_look_like_flags(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    for mode, left in (("+x", 0o755), ("-x", 0o644), ("-w", 0o444), ("u+w,o-r", 0o640)):
        assert run("fs", "chmod", mode, "/f").code == 0
        assert files.nodes["/f"].mode == left
    result = run("fs", "chmod", "u+q", "/f")
    assert result.code == 2
    assert "'u+q' is no mode" in result.err


def test_chmod_of_a_tree_changes_each_by_what_it_has(run: Run, files: FakeFiles) -> None:
    files.tree(*(f"/d/sub/f{n}" for n in range(150)), "/other")
    files.nodes["/d/sub/f7"].mode = 0o700
    assert run("fs", "chmod", "-R", "go+rX", "/d").code == 0
    assert files.nodes["/d/sub/f7"].mode == 0o755
    assert files.nodes["/d/sub/f8"].mode == 0o644
    assert run("fs", "chmod", "-R", "700", "/d").code == 0
    assert {node.mode for path, node in files.nodes.items() if path.startswith("/d")} == {0o700}
    assert files.nodes["/other"].mode == 0o644
    assert run("fs", "chmod", "600", "/d").code == 0
    assert files.nodes["/d/sub"].mode == 0o700, "not without -R"


def test_chmod_of_a_tree_tells_each_refusal_and_goes_on(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", "/d/b", "/d/c/x", "/d/e/x")
    files.closed |= {"/d/b", "/d/c"}
    result = run("fs", "chmod", "-R", "700", "/d")
    assert result.code == 1
    told = result.err.splitlines()
    assert len(told) == 3, "the file, the directory, and what it holds"
    assert all(": Permission denied" in line and line.endswith(" [2014]") for line in told)
    assert files.nodes["/d/a"].mode == files.nodes["/d/e/x"].mode == 0o700
    assert files.nodes["/d/c/x"].mode == 0o644


@pytest.mark.parametrize(
    ("command", "left"),
    [
        (("chown", "bob"), ("bob", "staff")),
        (("chown", "bob:eng"), ("bob", "eng")),
        (("chown", ":eng"), ("ann", "eng")),
        (("chown", "bob:"), ("bob", "staff")),
        (("chgrp", "eng"), ("ann", "eng")),
    ],
)
def test_owners_and_groups(
    run: Run, files: FakeFiles, command: tuple[str, str], left: tuple[str, str]
) -> None:
    files.tree("/d/f", "/g")
    assert run("fs", command[0], "-R", command[1], "/d", "/g").code == 0
    for path in ("/d", "/d/f", "/g"):
        assert (files.nodes[path].owner, files.nodes[path].group) == left
    assert run("fs", "chown", ":", "/g").code == 2


def test_setrep_of_a_directory_changes_its_files(run: Run, files: FakeFiles) -> None:
    files.tree("/d/a", "/d/sub/b")
    assert run("fs", "setrep", "-R", "2", "/d").out == (
        "Replication 2 set: /d/a\nReplication 2 set: /d/sub/b\n"
    )
    found = json.loads(run("fs", "setrep", "--json", "1", "/d/a").out)
    assert found == [{"path": "/d/a", "replication": 1}]
    assert files.nodes["/d/sub/b"].replication == 2
    assert run("fs", "setrep", "0", "/d").code == 2


def test_setrep_waits_until_every_chunk_has_its_copies(
    run: Run, files: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.tree("/f")
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        files.nodes["/f"].copies -= 1

    monkeypatch.setattr("pydfsnode.cli.fs_replication.sleep", sleep)
    assert run("fs", "setrep", "-w", "1", "/f").code == 0
    assert slept == [1.0, 1.0]


@pytest.mark.parametrize(
    ("copies", "missing"),
    [(2, "1 chunk with too few copies"), (4, "1 chunk with too many")],
)
def test_setrep_says_what_is_missing_when_the_time_is_over(
    run: Run, files: FakeFiles, copies: int, missing: str
) -> None:
    files.tree("/f", "/g")
    files.nodes["/f"].copies = copies
    result = run("fs", "setrep", "-w", "--timeout", "0", "3", "/f", "/g")
    assert result.code == 1
    assert result.err == f"pydfsnode: /f: {missing}; 'pydfsnode cluster status' says what goes on\n"


def test_setrep_does_not_wait_for_what_cannot_be(run: Run, files: FakeFiles) -> None:
    files.tree("/f")
    result = run("fs", "setrep", "-w", "5", "/f")
    assert result.code == 1
    assert result.err == "pydfsnode: 3 chunkservers live: 5 copies cannot be made\n"
