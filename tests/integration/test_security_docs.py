"""The commands of docs/security.md do what the page says, one after the other, in a cluster."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import REPOSITORY, Cluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
PAGE = REPOSITORY / "docs" / "security.md"
SECONDS_MAX = 150


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "dev") as cluster:
        yield cluster


def commands() -> list[str]:
    """The lines of the page's procedures that begin with `pydfsnode`, without what explains."""
    text = PAGE.read_text().partition("## Procedures")[2]
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line.startswith("pydfsnode ")]


class Operator:
    """Types the commands of the page in a directory, with what it leaves open filled in."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        binaries = directory / "bin"
        binaries.mkdir(parents=True)
        script = binaries / "pydfsnode"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m pydfsnode "$@"\n')
        script.chmod(0o755)
        path = f"{binaries}:{os.environ['PATH']}"
        self._environment = {**cluster.environment, "PATH": path}
        self.words: dict[str, str] = {}

    def type(self, line: str) -> str:
        """What *line* prints; it must end well."""
        done = subprocess.run(
            ["bash", "-c", self._filled(line)], cwd=self._directory, env=self._environment,
            capture_output=True, text=True, timeout=SECONDS_MAX,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: exit {done.returncode}: {done.stderr}"
        return done.stdout

    def start(self, line: str, is_done: Callable[[], bool]) -> None:
        """Let *line* run until `is_done`, then end it."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {self._filled(line)}"], cwd=self._directory,
            env=self._environment, stderr=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            try:
                wait_until(line, lambda: is_done() or running.poll() is not None)
            finally:
                running.terminate()
            said = running.communicate()[1]
        assert "joined as" in said, said

    def _filled(self, line: str) -> str:
        for word, meant in self.words.items():
            line = line.replace(word, meant)
        return line


def take_ca_of(cluster: Cluster, directory: Path) -> None:
    """From here on `ca` is the CA of the cluster that runs."""
    shutil.rmtree(directory / "ca")
    (directory / "ca").symlink_to(cluster.directory / "certs")


def configuration_of_c4(cluster: Cluster, directory: Path) -> Path:
    """As that of c1, on other ports, with certificates that are not there yet."""
    text = (cluster.directory / "nodes" / "c1" / "node.toml").read_text()
    head = text.partition("[tls]")[0].replace('"c1"', '"c4"')
    with contextlib.ExitStack() as taken:
        for _ in range(3):
            free = taken.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = free.getsockname()[1]
            head = re.sub(r'listen = "127.0.0.1:\d+"', f'listen = "@{port}"', head, count=1)
    tls = '[tls]\nca = "certs/ca.crt"\ncert = "certs/c4.crt"\nkey = "certs/c4.key"\n'
    path = directory / "c4" / "node.toml"
    path.parent.mkdir()
    path.write_text(head.replace("@", "127.0.0.1:") + tls)
    return path


def states(cluster: Cluster) -> dict[str, str]:
    return {server["id"]: server["state"] for server in cluster.status()["chunkservers"]}


def test_the_procedures_run(cluster: Cluster, tmp_path: Path) -> None:
    operator = Operator(cluster, tmp_path / "operator")
    http = cluster.nodes()[cluster.leader()]["http_listen"]
    operator.words = {
        "CLUSTER": cluster.status()["cluster_id"],
        "MASTER:HTTPS-PORT": http,
        "10.0.0.4": "127.0.0.1",
    }
    lines = commands()
    assert len(lines) >= 15
    for line in lines:
        if line.startswith("pydfsnode certs install"):
            take_ca_of(cluster, tmp_path / "operator")
        if line.startswith("pydfsnode certs revoke"):
            operator.type("pydfsnode certs issue --dir new-ca --role user --name alice --out .")
        if line.startswith("pydfsnode serve"):
            operator.words["FILE"] = str(configuration_of_c4(cluster, tmp_path / "operator"))
            operator.start(line, lambda: states(cluster).get("c4") == "live")
            continue
        said = operator.type(line)
        if line.startswith("pydfsnode certs token"):
            operator.words["sha256:…"] = re.findall(r"sha256:[0-9a-f]{64}", said)[0]
    trust = json.loads(cluster.run("certs", "status", "--json"))
    assert len(trust["roots"]) == 1
