"""`pydfsnode serve`: flags over the file, the right role, one sentence for what is wrong."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.cli.dev_layout import to_toml
from pydfsnode.config import NodeConfig
from tests.unit.cli.conftest import Run

FIELDS: dict[str, Any] = {
    "role": "master",
    "node_id": "m1",
    "data_dir": "data",
    "listen": "127.0.0.1:7001",
    "grpc_listen": "127.0.0.1:7002",
    "http_listen": "127.0.0.1:7003",
    "masters": ["m1=127.0.0.1:7001"],
    "tls": {"ca": "ca.crt", "cert": "m1.crt", "key": "m1.key"},
}


class Roles:
    """What the roles' `run` was given, and what it does."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, NodeConfig]] = []
        self.code = 0
        self.error: Exception | None = None

    def module(self, role: str) -> types.ModuleType:
        module = types.ModuleType(role)

        async def run(config: NodeConfig) -> int:
            self.ran.append((role, config))
            if self.error is not None:
                raise self.error
            return self.code

        module.run = run  # type: ignore[attr-defined]
        return module


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Roles:
    roles = Roles()
    for role in ("master", "chunkserver"):
        name = f"pydfsnode.roles.{role}.role"
        monkeypatch.setitem(sys.modules, name, roles.module(role))
    return roles


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(to_toml(FIELDS))
    return path


def test_the_files_role_runs_and_its_exit_code_is_ours(
    run: Run, roles: Roles, config: Path
) -> None:
    roles.code = 70
    assert run("serve", "--config", config).code == 70
    ((role, given),) = roles.ran
    assert role == "master"
    assert given.node_id == "m1"
    assert given.data_dir == str(config.parent / "data")
    assert given.tls.key == str(config.parent / "m1.key")


def test_flags_override_the_file(
    run: Run, roles: Roles, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        run(
            "serve", "--config", config, "--role", "chunkserver", "--node-id", "c9",
            "--data-dir", "elsewhere", "--listen", "127.0.0.1:1", "--grpc-listen", "127.0.0.1:2",
            "--http-listen", "127.0.0.1:3", "--masters", "a=127.0.0.1:4, b=127.0.0.1:5",
            "--rack", "r7", "--fsync", "batch", "--bootstrap", "--log-level", "debug",
        ).code
        == 0
    )  # fmt: skip
    ((role, given),) = roles.ran
    assert role == given.role == "chunkserver"
    assert given.node_id == "c9"
    assert given.data_dir == str(tmp_path / "elsewhere")
    assert (given.listen, given.grpc_listen, given.http_listen) == (
        "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3",
    )  # fmt: skip
    assert [peer.node_id for peer in given.peers()] == ["a", "b"]
    assert (given.rack, given.fsync, given.bootstrap, given.log_level) == (
        "r7", "batch", True, "debug",
    )  # fmt: skip


def test_a_missing_file_is_one_sentence(run: Run, roles: Roles, tmp_path: Path) -> None:
    result = run("serve", "--config", tmp_path / "nothing.toml")
    assert result.code == 2
    assert result.err == f"pydfsnode: {tmp_path / 'nothing.toml'}: no such configuration file\n"


@pytest.mark.parametrize(
    ("rack", "why"),
    [("/dc1//r7", "'' is no name"), ("r 7", "'r 7' is no name"), ("/a" * 9, "9 levels, 8 are")],
)
def test_a_rack_that_is_none_is_refused(
    run: Run, roles: Roles, config: Path, rack: str, why: str
) -> None:
    result = run("serve", "--config", config, "--rack", rack)
    assert result.code == 2
    assert f'{config}: rack = "{rack}": ' in result.err
    assert why in result.err
    assert 'write it as "/dc1/room2/r7"' in result.err
    assert not roles.ran


def test_a_rate_below_nothing_is_refused(run: Run, roles: Roles, tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(to_toml({**FIELDS, "repair_bytes_per_s": -1}))
    result = run("serve", "--config", path)
    assert result.code == 2
    assert "repair_bytes_per_s is below 0; 0 means no limit" in result.err


def test_a_full_disk_is_one_sentence(run: Run, roles: Roles, config: Path) -> None:
    roles.error = OSError(28, "No space left on device", "/data/x")
    result = run("serve", "--config", config)
    assert result.code == 1
    assert result.err == "pydfsnode: /data/x: the disk is full: make room, start again [5003]\n"


def test_a_role_of_another_version_is_refused(run: Run, roles: Roles, config: Path) -> None:
    result = run("serve", "--config", config, "--role", "gateway")
    assert result.code == 2
    assert "gateway" in result.err
