"""The Tab key: names from the tables, paths from the cluster, silence when nobody answers."""

from __future__ import annotations

import re
import shutil
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


RUNS = {
    "bash": 'compopt() { echo "no space"; }; COMP_WORDS=(pydfsnode fs TYPED); COMP_CWORD=2; '
    "source SCRIPT; _pydfsnode_completion pydfsnode; printf '%s\\n' \"${COMPREPLY[@]}\"",
    "fish": "source SCRIPT; complete -C 'pydfsnode fs TYPED'",
    # What an interactive shell does with it is shown instead: name of the list and options.
    "zsh": 'compdef() {}; _describe() { print -rl -- ${(P)3} "${@:4}"; }; source SCRIPT; '
    "words=(pydfsnode fs TYPED); CURRENT=3; _pydfsnode_completion",
}
SHELLS = ["bash", *(shell for shell in ("fish", "zsh") if shutil.which(shell))]
"""Those that are here; bash is everywhere where this is built."""


class Tab:
    """Presses Tab behind `pydfsnode fs TYPED` in a shell that knows the script and the program."""

    def __init__(self, run: Run, place: Path) -> None:
        self._run = run
        self._place = place
        self.program(f'exec {sys.executable} -m pydfsnode "$@"')

    def program(self, text: str) -> None:
        """What `pydfsnode` is."""
        path = self._place / "pydfsnode"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def __call__(self, shell: str, word: str) -> list[str]:
        """The lines that come."""
        script = self._place / "script"
        script.write_text(self._run("completion", shell).out)
        line = RUNS[shell].replace("SCRIPT", str(script)).replace("TYPED", word)
        bare = {"bash": "--norc", "fish": "--no-config", "zsh": "-f"}[shell]
        done = subprocess.run(
            [shell, bare, "-c", line], capture_output=True, text=True, env={
                "PATH": f"{self._place}:/usr/bin:/bin", "HOME": str(self._place),
            },
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()


@pytest.fixture
def tab(run: Run, tmp_path: Path) -> Tab:
    return Tab(run, tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_with_its_script(tab: Tab, shell: str) -> None:
    found = [re.split(r"[:\t]", line) for line in tab(shell, "getf")]
    assert [line[0] for line in found if line[0] != "-U"] == ["getfacl", "getfattr"]


@pytest.mark.parametrize(
    ("shell", "answer", "shown"),
    [
        ("bash", "plain,/d/", ["no space", "/d/"]),
        ("bash", "plain,/c,1", ["/c,1"]),
        ("fish", "plain,/c,1\\ta file, so", ["/c,1\ta file, so"]),
        ("zsh", "plain\\n/d/\\na directory", ["/d/:a directory", "-U", "-S", ""]),
        ("zsh", "plain\\n/c\\:1\\na file", ["/c\\:1:a file", "-U"]),
    ],
)
def test_directories_and_names_with_signs(
    tab: Tab, shell: str, answer: str, shown: list[str]
) -> None:
    tab.program(f"printf '{answer}\\n'".replace("\\:", "\\\\:"))
    if shell in SHELLS:
        assert tab(shell, "/") == shown
