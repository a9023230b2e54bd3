"""The Tab key: names from the tables, paths from the cluster, silence when nobody answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pydfsnode.cli.main import root
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_files import FakeFiles


def complete(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What bash gets for a line whose last word is being typed."""
    parts = ["pydfsnode", *words.split(" ")]
    monkeypatch.setenv("COMP_WORDS", " ".join(parts))
    monkeypatch.setenv("COMP_CWORD", str(len(parts) - 1))
    monkeypatch.setenv("_PYDFSNODE_COMPLETE", "bash_complete")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        root.main([], prog_name="pydfsnode", standalone_mode=False)
    return " ".join(line.partition(",")[2] for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("ver", "version"),
        ("fs to", "touch touchz"),
        ("fs snapshot de", "delete"),
        ("fs ls --js", "--json"),
        ("fs ls /d", "/d/ /data"),
        ("fs ls /d/", "/d/a /d/b/"),
        ("fs mv /d/a /nothing/x", ""),
        ("fs put x /d/", "/d/a /d/b/"),
        ("fs get /d/a", "/d/a"),
    ],
)
def test_what_is_offered(
    files: FakeFiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    found: str,
) -> None:
    files.tree("/d/a", "/d/b/", "/data")
    assert complete(words, monkeypatch, capsys) == found


def test_without_a_configuration_nothing_is_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYDFSNODE_CONFIG", "/nowhere")
    assert complete("fs ls /", monkeypatch, capsys) == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.code == 0
    assert f"_PYDFSNODE_COMPLETE={shell}_complete" in result.out


def test_bash_completes_with_the_script(run: Run, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(run("completion", "bash").out)
    (tmp_path / "pydfsnode").write_text(f'#!/bin/sh\nexec {sys.executable} -m pydfsnode "$@"\n')
    (tmp_path / "pydfsnode").chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f". {tmp_path}/script; compopt() {{ :; }}; PATH={tmp_path}:$PATH; "
         "COMP_WORDS=(pydfsnode fs get); COMP_CWORD=2; _pydfsnode_completion pydfsnode; "
         'echo "${COMPREPLY[@]}"'],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout.split(), done.stderr) == (["get", "getmerge", "getfacl", "getfattr"], "")
