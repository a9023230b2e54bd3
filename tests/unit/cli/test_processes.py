"""Detached processes: found again, ended, and never mistaken for a stranger's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode.cli import processes
from pydfsnode.cli.processes import Process, self_command, start_detached

SLEEPER = [sys.executable, "-c", "import sys; print('hello', flush=True); sys.stdin.read()"]


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[bytes], Process]]:
    started = subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    look = processes._look(started.pid)
    assert look is not None
    yield started, Process(started.pid, look[1])
    started.kill()
    started.communicate()


def test_a_process_is_alive_until_it_ended(
    child: tuple[subprocess.Popen[bytes], Process],
) -> None:
    started, process = child
    assert process.alive
    process.send(signal.SIGKILL)
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive, "a zombie is not alive"


def test_another_process_with_the_same_pid_is_a_stranger(
    child: tuple[subprocess.Popen[bytes], Process],
) -> None:
    started, process = child
    stranger = Process(process.pid, process.started_ticks - 1)
    assert not stranger.alive
    stranger.send(signal.SIGKILL)
    assert started.poll() is None
    assert process.alive


def test_a_process_is_found_again_in_its_file(tmp_path: Path) -> None:
    ours = Process(os.getpid(), 12345)
    ours.save(tmp_path / "node.pid")
    assert Process.load(tmp_path / "node.pid") == ours
    assert [path.name for path in tmp_path.iterdir()] == ["node.pid"]


@pytest.mark.parametrize("content", ["", "{", "12", "{}", '{"pid": "x", "started_ticks": 1}'])
def test_a_damaged_pid_file_is_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / "node.pid").write_text(content)
    assert Process.load(tmp_path / "node.pid") is None
    assert Process.load(tmp_path / "nothing") is None


def test_a_detached_process_writes_its_log_and_has_its_own_session(tmp_path: Path) -> None:
    script = "import os, pydfsnode; print(os.getsid(0) == os.getpid(), os.getcwd())"
    log = tmp_path / "log" / "node.log"
    process = start_detached([sys.executable, "-c", script], tmp_path, log)
    os.waitpid(process.pid, 0)
    assert log.read_text() == f"True {tmp_path}\n"
    assert process.started_ticks > 0


def test_the_packaged_file_starts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert self_command() == [sys.executable, "-m", "pydfsnode"]
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert self_command() == [sys.executable]
    monkeypatch.setenv("PYDFSNODE_BINARY", "/opt/pydfsnode")
    assert self_command() == ["/opt/pydfsnode"]
