"""Everything about certificates is replaced while programs write and read, and nobody notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import PeerUnauthenticated
from pydfsnode.limits import MIB
from tests.support.cluster import Cluster, wait_until
from tests.support.data_load import DataLoad
from tests.support.load import NamespaceLoad

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def serials(cluster: Cluster) -> dict[str, str]:
    return {node["identity"]: node["serial"] for node in cluster.json("certs", "status")["nodes"]}


def change_ca(cluster: Cluster, new: Path) -> None:
    """The three phases, with the renewal of the load's own certificate in between."""
    cluster.run("certs", "rotate", "--ca", "trust", "--dir", new)
    cluster.run("certs", "renew")
    cluster.run("certs", "rotate", "--ca", "reissue")
    cluster.run("certs", "renew")
    cluster.run("certs", "rotate", "--ca", "drop")


def test_rotation_and_revocation_fail_no_request(cluster: Cluster) -> None:
    ca, new = cluster.directory / "certs", cluster.directory / "new-ca"
    config = cluster.directory / "client.toml"
    cluster.run("certs", "install", "--dir", ca)
    cluster.run("certs", "init", "--dir", new, "--cluster-id", cluster.status()["cluster_id"])
    with (
        NamespaceLoad(config, "/names", per_s=50.0) as names,
        DataLoad(config, "/data", bytes_per_s=4 * MIB) as data,
    ):
        first = serials(cluster)
        cluster.run("certs", "rotate", "--all")
        second = serials(cluster)
        assert first.keys() == second.keys()
        assert not set(first.values()) & set(second.values())
        data.wait_for(files=2, reads=2)

        change_ca(cluster, new)
        assert len(cluster.json("certs", "status")["roots"]) == 1
        assert not set(second.values()) & set(serials(cluster).values())
        data.wait_for(files=2, reads=2)

        with FileSystem.connect(cluster.config_of("bob", new)) as bob:
            bob.ls("/")
            cluster.run("certs", "revoke", cluster.directory / "users" / "bob" / "bob.crt")
            wait_until("bob is sent away", lambda: is_refused(bob), seconds=15)
        before = cluster.json("certs", "status")
        c4 = next(n["serial"] for n in before["nodes"] if n["identity"].endswith("/c4"))
        cluster.run("certs", "revoke", c4, "--reason", "lost")
        wait_until("c4 is sent away", lambda: "was revoked" in cluster.log("c4"), seconds=30)
        data.wait_for(files=2, reads=2)
        names.wait_for(10)
    assert names.failures == []
    data.check()
    check_trails(cluster)


def check_trails(cluster: Cluster) -> None:
    """What was done is in the trails of masters and chunkservers, and nobody changed them."""
    trails = [f"--data-dir={cluster.data_dir(node)}" for node in cluster.nodes()]
    for cmd, least in (("setAuthority", 4), ("revokeCertificates", 2), ("signCertificate", 16)):
        assert len(cluster.json("audit", "search", *trails, "--cmd", cmd)) >= least, cmd
    reloaded = cluster.json("audit", "search", *trails, "--cmd", "certificatesReloaded")
    assert {record["node"] for record in reloaded} == set(cluster.nodes())
    refused = cluster.json("audit", "search", *trails, "--denied", "--outcome", "revoked")
    assert refused
    verified = cluster.json("audit", "verify", *trails, "--cluster")
    assert len(verified["trails"]) == len(trails)


def is_refused(fs: FileSystem) -> bool:
    try:
        fs.ls("/")
    except PeerUnauthenticated as error:
        return "revoked" in error.message
    return False


def test_a_node_joins_by_a_token_and_only_once(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("certs", "install", "--dir", cluster.directory / "certs")
    token = tmp_path / "token"
    made = cluster.json(
        "certs", "token", "--role", "chunkserver", "--name", "c9", "--out", token,
        "--host", "127.0.0.1",
    )  # fmt: skip
    assert token.stat().st_mode & 0o777 == 0o600
    wrong = joined(cluster, tmp_path / "wrong", made, token, pin="sha256:" + "0" * 64)
    assert "no CA that it tells has the pin" in wrong
    other = joined(cluster, tmp_path / "other", made, token, name="c8")
    assert "the token is for chunkserver 'c9'" in other
    assert "joined as spiffe://" in joined(cluster, tmp_path / "c9", made, token)
    key = tmp_path / "c9" / "certs" / "node.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "used up" in joined(cluster, tmp_path / "later", made, token)


def joined(
    cluster: Cluster, directory: Path, made: dict[str, Any], token: Path, name: str = "c9",
    pin: str = "",
) -> str:  # fmt: skip
    """What `serve` says; the port of its listener is taken, so that it ends after joining."""
    directory.mkdir()
    taken = cluster.nodes()["c1"]["listen"]
    template = (cluster.directory / "nodes" / "c1" / "node.toml").read_text()
    head = template.partition("[tls]")[0].replace('"c1"', f'"{name}"')
    tls = '[tls]\nca = "certs/ca.crt"\ncert = "certs/node.crt"\nkey = "certs/node.key"\n'
    (directory / "node.toml").write_text(head + tls)
    done = cluster.command(
        "serve", "--config", directory / "node.toml", "--listen", taken, "--join", made["join"],
        "--join-token-file", token, "--ca-hash", pin or made["ca_hash"],
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    return done.stderr
