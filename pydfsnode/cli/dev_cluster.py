"""A whole cluster on this machine: made, started until it serves, looked at, stopped."""

from __future__ import annotations

import fcntl
import getpass
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydfsnode.cli.dev_layout import ClusterSpec, Layout, NodeSpec
from pydfsnode.cli.dev_ports import HOST, choose_ports
from pydfsnode.cli.processes import Process, self_command, start_detached
from pydfsnode.errors import ClusterError, ConfigError, DirectoryLocked, Unavailable, UsageError

if TYPE_CHECKING:
    from pydfsnode.client.model import ClusterStatus

CERTIFICATE_DAYS = 365
MASTERS_ALLOWED = (1, 3, 5, 7)
CHUNKSERVERS_MAX = 32
_POLL_SECONDS = 0.05
_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node and its process, as `dev status --json` promises; pid 0: not running."""

    id: str
    role: str
    pid: int
    data_dir: str
    listen: str
    grpc_listen: str
    http_listen: str
    alive: bool


class DevCluster:
    """The cluster in one directory. Not a daemon: its nodes are processes of their own."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory.expanduser().absolute())

    # ---- what is there

    def load(self) -> ClusterSpec:
        """The cluster's description.

        Raises:
            ConfigError: there is no cluster here.
        """
        spec = self.layout.load()
        if spec is None:
            raise ConfigError(
                f"{self.layout.directory}: no cluster here; 'pydfsnode dev up' makes one"
            )
        return spec

    def states(self) -> list[NodeState]:
        """All nodes and whether they run."""
        return [self._state(node) for node in self.load().nodes]

    def _state(self, node: NodeSpec) -> NodeState:
        process = Process.load(self.layout.pid(node.id))
        alive = process is not None and process.alive
        return NodeState(
            **asdict(node),
            pid=process.pid if process is not None and alive else 0,
            data_dir=str(self.layout.data(node.id)),
            alive=alive,
        )

    def status(self) -> dict[str, Any]:
        """What `dev status --json` prints."""
        return {
            "client_config": str(self.layout.client_config),
            "nodes": [asdict(state) for state in self.states()],
        }

    # ---- up

    def prepare(self, masters: int | None, chunkservers: int | None) -> ClusterSpec:
        """Make the cluster's files, or add what is new to an existing one. Starts nothing.

        Args:
            masters: how many; None: 3 for a new cluster, else as it is.
            chunkservers: at least so many; None: 3 for a new cluster, else as it is.
        Raises:
            UsageError: a number that cannot be, or another number of masters than there are.
        """
        spec = self.layout.load()
        if spec is None:
            return self._make(
                3 if masters is None else masters, 3 if chunkservers is None else chunkservers
            )
        found = len(spec.of_role("master"))
        if masters not in (None, found):
            raise UsageError(
                f"{self.layout.directory}: has {found} masters, and their number is fixed; "
                f"leave --masters out, or use another --dir"
            )
        present = len(spec.of_role("chunkserver"))
        if chunkservers is not None and chunkservers > present:
            _check_chunkservers(chunkservers)
            self._add(spec, "chunkserver", "c", range(present + 1, chunkservers + 1))
        # Certificates and configurations before the file that says that they are there.
        self._issue(spec)
        self.layout.write_configs(spec)
        self.layout.save(spec)
        return spec

    def _make(self, masters: int, chunkservers: int) -> ClusterSpec:
        from pydfsnode.security import pki

        if masters not in MASTERS_ALLOWED:
            raise UsageError(
                f"--masters {masters}: use 1, 3, 5 or 7, of which a majority can decide"
            )
        _check_chunkservers(chunkservers)
        _make_private(self.layout.directory)
        if (self.layout.authority / pki.CA_CERT).exists():
            cluster_id = _cluster_id_of(self.layout.authority / pki.CA_CERT)
        else:
            cluster_id = pki.init_ca(self.layout.authority)
        spec = ClusterSpec(cluster_id, _user_name())
        self._add(spec, "master", "m", range(1, masters + 1))
        self._add(spec, "chunkserver", "c", range(1, chunkservers + 1))
        self._issue(spec)
        self.layout.write_configs(spec)
        self.layout.save(spec)
        return spec

    def _add(self, spec: ClusterSpec, role: str, prefix: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            ports = choose_ports(3, spec.ports())
            listen, grpc_listen, http_listen = (f"{HOST}:{port}" for port in ports)
            spec.nodes.append(NodeSpec(f"{prefix}{number}", role, listen, grpc_listen, http_listen))

    def _issue(self, spec: ClusterSpec) -> None:
        """Certificates for all who have none yet."""
        from pydfsnode.security import pki

        # Who runs a cluster of his own operates it too.
        wanted = [(node.role, node.id) for node in spec.nodes] + [("admin", spec.user)]
        for role, name in wanted:
            place = self.layout.certificates(name)
            if not (place / f"{name}.crt").exists():
                place.mkdir(parents=True, exist_ok=True)
                (place / f"{name}.key").unlink(missing_ok=True)
                pki.issue(self.layout.authority, place, role, name, _HOSTS, CERTIFICATE_DAYS)

    def start(self, spec: ClusterSpec, only: Sequence[str] = ()) -> list[str]:
        """Start the nodes that do not run (of *only* those named, if any); returns their ids."""
        started = []
        for node in _selected(spec, only):
            if self._state(node).alive:
                continue
            command = [*self_command(), "serve", "--config", str(self.layout.config(node.id))]
            process = start_detached(command, self.layout.node(node.id), self.layout.log(node.id))
            process.save(self.layout.pid(node.id))
            started.append(node.id)
        return started

    def wait_until_serving(
        self, spec: ClusterSpec, timeout_seconds: float, started: Collection[str] = ()
    ) -> None:
        """Return when a leader is elected and all masters and chunkservers are in touch with it.

        Args:
            started: ids of nodes that were just started: what the leader heard of their earlier
                life does not count.
        Raises:
            Unavailable: a node ended, naming it with its last words; or the time is over.
        """
        from pydfsnode.client.event_loop import run

        run(self._serving(spec, timeout_seconds, started))

    async def _serving(
        self, spec: ClusterSpec, timeout_seconds: float, started: Collection[str]
    ) -> None:
        import asyncio

        from pydfsnode.client.filesystem import AsyncFileSystem
        from pydfsnode.config import load_client_config

        config = load_client_config(self.layout.client_config)
        config.timeout_ms = 1_000
        began = time.monotonic()
        deadline = began + timeout_seconds
        async with await AsyncFileSystem.connect(config) as fs:
            while True:
                self._require_running(spec)
                waiting_for = "a leader"
                try:
                    status = await fs.cluster_status()
                    age_ms = int((time.monotonic() - began) * 1000)
                    missing = sorted(_not_heard(spec, status, started, age_ms))
                    if status.leader and not missing:
                        return
                    waiting_for = ", ".join(missing) if status.leader else waiting_for
                except ClusterError as error:
                    waiting_for += f" ({error.message})"
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"the cluster did not serve within {timeout_seconds:g} s, waiting for "
                        f"{waiting_for}; the logs: 'pydfsnode dev logs --dir "
                        f"{self.layout.directory}'"
                    )
                await asyncio.sleep(_POLL_SECONDS)

    def install_authority(self) -> bool:
        """Let the masters sign, so that certificates are renewed; whether they could not before.

        Raises:
            ClusterError: no master answers.
        """
        from pydfsnode.client.event_loop import run
        from pydfsnode.security import pki

        if not (self.layout.authority / pki.ISSUING_KEY).exists():
            return False  # somebody keeps it off line, as real clusters do
        return run(self._authority_installed())

    async def _authority_installed(self) -> bool:
        from pydfsnode.client.filesystem import AsyncFileSystem
        from pydfsnode.security import pki

        async with await AsyncFileSystem.connect(self.layout.client_config) as fs:
            if (await fs.security.state()).signer_not_after_ms:
                return False
            ca = pki.load_issuing_ca(self.layout.authority)
            await fs.security.set_authority("install", ca.texts())
            return True

    def _require_running(self, spec: ClusterSpec) -> None:
        for node in spec.nodes:
            process = Process.load(self.layout.pid(node.id))
            if process is None or process.alive:
                continue
            process.reap()
            raise Unavailable(
                f"{node.role} {node.id} ended: {last_line(self.layout.log(node.id))} "
                f"(log: {self.layout.log(node.id)})",
                node_id=node.id,
            )

    # ---- down

    def stop(self, grace_seconds: float, only: Sequence[str] = ()) -> list[str]:
        """End the nodes (of *only* those named, if any): TERM, and KILL after the grace.

        Returns:
            The ids of those that ran.
        """
        running = {}
        for node in _selected(self.load(), only):
            process = Process.load(self.layout.pid(node.id))
            if process is not None and process.alive:
                running[node.id] = process
        for process in running.values():
            process.send(signal.SIGTERM)
        if not _wait_for_end(running.values(), grace_seconds):
            for process in running.values():
                process.send(signal.SIGKILL)
            _wait_for_end(running.values(), grace_seconds)
        for node_id in running:
            self.layout.pid(node_id).unlink(missing_ok=True)
        return list(running)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other `dev up` and `dev down` out of this directory.

        Raises:
            DirectoryLocked: one is at work.
        """
        _make_private(self.layout.directory)
        with (self.layout.directory / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DirectoryLocked(
                    f"{self.layout.directory}: another 'pydfsnode dev' is at work here; "
                    "wait for it to end"
                ) from None
            yield


def last_line(log: Path) -> str:
    """The last thing that a node said, for people."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return "it left no log"
    return lines[-1].removeprefix("pydfsnode: ")[:500] if lines else "it said nothing"


def _not_heard(
    spec: ClusterSpec, status: ClusterStatus, started: Collection[str], age_ms: int
) -> set[str]:
    """Ids of nodes that the leader is not in touch with, or not since they were started."""
    heard = {master.id for master in status.masters if master.recently_active}
    heard |= {
        server.id
        for server in status.live_chunkservers()
        if server.id not in started or server.last_heartbeat_ms_ago < age_ms
    }
    return {node.id for node in spec.nodes} - heard


def _selected(spec: ClusterSpec, only: Sequence[str]) -> list[NodeSpec]:
    known = {node.id for node in spec.nodes}
    for node_id in only:
        if node_id not in known:
            raise UsageError(f"no node '{node_id}' here: there are {', '.join(sorted(known))}")
    return [node for node in spec.nodes if not only or node.id in only]


def _check_chunkservers(count: int) -> None:
    if not 0 <= count <= CHUNKSERVERS_MAX:
        raise UsageError(f"--chunkservers {count}: use 0 to {CHUNKSERVERS_MAX}")


def _wait_for_end(processes: Iterable[Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        running = [process for process in processes if process.alive]
        for process in processes:
            process.reap()
        if not running:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def _make_private(directory: Path) -> None:
    """Make *directory* for this user alone: keys and data lie in it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be made: {error.strerror}") from None


def _cluster_id_of(certificate: Path) -> str:
    """The cluster of a CA that a `dev up` made before it was interrupted."""
    from pydfsnode.security import pki

    return pki.describe(certificate).uri.removeprefix("spiffe://")


def _user_name() -> str:
    """Who the client's certificate is for."""
    from pydfsnode.security.identity import is_name

    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        name = ""
    return name if is_name(name) and name != "ca" else "dev"
