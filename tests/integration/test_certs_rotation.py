"""Everything about certificates is replaced while programs write and read, and nobody notices."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import PeerUnauthenticated, PydfsError
from tests.support.cluster import Cluster, wait_until
from tests.support.load import NamespaceLoad

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FILE_BYTES = 600_000


class DataLoad:
    """Writes files of content that is known and reads each back, one after the other."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self.done = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> DataLoad:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, count: int) -> None:
        """Return when *count* more files were written and read."""
        wanted = self.done + count
        wait_until(f"{count} more files", lambda: self.done >= wanted or bool(self.failures))

    def _run(self) -> None:
        content = os.urandom(FILE_BYTES)
        with FileSystem.connect(self._config) as fs:
            while not self._stop.is_set():
                path = f"/data-{self.done % 8}"
                try:
                    fs.pipe_file(path, content)
                    if fs.cat_file(path) != content:
                        self.failures.append(f"{path} is not what was written")
                except PydfsError as error:
                    self.failures.append(f"{path}: {error!r}")
                self.done += 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "dev", masters=3, chunkservers=4) as cluster:
        yield cluster


def trust(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run("certs", "status", "--json"))
    return found


def serials(cluster: Cluster) -> dict[str, str]:
    return {node["identity"]: node["serial"] for node in trust(cluster)["nodes"]}


def user_of(cluster: Cluster, ca: Path, name: str) -> Path:
    """A client configuration of a user whose certificate *ca* issues."""
    out = cluster.directory / "users" / name
    cluster.run("certs", "issue", "--dir", ca, "--role", "user", "--name", name, "--out", out)
    text = (cluster.directory / "client.toml").read_text()
    head = text.partition("[tls]")[0]
    config = out / "client.toml"
    tls = {"ca": "ca.crt", "cert": f"{name}.crt", "key": f"{name}.key"}
    lines = [f'{key} = "{out / file}"' for key, file in tls.items()]
    config.write_text(head + "[tls]\n" + "\n".join(lines) + "\n")
    return config


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
    with NamespaceLoad(config, "/names", per_s=50.0) as names, DataLoad(config) as data:
        first = serials(cluster)
        cluster.run("certs", "rotate", "--all")
        second = serials(cluster)
        assert first.keys() == second.keys()
        assert not set(first.values()) & set(second.values())
        data.wait_for(2)

        change_ca(cluster, new)
        assert len(trust(cluster)["roots"]) == 1
        assert not set(second.values()) & set(serials(cluster).values())
        data.wait_for(2)

        with FileSystem.connect(user_of(cluster, new, "bob")) as bob:
            bob.ls("/")
            cluster.run("certs", "revoke", cluster.directory / "users" / "bob" / "bob.crt")
            wait_until("bob is sent away", lambda: is_refused(bob), seconds=15)
        before = trust(cluster)
        c4 = next(n["serial"] for n in before["nodes"] if n["identity"].endswith("/c4"))
        cluster.run("certs", "revoke", c4, "--reason", "lost")
        wait_until("c4 is sent away", lambda: "was revoked" in cluster.log("c4"), seconds=30)
        data.wait_for(2)
        names.wait_for(10)
    assert names.failures == []
    assert data.failures == []


def is_refused(fs: FileSystem) -> bool:
    try:
        fs.ls("/")
    except PeerUnauthenticated as error:
        return "revoked" in error.message
    return False


def test_a_node_joins_by_a_token_and_only_once(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("certs", "install", "--dir", cluster.directory / "certs")
    token = tmp_path / "token"
    made = json.loads(
        cluster.run("certs", "token", "--role", "chunkserver", "--name", "c9", "--out", token,
                    "--host", "127.0.0.1", "--json")
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
