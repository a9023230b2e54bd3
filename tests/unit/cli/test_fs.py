"""`pydfsnode fs`: each verb against a cluster in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode.client import local_files
from tests.unit.cli.conftest import Run
from tests.unit.client.fakes import FakeCluster

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "sub").mkdir(parents=True)
    (root / "a").write_bytes(b"hello")
    (root / "sub" / "b").write_bytes(b"world" * 1000)
    return root


def test_a_tree_is_put_and_got_back(run: Run, source: Path, tmp_path: Path) -> None:
    result = run("fs", "put", "-r", source, "/t")
    assert result.code == 0
    assert result.out.startswith("copied 2 files, 5.0 kB in ")
    assert result.err == "", "no progress bar in a pipe"
    result = run("fs", "get", "/t", tmp_path / "back")
    assert result.code == 0
    assert (tmp_path / "back" / "sub" / "b").read_bytes() == b"world" * 1000


def test_put_as_json_has_keys_that_end_in_their_unit(run: Run, source: Path) -> None:
    found = json.loads(run("fs", "put", "--json", source, "/t").out)
    assert {"files": 2, "directories": 2, "bytes": 5005, "failures": 0}.items() <= found.items()
    assert {"seconds", "mb_per_s"} <= set(found)


def test_put_does_not_overwrite_without_f(run: Run, source: Path) -> None:
    run("fs", "put", source / "a", "/f")
    result = run("fs", "put", source / "a", "/f")
    assert result.code == 1
    assert result.err == "pydfsnode: '/f' exists: File exists [2002] (-f overwrites)\n"
    assert "1 failure" in result.out
    assert run("fs", "put", "-f", source / "a", "/f").code == 0


def test_put_of_what_is_not_there_is_1_and_names_it(run: Run, tmp_path: Path) -> None:
    result = run("fs", "put", tmp_path / "nothing", "/f")
    assert result.code == 1
    assert result.err == f"pydfsnode: {tmp_path / 'nothing'}: No such file or directory\n"


def test_standard_input_and_output(
    standard_input: Callable[[bytes], None],
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    from pydfsnode.cli.main import main

    standard_input(bytes(range(256)) * 10_000)
    assert main(["fs", "put", "-", "/f"]) == 0
    capfdbinary.readouterr()
    assert main(["fs", "get", "/f", "-"]) == 0
    assert capfdbinary.readouterr().out == bytes(range(256)) * 10_000
    assert main(["fs", "cat", "/f", "/f"]) == 0
    assert capfdbinary.readouterr().out == bytes(range(256)) * 20_000


def test_standard_input_is_no_one_of_several(run: Run, source: Path) -> None:
    assert run("fs", "put", "-", source / "a", "/d").code == 2


def test_get_of_one_path_goes_into_the_current_directory(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fs", "put", source / "a", "/a")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("fs", "get", "/a").code == 0
    assert (tmp_path / "here" / "a").read_bytes() == b"hello"
    assert run("fs", "get", "/a").code == 1
    assert run("fs", "get", "-f", "/a").code == 0


def test_get_verify_compares_the_whole_file(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("fs", "put", source / "a", "/a")
    assert run("fs", "get", "--verify", "/a", tmp_path / "good").code == 0
    assert (tmp_path / "good").read_bytes() == b"hello"
    monkeypatch.setattr("pydfsnode.client.copy.crc32c", lambda data, crc=0: 7)
    refused = run("fs", "get", "--verify", "/a", tmp_path / "bad")
    assert refused.code == 1
    assert "checksum" in refused.err
    assert not (tmp_path / "bad").exists()
    assert run("fs", "get", "/a", tmp_path / "unasked").code == 0


def test_ls_is_aligned_text_in_a_pipe(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    lines = run("fs", "ls", "/t").out.splitlines()
    assert len(lines) == 2
    assert lines[0].split()[:5] == ["-rw-r--r--", "3", "ann", "-", "5"] or "ann" in lines[0]
    assert lines[0].endswith("/t/a")
    assert lines[1].startswith("drwxr-xr-x  -")
    assert "\t" not in "".join(lines)
    assert lines[0].index("/t/a") == lines[1].index("/t/sub")


def test_ls_recursively_with_sizes_for_people(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    found = run("fs", "ls", "-R", "-h", "/t").out
    assert [line.split()[-1] for line in found.splitlines()] == ["/t/a", "/t/sub", "/t/sub/b"]
    assert " 4.9K " in found
    assert run("fs", "ls", "-R", "-C", "/t").out == "/t/a\n/t/sub\n/t/sub/b\n"


def test_ls_json_is_a_list_of_what_stat_prints(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    listed = json.loads(run("fs", "ls", "--json", "/t").out)
    stated = json.loads(run("fs", "stat", "--json", "/t/a").out)
    assert listed[0] == stated
    promised = {"path", "type", "size", "replication", "owner", "group", "mode", "mtime_ms",
                "checksum"}  # fmt: skip
    assert promised <= set(stated)
    assert stated["path"] == "/t/a"
    assert stated["type"] == "file"
    assert stated["size"] == 5
    assert stated["mode"] == "0644"
    assert stated["checksum"].startswith("crc32c:")
    assert [entry["type"] for entry in listed] == ["file", "directory"]


def test_ls_of_a_missing_path_still_lists_the_others(run: Run, source: Path) -> None:
    run("fs", "put", source / "a", "/a")
    result = run("fs", "ls", "/nothing", "/a")
    assert result.code == 1
    assert "/nothing" in result.err
    assert result.out.endswith("/a\n")
    result = run("fs", "ls", "--json", "/nothing", "/a")
    assert result.code == 1
    assert [entry["path"] for entry in json.loads(result.out)] == ["/a"]


def test_stat_for_people(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    shown = run("fs", "stat", "/t/a", "/t").out
    assert "size         5 (5 B)" in shown
    assert "mode         0644 -rw-r--r--" in shown
    assert "entries   2" in shown


def test_du_by_entry_and_in_total(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    assert run("fs", "du", "/t").out == "   5     15  /t/a\n5000  15000  /t/sub\n"
    assert run("fs", "du", "-s", "-h", "/t").out == "4.9K  14.7K  /t\n"
    (total,) = json.loads(run("fs", "du", "-s", "--json", "/t").out)
    assert total == {
        "path": "/t", "bytes": 5005, "bytes_replicated": 15015, "files": 2, "directories": 2,
    }  # fmt: skip


def test_mkdir_wants_p_for_parents_and_for_what_exists(run: Run) -> None:
    assert run("fs", "mkdir", "/a/b").code == 1
    assert run("fs", "mkdir", "-p", "/a/b", "/a/c").code == 0
    result = run("fs", "mkdir", "/a/b")
    assert (result.code, result.err) == (1, "pydfsnode: /a/b exists already: File exists [2002]\n")
    assert run("fs", "mkdir", "-p", "/a/b").code == 0


def test_mv_renames_and_moves_into(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    assert run("fs", "mv", "/t/a", "/t/c").code == 0
    run("fs", "mkdir", "/d")
    assert run("fs", "mv", "/t/c", "/t/sub", "/d").code == 0
    assert run("fs", "ls", "-C", "/d").out == "/d/c\n/d/sub\n"
    assert run("fs", "mv", "/d/c", "/d/sub", "/nothing").code == 1


def test_rm_wants_r_for_a_tree_and_f_for_silence(run: Run, source: Path) -> None:
    run("fs", "put", source, "/t")
    result = run("fs", "rm", "/t")
    assert result.code == 1
    assert "-r removes it with all it holds" in result.err
    assert run("fs", "rm", "-r", "-skipTrash", "/t").out == "Deleted /t and 3 below it\n"
    assert run("fs", "rm", "/t").code == 1
    result = run("fs", "rm", "-f", "/t")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_replication_of_a_put_can_be_chosen(run: Run, source: Path, cluster: FakeCluster) -> None:
    run("fs", "put", "--replication", "1", source / "sub" / "b", "/f")
    assert json.loads(run("fs", "stat", "--json", "/f").out)["replication"] == 1
    assert {server for server, _ in cluster.chunks.stored} == {"c1"}


@pytest.mark.parametrize("place", ["root", "group", "command"])
def test_config_is_accepted_at_every_level(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("PYDFSNODE_CONFIG", "/nowhere/at/all")
    given = ["--config", str(tmp_path / "client.toml")]
    arguments = ["fs", "ls", "/"]
    position = {"root": 0, "group": 1, "command": 2}[place]
    arguments[position:position] = given
    assert run(*arguments).code == 0
    result = run("fs", "ls", "/")
    assert result.code == 2
    assert "/nowhere/at/all" in result.err


def test_a_progress_bar_is_shown_on_a_terminal_only(
    run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydfsnode.cli.progress import CopyProgress

    with CopyProgress(shown=True) as progress:
        assert progress._bar is not None
        progress.planned(100)
        progress.moved(40)
        progress.finished("/x")
        assert progress._bar.tasks[0].completed == 40
        assert progress._bar.tasks[0].total == 100
    assert CopyProgress()._bar is None


def test_a_file_that_cannot_be_read_is_told_with_its_reason(
    run: Run, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _size: int) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(local_files, "open_and_read", refuse)
    result = run("fs", "put", source / "a", "/f")
    assert (result.code, result.err) == (1, f"pydfsnode: {source / 'a'}: Permission denied\n")
