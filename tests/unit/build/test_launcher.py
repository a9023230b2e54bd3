"""The one file as a whole: pack.py's output is started with a shell script as its program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import Pack

REPORT = """echo "binary=$PYDFSNODE_BINARY arguments=$*"
head -1 "$(dirname "$0")/_internal/itself"
"""


def start(
    program: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run *program* with exactly this environment."""
    return subprocess.run(
        [str(program), *arguments], env=environment, cwd=cwd, capture_output=True, text=True
    )


def trees(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.name != "lock"]


def test_the_program_gets_arguments_environment_and_the_files_beside_it(
    packed: Pack, tmp_path: Path
) -> None:
    program = packed(REPORT)
    cache = tmp_path / "cache"
    done = start(program, "fs", "ls /", PYDFSNODE_CACHE=str(cache), PATH=os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    assert f"binary={program} arguments=fs ls /" in done.stdout
    assert "#!/bin/sh" in done.stdout  # through the symbolic link
    assert (cache.stat().st_mode & 0o777) == 0o700


def test_the_started_pid_is_the_program_itself(packed: Pack, tmp_path: Path) -> None:
    program = packed('echo "$$"; read line')
    process = subprocess.Popen(
        [program],
        env={"PYDFSNODE_CACHE": str(tmp_path / "cache")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) == process.pid
    process.kill()
    process.communicate()


def test_the_exit_status_and_signals_are_the_programs_own(packed: Pack, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    assert start(packed("exit 7"), PYDFSNODE_CACHE=cache).returncode == 7
    assert start(packed("kill -TERM $$"), PYDFSNODE_CACHE=cache).returncode == -15


@pytest.mark.parametrize(
    ("variable", "below"), [("XDG_CACHE_HOME", "pydfsnode"), ("HOME", ".cache/pydfsnode")]
)
def test_the_cache_follows_the_usual_variables(
    packed: Pack, tmp_path: Path, variable: str, below: str
) -> None:
    program = packed("exit 0")
    done = start(program, **{variable: str(tmp_path / "home")})
    assert done.returncode == 0, done.stderr
    assert len(trees(tmp_path / "home" / below)) == 1


def test_an_unusable_home_is_passed_over(packed: Pack, tmp_path: Path) -> None:
    program = packed("exit 0")
    (tmp_path / "file").write_text("not a directory")
    done = start(program, XDG_CACHE_HOME=str(tmp_path / "file"), HOME=str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert len(trees(tmp_path / "home/.cache/pydfsnode")) == 1


def test_many_first_starts_at_once_unpack_once(packed: Pack, tmp_path: Path) -> None:
    program = packed("cat $(dirname $0)/_internal/big | wc -c", big=os.urandom(3_000_000))
    cache = tmp_path / "cache"
    environment = {"PYDFSNODE_CACHE": str(cache), "PATH": os.environ["PATH"]}
    running = [
        subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["3000000"] * 6
    assert len(trees(cache)) == 1


def test_what_a_killed_start_left_is_replaced(packed: Pack, tmp_path: Path) -> None:
    program = packed("exit 0")
    cache = tmp_path / "cache"
    assert start(program, PYDFSNODE_CACHE=str(cache)).returncode == 0
    (name,) = trees(cache)
    (cache / name).rename(cache / f".{name}.new")
    (cache / f".{name}.new" / "_internal" / "half").write_text("half a file")
    assert start(program, PYDFSNODE_CACHE=str(cache)).returncode == 0
    assert trees(cache) == [name]
    assert not (cache / name / "_internal" / "half").exists()


def test_a_damaged_file_says_so_and_leaves_nothing(packed: Pack, tmp_path: Path) -> None:
    program = packed("exit 0", noise=os.urandom(100_000))
    content = bytearray(program.read_bytes())
    content[-50_000] ^= 1
    program.write_bytes(content)
    cache = tmp_path / "cache"
    done = start(program, PYDFSNODE_CACHE=str(cache))
    assert done.returncode == 70
    assert "damaged (its checksum does not match): copy it again" in done.stderr
    assert trees(cache) == []


def test_a_cut_file_says_so(packed: Pack, tmp_path: Path) -> None:
    program = packed("exit 0")
    program.write_bytes(program.read_bytes()[:-10])
    done = start(program, PYDFSNODE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 70
    assert "copy it again" in done.stderr


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
def test_a_directory_that_others_can_write_is_refused(
    packed: Pack, tmp_path: Path, mode: int
) -> None:
    program = packed("exit 0")
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    done = start(program, PYDFSNODE_CACHE=str(cache))
    assert done.returncode == 70
    assert f"{cache}: writable by others (mode {mode:04o})" in done.stderr


def test_a_directory_below_one_that_others_can_write_is_refused(
    packed: Pack, tmp_path: Path
) -> None:
    program = packed("exit 0")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    done = start(program, PYDFSNODE_CACHE=str(tmp_path / "shared" / "mine"))
    assert done.returncode == 70
    assert f"{tmp_path}/shared: writable by others (mode 0777); chmod go-w it" in done.stderr


def test_a_relative_cache_is_refused(packed: Pack, tmp_path: Path) -> None:
    done = start(packed("exit 0"), cwd=tmp_path, PYDFSNODE_CACHE="here")
    assert done.returncode == 70
    assert "here: not an absolute path" in done.stderr


def test_two_versions_live_side_by_side(packed: Pack, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    start(packed("echo one"), PYDFSNODE_CACHE=cache)
    assert start(packed("echo two"), PYDFSNODE_CACHE=cache).stdout == "two\n"
    assert len(trees(tmp_path / "cache")) == 2
