"""`--consistency`: what is read, what is printed of its age, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fakes import FakeCluster

AGE = "pydfsnode: may be up to 40 ms old (m1 answered)\n"


@pytest.fixture
def behind(run: Run, cluster: FakeCluster, tmp_path: Path) -> FakeCluster:
    """A cluster whose masters are 40 ms behind, with the file /d/f."""
    source = tmp_path / "f"
    source.write_bytes(b"hello")
    run("fs", "mkdir", "/d")
    assert run("fs", "put", source, "/d/f").code == 0
    cluster.consensus.staleness = 40
    cluster.router.any_master.clear()
    cluster.consensus.barriers.clear()
    return cluster


@pytest.mark.parametrize("command", ["ls", "stat", "du", "cat"])
def test_a_read_that_may_be_old_says_so_once_on_standard_error(
    run: Run, behind: FakeCluster, command: str
) -> None:
    path = "/d/f" if command == "cat" else "/d"
    result = run("fs", command, "--consistency", "stale", path, path)
    assert (result.code, result.err) == (0, AGE)
    assert behind.router.any_master
    assert behind.consensus.barriers == []


def test_get_says_so_too(run: Run, behind: FakeCluster, tmp_path: Path) -> None:
    result = run("fs", "get", "--consistency", "bounded:100", "/d/f", tmp_path / "got")
    assert (result.code, result.err) == (0, AGE)
    found = json.loads(run("fs", "get", "-f", "--json", "--consistency", "stale", "/d/f",
                           tmp_path / "got").out)  # fmt: skip
    assert found["freshness"]["staleness_ms"] == 40


def test_json_has_the_label_only_where_the_read_was_not_the_default(
    run: Run, behind: FakeCluster
) -> None:
    result = run("fs", "stat", "--json", "--consistency", "stale", "/d/f")
    label = {"linearizable": False, "staleness_ms": 40, "served_by": "m1"}
    assert json.loads(result.out)["freshness"] == label
    assert result.err == ""
    (listed,) = json.loads(run("fs", "ls", "--json", "--consistency", "stale", "/d").out)
    assert listed["freshness"] == label
    (total,) = json.loads(run("fs", "du", "-s", "--json", "--consistency", "stale", "/d").out)
    assert total["freshness"] == label
    plain = run("fs", "stat", "--json", "/d/f")
    assert "freshness" not in json.loads(plain.out)


@pytest.mark.parametrize(
    ("mode", "barriers"),
    [("linearizable", ["leader"]), ("lease", ["lease"]), ("follower", ["any"]),
     ("bounded:39", ["any"])],
)  # fmt: skip
def test_a_linearizable_answer_says_nothing_of_its_age(
    run: Run, behind: FakeCluster, mode: str, barriers: list[str]
) -> None:
    result = run("fs", "stat", "--consistency", mode, "/d/f")
    assert (result.code, result.err) == (0, "")
    assert behind.consensus.barriers == barriers
    found = json.loads(run("fs", "stat", "--json", "--consistency", mode, "/d/f").out)
    assert found["freshness"]["linearizable"] is True


def test_no_such_file_may_be_old_as_well(run: Run, behind: FakeCluster) -> None:
    result = run("fs", "stat", "--consistency", "stale", "/nothing")
    assert result.code == 1
    assert result.err.endswith("; this may be up to 40 ms old (m1 answered)\n")


def test_an_age_that_nobody_knows_is_said_to_be_unknown(run: Run, behind: FakeCluster) -> None:
    behind.consensus.staleness = None
    result = run("fs", "ls", "--consistency", "stale", "/d")
    assert result.err == "pydfsnode: may be old; nobody knows how old (m1 answered)\n"


def test_the_configuration_says_what_a_command_that_does_not_say_reads(
    run: Run, behind: FakeCluster, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    config.write_text('consistency = "stale"\n' + config.read_text())
    assert run("fs", "ls", "/d").err == AGE
    assert run("fs", "ls", "--consistency", "linearizable", "/d").err == ""


def test_what_decides_on_a_change_is_read_linearizably(
    run: Run, behind: FakeCluster, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    config.write_text('consistency = "stale"\n' + config.read_text())
    assert run("fs", "mkdir", "/e", "/into").code == 0
    assert run("fs", "mv", "/d/f", "/e", "/into").code == 0
    assert behind.router.any_master == []


@pytest.mark.parametrize("command", [("fs", "ls", "/"), ("bench", "meta")])
@pytest.mark.usefixtures("cluster")
def test_what_is_no_consistency_is_wrong_usage(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, "--consistency", "eventual")
    assert result.code == 2
    assert "'eventual' is no consistency: write linearizable, lease, bounded:MS" in result.err


def test_a_wrong_consistency_in_the_configuration_is_named(
    run: Run, cluster: FakeCluster, tmp_path: Path
) -> None:
    config = tmp_path / "client.toml"
    config.write_text('consistency = "bounded"\n' + config.read_text())
    result = run("fs", "ls", "/")
    assert result.code == 2
    assert "'bounded' is no consistency" in result.err
