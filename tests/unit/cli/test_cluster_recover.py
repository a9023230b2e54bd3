"""`pydfsnode cluster recover-quorum`: shows first, and does nothing without the long flag."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pydfsnode.cli.dev_cluster import DevCluster
from pydfsnode.roles.master import recovery
from pydfsnode.roles.master.recovery import Survivor
from tests.unit.cli.conftest import Run

FOUND = Survivor("m1", "m1#0000000a", ["m1", "m2", "m3"], 5, 4, 1200, 1190)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    cluster = DevCluster(tmp_path / "dev")
    cluster.prepare(3, 0)
    return cluster.layout.config("m1")


@pytest.fixture
def recovered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def recover(given: object) -> Survivor:
        done.append("recovered")
        return Survivor("m1", "m1#0000000b", ["m1"], 6, 6, 1201, 1190)

    monkeypatch.setattr(recovery, "inspect", lambda given: FOUND)
    monkeypatch.setattr(recovery, "recover", recover)
    return done


def test_inspecting_prints_what_tells_survivors_apart(
    run: Run, config: Path, recovered: list[str]
) -> None:
    shown = run("cluster", "recover-quorum", "--config", config, "--inspect").out
    assert "last term 4   last index 1,200" in shown
    as_json = run("cluster", "recover-quorum", "--config", config, "--inspect", "--json").out
    assert json.loads(as_json)["members"] == ["m1", "m2", "m3"]
    assert recovered == []


def test_without_the_flag_the_risk_is_told_and_nothing_done(
    run: Run, config: Path, recovered: list[str]
) -> None:
    result = run("cluster", "recover-quorum", "--config", config)
    assert result.code == 2
    assert "acknowledged and that only the lost masters hold are gone" in result.out
    assert "--yes-lose-what-only-others-hold" in result.err
    assert recovered == []


def test_with_the_flag_it_is_done_and_the_next_steps_are_told(
    run: Run, config: Path, recovered: list[str]
) -> None:
    result = run(
        "cluster", "recover-quorum", "--config", config, "--yes-lose-what-only-others-hold"
    )
    assert (result.code, recovered) == (0, ["recovered"])
    assert "add-master NAME=HOST:PORT" in result.out


def test_a_master_without_data_cannot_be_recovered(run: Run, config: Path) -> None:
    result = run("cluster", "recover-quorum", "--config", config, "--inspect")
    assert result.code == 2
    assert "holds no master's data" in result.err
