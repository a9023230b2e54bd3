"""What people meet, from real processes: each error is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster") / "dev", chunkservers=1) as cluster:
        yield cluster


def refused(cluster: Cluster, *arguments: object) -> str:
    """The line of a command that must fail, without those that say it waits."""
    done = cluster.command(*arguments)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if "still waiting" not in line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("pydfsnode: ")
    assert lines[0].endswith("]")
    return lines[0]


def configuration(cluster: Cluster, name: str, old: str, new: str) -> Path:
    """The client's configuration with *new* in place of *old*, and less patience."""
    text = (cluster.directory / "client.toml").read_text().replace(old, new)
    path = cluster.directory / f"{name}.toml"
    path.write_text(f"timeout_ms = 3000\n{text}")
    return path


def test_unknown_hosts(cluster: Cluster) -> None:
    config = configuration(cluster, "unknown", "127.0.0.1", "no-such-host.invalid")
    line = refused(cluster, "fs", "ls", "--config", config, "/")
    assert "no master's host name is known here: correct the names under masters in" in line
    assert str(config) in line


def test_permission_and_quota(cluster: Cluster, tmp_path: Path) -> None:
    certs = cluster.directory / "certs"
    cluster.run("certs", "issue", "--role", "user", "--name", "bob", "--dir", certs,
                "--out", certs / "bob")  # fmt: skip
    config = configuration(cluster, "bob", "root", "bob")
    line = refused(cluster, "fs", "mkdir", "--config", config, "/x")
    assert "Permission denied: user=bob" in line
    assert "its owner or a superuser can allow it" in line
    cluster.run("fs", "mkdir", "/full")
    cluster.run("fs", "quota", "set", "--names", "1", "/full")
    assert "'pydfsnode fs quota show'" in refused(cluster, "fs", "mkdir", "/full/x")


def test_no_chunkserver_and_no_quorum(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    config = configuration(cluster, "impatient", "", "")
    leader = cluster.leader()
    others = [name for name in ("m1", "m2", "m3") if name != leader]
    cluster.run("dev", "down", "--grace", "2", "--dir", cluster.directory, "c1")
    line = refused(cluster, "fs", "put", "--config", config, tmp_path / "f", "/f")
    assert "'pydfsnode cluster report'" in line or "'pydfsnode cluster status'" in line
    cluster.run("dev", "down", "--grace", "2", "--dir", cluster.directory, *others)
    line = refused(cluster, "fs", "ls", "--config", config, "/")
    assert f"only {leader} of 3 masters can be reached, and more than half must be" in line
    cluster.run("dev", "down", "--grace", "2", "--dir", cluster.directory)
    line = refused(cluster, "fs", "ls", "--config", config, "/")
    assert "no master can be reached: start them" in line
