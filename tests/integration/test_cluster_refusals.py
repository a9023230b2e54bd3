"""What cannot work ends with one clear sentence and a non-zero exit."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode.config import load_node_config
from tests.support.cluster import Cluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One master, one chunkserver; stopped, so that each test may break it first."""
    cluster = Cluster(tmp_path / "dev", masters=1, chunkservers=1)
    cluster.up()
    cluster.run("dev", "down", "--dir", cluster.directory)
    yield cluster
    cluster.command("dev", "down", "--grace", "2", "--dir", cluster.directory)


def serve(cluster: Cluster, node_id: str, *flags: object) -> str:
    """Start a node in the foreground, which must refuse; its sentence."""
    config = cluster.directory / "nodes" / node_id / "node.toml"
    done = cluster.command("serve", "--config", config, *flags)
    assert done.returncode in (1, 2)
    sentences = [line for line in done.stderr.splitlines() if line.startswith("pydfsnode: ")]
    assert len(sentences) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return sentences[0]


@pytest.mark.parametrize("listener", ["listen", "grpc_listen", "http_listen"])
@pytest.mark.parametrize("node_id", ["m1", "c1"])
def test_a_port_in_use_is_named(cluster: Cluster, node_id: str, listener: str) -> None:
    config = load_node_config(cluster.directory / "nodes" / node_id / "node.toml")
    address: str = getattr(config, listener)
    host, _, port = address.rpartition(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        assert address in serve(cluster, node_id)


def test_dev_up_names_the_node_that_failed(cluster: Cluster) -> None:
    address = cluster.nodes()["c1"]["listen"]
    host, _, port = address.rpartition(":")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        done = cluster.command("dev", "up", "--dir", cluster.directory)
    assert done.returncode == 1
    assert done.stderr.startswith("pydfsnode: chunkserver c1 ended: ")
    assert address in done.stderr


def test_a_missing_certificate_is_named(cluster: Cluster) -> None:
    cert = cluster.directory / "certs" / "m1" / "m1.crt"
    cert.unlink()
    assert "m1.crt" in serve(cluster, "m1")


def test_a_key_of_another_certificate_is_named(cluster: Cluster) -> None:
    certs = cluster.directory / "certs"
    shutil.copy(certs / "c1" / "c1.key", certs / "m1" / "m1.key")
    assert "m1.key" in serve(cluster, "m1")


def test_a_key_that_others_may_read_is_refused_with_the_remedy(cluster: Cluster) -> None:
    (cluster.directory / "certs" / "m1" / "m1.key").chmod(0o644)
    assert "chmod 600" in serve(cluster, "m1")


@pytest.mark.parametrize("node_id", ["m1", "c1"])
def test_a_directory_of_another_cluster_is_refused(
    cluster: Cluster, node_id: str, tmp_path: Path
) -> None:
    other = Cluster(tmp_path / "other", masters=1, chunkservers=1)
    other.up()
    other.run("dev", "down", "--dir", other.directory)
    sentence = serve(cluster, node_id, "--data-dir", other.data_dir(node_id))
    assert str(other.data_dir(node_id)) in sentence
    assert "cluster" in sentence


def test_a_directory_in_use_is_refused(cluster: Cluster) -> None:
    cluster.up()
    flags = ("--listen", "127.0.0.1:1", "--grpc-listen", "127.0.0.1:2",
             "--http-listen", "127.0.0.1:3")  # fmt: skip
    assert str(cluster.data_dir("c1")) in serve(cluster, "c1", *flags)


def test_a_wrong_sealing_key_is_refused(cluster: Cluster) -> None:
    (key,) = [p for p in cluster.directory.rglob("*kek*") if p.is_file() and "m1" in str(p)]
    key.write_text("ab" * 32 + "\n")
    sentence = serve(cluster, "m1")
    assert "key" in sentence


def test_a_client_without_a_cluster_is_told_which_masters_it_asked(cluster: Cluster) -> None:
    done = cluster.command("cluster", "status", "--timeout", "1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "m1=127.0.0.1:" in done.stderr


def test_a_client_with_a_certificate_of_another_cluster_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    from pydfsnode.cli.dev_cluster import DevCluster

    other = DevCluster(tmp_path / "other")
    other.prepare(1, 1)
    cluster.up()
    config = other.layout.client_config
    mine = (cluster.directory / "client.toml").read_text().splitlines()[0]
    config.write_text("\n".join([mine, *config.read_text().splitlines()[1:]]))
    done = cluster.command("fs", "--config", config, "ls", "/")
    assert done.returncode == 1
    assert done.stderr.startswith("pydfsnode: ")
    assert "Traceback" not in done.stderr
