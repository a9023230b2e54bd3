"""Commands run in this process against masters and chunkservers in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.cli.main import main
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.unit.cli.fake_files import FakeFiles
from tests.unit.client.fakes import FakeCluster


@dataclass
class Result:
    """What a command left."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("fs", "ls", "/")` gives exit code and output."""

    def run_main(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run_main


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """The cluster that the configuration in $PYDFSNODE_CONFIG means."""
    made = FakeCluster(limits.CHUNK_BYTES_MIN)
    config = tmp_path / "client.toml"
    config.write_text(
        'masters = ["m1=127.0.0.1:1"]\n[tls]\nca = "ca"\ncert = "cert"\nkey = "key"\n'
    )
    monkeypatch.setenv("PYDFSNODE_CONFIG", str(config))

    async def connect(config: Any) -> AsyncFileSystem:
        return made.connect(consistency=getattr(config, "consistency", None))

    monkeypatch.setattr(AsyncFileSystem, "connect", connect)
    return made


@pytest.fixture
def files(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeFiles:
    """A file system in a dictionary in place of the cluster."""
    made = FakeFiles()

    async def connect(_config: Any) -> FakeFiles:
        return made

    monkeypatch.setattr(AsyncFileSystem, "connect", connect)
    return made


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Gives bytes to whoever reads standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give
