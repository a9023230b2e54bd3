"""Masters as real processes that tests kill, stop, wipe, add and look into."""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

from pydfsnode.cli.dev_cluster import CERTIFICATE_DAYS, DevCluster
from pydfsnode.cli.dev_layout import NodeSpec
from pydfsnode.cli.dev_ports import HOST, choose_ports
from pydfsnode.cli.processes import Process
from pydfsnode.config import load_node_config
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.roles.master.store import MasterStore, open_store
from pydfsnode.security import pki
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.directory import claim_directory
from tests.support.cluster import Cluster, wait_until

PAGE_SECONDS_MAX = 5
_TABLE = "\n[{name}]\n{lines}\n"


@dataclass(frozen=True, slots=True)
class StoredState:
    """What a stopped master has on its disk."""

    applied_index: int
    state_hash: str


class RaftCluster(Cluster):
    """A `Cluster` whose nodes this process starts and kills without a command in between.

    Args:
        settings: tables for each master's configuration, as {"snapshot": {"keep_entries": 100}}.
    """

    def __init__(
        self,
        directory: Path,
        masters: int = 3,
        chunkservers: int = 0,
        settings: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        super().__init__(directory, masters, chunkservers)
        self.config = directory / "client.toml"
        self._dev = DevCluster(directory)
        self._layout = self._dev.layout
        self._settings = settings or {}
        spec = self._dev.prepare(masters, chunkservers)
        for node in spec.of_role("master"):
            self._append_settings(node.id)

    def __enter__(self) -> RaftCluster:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all processes: what they still had to do is of no interest to a test."""
        self.kill(*(node.id for node in self._dev.load().nodes))

    # ---- processes

    def up(self) -> None:
        """Start whatever does not run, and return when it serves."""
        spec = self._dev.load()
        started = self._dev.start(spec)
        self._dev.wait_until_serving(spec, 60.0, started)

    def start(self, *node_ids: str) -> None:
        """Start these, without waiting for anything."""
        self._dev.start(self._dev.load(), node_ids)

    def process(self, node_id: str) -> Process:
        """The process of a node that was started."""
        found = Process.load(self._layout.pid(node_id))
        assert found is not None, f"{node_id} was never started"
        return found

    def is_alive(self, node_id: str) -> bool:
        """Whether its process runs."""
        found = Process.load(self._layout.pid(node_id))
        return found is not None and found.alive

    def signal(self, node_id: str, number: Signals) -> None:
        """Send a signal to a node."""
        self.process(node_id).send(number)

    def kill(self, *node_ids: str) -> None:
        """kill -9, all at once, and wait until they are gone."""
        self._end(node_ids, SIGKILL)

    def stop(self, *node_ids: str) -> None:
        """SIGTERM, and wait until they are gone."""
        self._end(node_ids, SIGTERM)

    def _end(self, node_ids: Sequence[str], number: Signals) -> None:
        running = [self.process(node_id) for node_id in node_ids if self.is_alive(node_id)]
        for process in running:
            process.send(number)
        ends = f"{', '.join(node_ids)} end"
        wait_until(ends, lambda: not any(process.alive for process in running))
        for process in running:
            process.reap()

    def masters(self) -> list[str]:
        """The names of all masters that have a directory here, members or not."""
        return [node.id for node in self._dev.load().of_role("master")]

    def listen(self, node_id: str) -> str:
        """Where a node listens for framed calls."""
        return self._node(node_id).listen

    def node_config(self, node_id: str) -> Path:
        """A node's configuration file."""
        return self._layout.config(node_id)

    def _node(self, node_id: str) -> NodeSpec:
        return next(node for node in self._dev.load().nodes if node.id == node_id)

    # ---- other directories

    def wipe(self, node_id: str) -> None:
        """Remove a node's data, as a new disk in the same machine."""
        shutil.rmtree(self.data_dir(node_id))

    def begins_no_cluster(self, node_id: str) -> None:
        """Take `bootstrap` out of a master's configuration."""
        path = self._layout.config(node_id)
        path.write_text(path.read_text().replace("bootstrap = true", "bootstrap = false"))

    def new_master(self, node_id: str) -> str:
        """Give another master certificate and configuration, and start it: NAME=HOST:PORT."""
        spec = self._dev.load()
        ports = choose_ports(3, spec.ports())
        listen, grpc_listen, http_listen = (f"{HOST}:{port}" for port in ports)
        spec.nodes.append(NodeSpec(node_id, "master", listen, grpc_listen, http_listen))
        place = self._layout.certificates(node_id)
        place.mkdir(parents=True)
        hosts = (HOST, "localhost")
        pki.issue(self._layout.authority, place, "master", node_id, hosts, CERTIFICATE_DAYS)
        self._layout.write_configs(spec)
        self._layout.save(spec)
        self._append_settings(node_id)
        self.begins_no_cluster(node_id)
        self.start(node_id)
        self.wait_for_page(node_id)
        return f"{node_id}={listen}"

    def _append_settings(self, node_id: str) -> None:
        path = self._layout.config(node_id)
        text = path.read_text()
        for name, values in self._settings.items():
            if f"[{name}]" not in text:
                lines = "\n".join(f"{key} = {value}" for key, value in values.items())
                text += _TABLE.format(name=name, lines=lines)
        path.write_text(text)

    # ---- looking into them

    def page(self, node_id: str, path: str) -> str:
        """A page of a node's HTTPS listener; raises OSError when it does not answer, or ends."""
        place = self._layout.certificates(self._dev.load().user)
        context = ssl.create_default_context(cafile=str(place / "ca.crt"))
        (cert,) = [p for p in place.glob("*.crt") if p.name != "ca.crt"]
        context.load_cert_chain(cert, cert.with_suffix(".key"))
        url = f"https://{self._node(node_id).http_listen}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PAGE_SECONDS_MAX, context=context) as answer:
                return str(answer.read().decode())
        except HTTPException as error:
            raise OSError(f"{url}: the answer is cut: {error!r}") from error

    def raft(self, node_id: str) -> dict[str, Any] | None:
        """A master's /raft/state; None when it does not answer."""
        try:
            state: dict[str, Any] = json.loads(self.page(node_id, "/raft/state"))
        except OSError:
            return None
        return state

    def wait_for_page(self, node_id: str) -> None:
        """Return when the master answers at all."""
        wait_until(f"{node_id} answers", lambda: self.raft(node_id) is not None)

    def leading(self) -> str:
        """The master that leads in the newest term that anybody knows; waits until there is one."""
        found: list[tuple[int, str]] = []

        def one_leads() -> bool:
            states = [state for name in self.masters() if (state := self._raft_if_alive(name))]
            found[:] = [(s["term"], s["node_id"]) for s in states if s["role"] == "leader"]
            return bool(found) and max(found)[0] == max(state["term"] for state in states)

        wait_until("a master leads", one_leads)
        return max(found)[1]

    def wait_until_settled(self) -> None:
        """Return when all masters that run follow one leader in one term.

        One that was frozen and wakes up may lead on, or may be about to lose an election.
        """

        def is_settled() -> bool:
            states = [self.raft(name) for name in self.masters() if self.is_alive(name)]
            followed = {(s["term"], s["leader"]) if s else None for s in states}
            return len(followed) == 1 and all(one is not None and one[1] for one in followed)

        wait_until("all masters follow one leader", is_settled)

    def _raft_if_alive(self, node_id: str) -> dict[str, Any] | None:
        return self.raft(node_id) if self.is_alive(node_id) else None

    def applied(self, node_id: str) -> int:
        """Up to which entry a master has applied the log; 0 when it does not answer."""
        state = self._raft_if_alive(node_id)
        return int(state["applied_index"]) if state is not None else 0

    def wait_until_equal(self, *node_ids: str) -> None:
        """Return when all of these have applied the same and all of it. Nobody must be writing."""

        def equal() -> bool:
            states = [self.raft(node_id) for node_id in node_ids]
            seen = {(s["applied_index"], s["last_index"]) if s else None for s in states}
            return len(seen) == 1 and all(one is not None and one[0] == one[1] for one in seen)

        wait_until(f"{', '.join(node_ids)} have applied the same", equal)

    def stored_states(self, *node_ids: str) -> dict[str, StoredState]:
        """Stop these when they are equal, and read the namespace of each from its disk.

        A master signs its audit trail every half minute, also between two others' ends: what the
        last one applied, the others apply here, from its log, so that all are of one index.
        """
        self.wait_until_equal(*node_ids)
        # The leader last: it finds nobody to hand over to, so nothing is added to any log.
        leader = self.leading()
        self.stop(*(node_id for node_id in node_ids if node_id != leader))
        self.stop(leader)
        with contextlib.ExitStack() as opened:
            stores = {node_id: opened.enter_context(self._opened(node_id)) for node_id in node_ids}
            latest = max(stores.values(), key=lambda store: store.namespace.applied_index)
            for store in stores.values():
                _catch_up(store.namespace, latest)
            found = {node_id: store.namespace for node_id, store in stores.items()}
            return {
                node_id: StoredState(namespace.applied_index, namespace.state_hash().hex())
                for node_id, namespace in found.items()
            }

    @contextlib.contextmanager
    def _opened(self, node_id: str) -> Iterator[MasterStore]:
        config = load_node_config(self._layout.config(node_id))
        identity = TlsStore.load(config.tls).identity
        place = Path(config.data_dir)
        with claim_directory(place, identity.cluster_id, config.role, config.node_id):
            store = open_store(config, identity)
            try:
                yield store
            finally:
                store.close()

    def events(self, node_id: str, event: str) -> list[dict[str, Any]]:
        """What a node has logged as *event*."""
        lines = (line for line in self.log(node_id).splitlines() if line.startswith("{"))
        return [found for line in lines if (found := json.loads(line)).get("event") == event]


def _catch_up(namespace: Namespace, latest: MasterStore) -> None:
    """Apply from the log of *latest* what it has applied and *namespace* has not."""
    first, last = namespace.applied_index + 1, latest.namespace.applied_index
    if first <= last:
        entries = latest.log.read(first, last, bytes_max=2**30)
        NamespaceMachine(namespace, on_applied=lambda: None).apply(first, entries)
