"""`pydfsnode dev`: the files of a cluster, its ports, and what becomes of its processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pydfsnode.cli import dev_cluster
from pydfsnode.cli.dev_cluster import DevCluster, last_line
from pydfsnode.cli.dev_layout import Layout, to_toml
from pydfsnode.cli.dev_ports import HOST, PORT_MAX, PORT_MIN, choose_ports, is_free
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.config import load_client_config, load_node_config
from pydfsnode.errors import ConfigError, DirectoryLocked, PortInUse, Unavailable, UsageError
from pydfsnode.security import pki
from pydfsnode.security.tls import TlsStore
from tests.unit.cli.conftest import Run


@pytest.fixture
def cluster(tmp_path: Path) -> DevCluster:
    return DevCluster(tmp_path / "dev")


def test_a_new_cluster_has_valid_configurations_and_certificates(cluster: DevCluster) -> None:
    spec = cluster.prepare(3, 2)
    assert [node.id for node in spec.nodes] == ["m1", "m2", "m3", "c1", "c2"]
    for node in spec.nodes:
        config = load_node_config(cluster.layout.config(node.id))
        assert (config.role, config.node_id, config.listen) == (node.role, node.id, node.listen)
        assert config.data_dir == str(cluster.layout.data(node.id))
        assert len(config.peers()) == 3
        identity = TlsStore.load(config.tls).identity
        assert (identity.cluster_id, identity.role, identity.name) == (
            spec.cluster_id, node.role, node.id,
        )  # fmt: skip
    client = load_client_config(cluster.layout.client_config)
    assert [peer.node_id for peer in client.peers()] == ["m1", "m2", "m3"]
    assert TlsStore.load(client.tls).identity.role == "admin"


def test_the_clusters_directory_is_for_its_user_alone(cluster: DevCluster) -> None:
    cluster.prepare(1, 1)
    assert cluster.layout.directory.stat().st_mode & 0o077 == 0


def test_addresses_are_distinct_and_outside_the_ephemeral_ports(cluster: DevCluster) -> None:
    spec = cluster.prepare(3, 3)
    assert len(spec.ports()) == 18
    assert all(PORT_MIN <= port < PORT_MAX for port in spec.ports())


def test_preparing_again_changes_nothing(cluster: DevCluster) -> None:
    first = cluster.prepare(3, 1)
    files = {p: p.read_bytes() for p in cluster.layout.directory.rglob("*") if p.is_file()}
    assert cluster.prepare(None, None) == first
    assert cluster.prepare(3, 1) == first
    assert files == {p: p.read_bytes() for p in files}


def test_more_chunkservers_are_added_and_fewer_change_nothing(cluster: DevCluster) -> None:
    first = cluster.prepare(1, 1)
    more = cluster.prepare(None, 3)
    assert more.nodes[:2] == first.nodes
    assert [node.id for node in more.nodes[2:]] == ["c2", "c3"]
    assert TlsStore.load(load_node_config(cluster.layout.config("c3")).tls).identity.name == "c3"
    assert cluster.prepare(None, 2) == more


def test_the_number_of_masters_is_fixed(cluster: DevCluster) -> None:
    cluster.prepare(3, 1)
    with pytest.raises(UsageError, match="3 masters"):
        cluster.prepare(5, 1)


@pytest.mark.parametrize(("masters", "chunkservers"), [(2, 3), (0, 3), (9, 3), (3, -1), (3, 99)])
def test_numbers_that_cannot_be_are_refused_before_anything_is_made(
    cluster: DevCluster, masters: int, chunkservers: int
) -> None:
    with pytest.raises(UsageError):
        cluster.prepare(masters, chunkservers)
    assert not cluster.layout.directory.exists()


def test_an_interrupted_preparation_is_finished_by_the_next(cluster: DevCluster) -> None:
    spec = cluster.prepare(1, 1)
    cluster.layout.cluster_file.unlink()
    shutil.rmtree(cluster.layout.certificates("c1"))
    shutil.rmtree(cluster.layout.directory / "nodes")
    cluster.layout.client_config.unlink()
    again = cluster.prepare(1, 1)
    assert again.cluster_id == spec.cluster_id
    for node in again.nodes:
        TlsStore.load(load_node_config(cluster.layout.config(node.id)).tls)


def test_the_whole_directory_can_be_moved(cluster: DevCluster, tmp_path: Path) -> None:
    cluster.prepare(1, 1)
    cluster.layout.directory.rename(tmp_path / "moved")
    moved = Layout(tmp_path / "moved")
    TlsStore.load(load_client_config(moved.client_config).tls)
    TlsStore.load(load_node_config(moved.config("m1")).tls)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 99}', '{"format": 1}', '{"format": 1, "nodes": [{}]}']
)
def test_a_damaged_cluster_file_is_named(cluster: DevCluster, content: str) -> None:
    cluster.layout.directory.mkdir()
    cluster.layout.cluster_file.write_text(content)
    with pytest.raises(ConfigError, match=r"cluster\.json"):
        cluster.load()


def test_ports_in_use_are_not_chosen() -> None:
    with socket.socket() as used:
        used.bind((HOST, 0))
        used.listen()
        assert not is_free(used.getsockname()[1])
    taken = set(range(PORT_MIN, PORT_MAX - 3))
    chosen = set()
    for _ in range(3):  # of the 3 left, whichever the dice find
        try:
            chosen |= set(choose_ports(1, taken, lambda _port: True))
        except PortInUse:
            continue
    assert chosen <= {PORT_MAX - 3, PORT_MAX - 2, PORT_MAX - 1}
    with pytest.raises(PortInUse, match="dev down"):
        choose_ports(1, set(), lambda _port: False)


def test_status_has_the_promised_keys(cluster: DevCluster, run: Run) -> None:
    cluster.prepare(1, 1)
    found = json.loads(run("dev", "status", "--json", "--dir", cluster.layout.directory).out)
    assert found["client_config"] == str(cluster.layout.client_config)
    for node in found["nodes"]:
        assert set(node) == {"id", "role", "pid", "data_dir", "listen", "grpc_listen",
                             "http_listen", "alive"}  # fmt: skip
        assert node["alive"] is False
        assert node["pid"] == 0


def test_commands_on_no_cluster_say_how_to_get_one(run: Run, tmp_path: Path) -> None:
    for arguments in (("status",), ("down",), ("logs",)):
        result = run("dev", *arguments, "--dir", tmp_path / "nothing")
        assert result.code == 2
        assert "'pydfsnode dev up' makes one" in result.err
        assert not (tmp_path / "nothing").exists()


class Nodes:
    """Real processes that stand in for nodes."""

    def __init__(self, cluster: DevCluster, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        monkeypatch.setattr(dev_cluster, "self_command", lambda: [sys.executable, "-c", script])
        self.cluster = cluster
        self.spec = cluster.prepare(1, 1)

    def pids(self) -> dict[str, int]:
        return {state.id: state.pid for state in self.cluster.states()}


WAITS = "import signal; signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True)\nwhile True: signal.pause()"
)


def test_only_what_does_not_run_is_started(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(cluster, monkeypatch, WAITS)
    try:
        assert cluster.start(nodes.spec) == ["m1", "c1"]
        before = nodes.pids()
        assert cluster.start(nodes.spec) == []
        assert cluster.stop(5, ["c1"]) == ["c1"]
        assert nodes.pids()["c1"] == 0
        assert cluster.start(nodes.spec) == ["c1"]
        assert nodes.pids()["m1"] == before["m1"]
    finally:
        assert sorted(cluster.stop(5)) == ["c1", "m1"]
    assert set(nodes.pids().values()) == {0}
    assert cluster.stop(5) == []


def test_a_node_that_ignores_term_is_killed(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(cluster, monkeypatch, STUBBORN)
    cluster.start(nodes.spec, ["m1"])
    log = cluster.layout.log("m1")
    while "ready" not in log.read_text():
        os.sched_yield()
    assert cluster.stop(0.05) == ["m1"]
    assert nodes.pids()["m1"] == 0


def test_a_stranger_with_a_remembered_pid_is_left_alone(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Nodes(cluster, monkeypatch, WAITS)
    me = dev_cluster.Process(os.getpid(), 1)
    me.save(cluster.layout.pid("m1"))
    assert cluster.stop(1) == []
    assert not cluster.states()[0].alive


def test_up_names_the_node_that_ended_and_its_last_words(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.exit('pydfsnode: master m1: 127.0.0.1:7001 is in use')"
    nodes = Nodes(cluster, monkeypatch, script)
    cluster.start(nodes.spec)
    with pytest.raises(Unavailable) as raised:
        cluster.wait_until_serving(nodes.spec, 30)
    assert "ended: " in raised.value.message
    assert "127.0.0.1:7001 is in use" in raised.value.message
    assert "node.log" in raised.value.message


def test_up_gives_up_after_its_timeout_and_names_what_is_missing(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(cluster, monkeypatch, WAITS)
    cluster.start(nodes.spec)
    try:
        with pytest.raises(Unavailable, match="waiting for a leader"):
            cluster.wait_until_serving(nodes.spec, 0.1)
    finally:
        cluster.stop(5)


def test_two_at_once_in_one_directory_are_refused(cluster: DevCluster) -> None:
    with (
        cluster.locked(),
        pytest.raises(DirectoryLocked),
        DevCluster(cluster.layout.directory).locked(),
    ):
        pass
    with cluster.locked():
        pass


def test_logs_of_one_node_and_of_all(cluster: DevCluster, run: Run) -> None:
    cluster.prepare(1, 1)
    for node_id in ("m1", "c1"):
        log = cluster.layout.log(node_id)
        log.parent.mkdir(parents=True)
        log.write_text("".join(f"{node_id} line {n}\n" for n in range(30)))
    directory = cluster.layout.directory
    assert run("dev", "logs", "m1", "-n", "2", "--dir", directory).out == (
        "m1 line 28\nm1 line 29\n"
    )
    every = run("dev", "logs", "-n", "1", "--dir", directory).out
    assert every == "m1   m1 line 29\nc1   c1 line 29\n"
    assert run("dev", "logs", "x", "--dir", directory).code == 2


def test_the_last_line_of_a_log_is_what_people_are_told(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    assert last_line(log) == "it left no log"
    log.write_text("\n")
    assert last_line(log) == "it said nothing"
    log.write_text('{"event": "x"}\npydfsnode: master m1: no space\n')
    assert last_line(log) == "master m1: no space"


def test_toml_is_read_back_as_it_was_written() -> None:
    import tomllib

    fields = {
        "text": 'quotes " and \\ and é and \n',
        "number": 7,
        "yes": True,
        "list": ["a", "b"],
        "table": {"x": "y"},
    }
    assert tomllib.loads(to_toml(fields)) == fields


class Masters:
    """As much of a file system as is asked for."""

    def __init__(self) -> None:
        self.security = self
        self.ends_ms = 0
        self.asked: list[tuple[str, tuple[str, str, str]]] = []

    async def __aenter__(self) -> Masters:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def state(self) -> SimpleNamespace:
        return SimpleNamespace(signer_not_after_ms=self.ends_ms)

    async def set_authority(self, step: str, ca: tuple[str, str, str]) -> None:
        self.asked.append((step, ca))


def test_the_masters_get_the_issuing_ca_once(
    cluster: DevCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    masters = Masters()

    async def connect(_config: object) -> Masters:
        return masters

    monkeypatch.setattr(AsyncFileSystem, "connect", connect)
    cluster.prepare(1, 1)
    assert cluster.install_authority()
    assert masters.asked == [("install", pki.load_issuing_ca(cluster.layout.authority).texts())]
    masters.ends_ms = 1
    assert not cluster.install_authority()
    (cluster.layout.authority / pki.ISSUING_KEY).unlink()
    masters.ends_ms = 0
    assert not cluster.install_authority(), "its key was taken off line"
    assert len(masters.asked) == 1
