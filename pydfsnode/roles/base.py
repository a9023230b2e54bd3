"""What every role does the same way: claim the directory, listen three times, stop in order.

Order of starting: identity, data directory, the role's own state, listeners, the role's loops; a
failure on the way undoes what was begun and ends in one sentence. Stopping runs backwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydfsnode.config import NodeConfig
from pydfsnode.errors import InvariantViolation, PydfsError, WrongCluster
from pydfsnode.http.server import HttpsServer
from pydfsnode.obs import log as obs_log
from pydfsnode.roles.certificates import CertificateKeeper, watch_files
from pydfsnode.roles.joining import Joining
from pydfsnode.rpc.acting import Acting
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.grpc_server import GrpcServer
from pydfsnode.rpc.peer_health import PeerHealth, server_peer_health
from pydfsnode.rpc.server import Handlers
from pydfsnode.rpc.telemetry import Denials
from pydfsnode.runtime.clock import Clock, SystemClock
from pydfsnode.runtime.supervisor import Supervisor, exit_code, operator_message
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.directory import claim_directory

_log = obs_log.get_logger("roles")

STOP_GRACE_MS = 2_000
LOG_FILE_NAME = "node.log"


@dataclass(frozen=True, slots=True)
class Node:
    """What a role is built from."""

    config: NodeConfig
    tls: TlsStore
    supervisor: Supervisor
    clock: Clock
    peers: PeerHealth = field(default_factory=PeerHealth)
    denials: Denials = field(default_factory=Denials)
    """Tells of what the listeners refuse."""


class Role(Protocol):
    """A role's running part. Made when the directory is claimed, started when listeners are up."""

    @property
    def handlers(self) -> Handlers:
        """RPC path to handler, for both transports."""
        ...

    @property
    def pages(self) -> Mapping[str, Callable[[], object]]:
        """HTTPS path to what it answers as JSON."""
        ...

    def health(self) -> dict[str, Any]:
        """For `/health`: what works."""
        ...

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """For `/ready`: whether this node serves its role now, and why not."""
        ...

    async def ask_leader(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Ask the leading master; raises PydfsError."""
        ...

    async def start(self) -> None:
        """Begin the role's loops."""
        ...

    async def left(self) -> None:
        """Return when the role, asked to stop, needs to be heard by others no more."""
        ...

    async def stop(self) -> None:
        """End the loops and close what the role opened; also after a failed start."""
        ...


RoleFactory = Callable[[Node], Awaitable[Role]]


async def run_node(config: NodeConfig, make_role: RoleFactory) -> int:
    """Run a node until it is asked to stop or fails; return its exit code.

    A failure is told in one sentence on stderr and in the log, with its traceback only there.
    """
    log_path = Path(config.log_dir) / LOG_FILE_NAME if config.log_dir else None
    obs_log.configure(config.log_level, config.node_id, config.role, log_path)
    supervisor = Supervisor()
    try:
        async with contextlib.AsyncExitStack() as stack:
            await _start(config, supervisor, make_role, stack)
            code = await supervisor.run_until_stopped()
            if supervisor.failure is not None:
                _tell(config, supervisor.failure)
            _log.info("stopping", exit_code=code)
    except PydfsError as error:
        _log.error("cannot run", error=str(error), code=error.code)
        _tell(config, error)
        return exit_code(error)
    return code


async def _start(
    config: NodeConfig,
    supervisor: Supervisor,
    make_role: RoleFactory,
    stack: contextlib.AsyncExitStack,
) -> None:
    tls = TlsStore.load(config.tls)
    _check_identity(config, tls)
    cluster_id = tls.identity.cluster_id
    stack.enter_context(
        claim_directory(Path(config.data_dir), cluster_id, config.role, config.node_id)
    )
    stack.push_async_callback(supervisor.stop)
    node = Node(config, tls, supervisor, SystemClock(), server_peer_health())
    role = await make_role(node)
    stack.push_async_callback(role.stop)

    keeper = CertificateKeeper(tls, Path(config.data_dir), role.ask_leader, node.clock)

    def on_invariant(error: BaseException) -> None:
        supervisor.fail(error, "handler")

    acting = Acting(config.may_act_for)
    framed = FramedServer(role.handlers, tls, config.role, on_invariant=on_invariant)
    framed.dispatch.acting = acting
    framed.dispatch.telemetry.denials = node.denials
    await framed.start(config.listen)
    stack.push_async_callback(framed.stop, STOP_GRACE_MS)
    grpc = GrpcServer(role.handlers, tls, config.role, on_invariant=on_invariant)
    grpc.dispatch.acting = acting
    grpc.dispatch.telemetry.denials = node.denials
    await grpc.start(config.grpc_listen)
    stack.push_async_callback(grpc.stop, STOP_GRACE_MS)
    joining = Joining(tls, role.ask_leader).pages if config.role == "master" else {}
    https = HttpsServer(config.http_listen, tls, role.health, role.ready, dict(role.pages), joining)
    https.on_refusal = node.denials.refused_page
    await https.start()
    stack.push_async_callback(https.stop)
    await role.start()
    supervisor.spawn("certificates", keeper.run())
    supervisor.spawn("certificate files", watch_files(tls))
    stack.push_async_callback(role.left)  # before the listeners stop
    _settle_garbage_collector()
    _on_signals(supervisor, tls)
    _log.info(
        "serving",
        listen=config.listen,
        grpc_listen=config.grpc_listen,
        http_listen=config.http_listen,
        identity=tls.identity.uri,
        fsync=config.fsync,
    )


def _settle_garbage_collector() -> None:
    """What was loaded at start stays: it is not walked again at each full collection.

    With the default thresholds a loaded node collects many times a second for next to no garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _check_identity(config: NodeConfig, tls: TlsStore) -> None:
    identity = tls.identity
    if (identity.role, identity.name) != (config.role, config.node_id):
        raise WrongCluster(
            f"{config.tls.cert}: is the certificate of {identity.role} '{identity.name}', this "
            f"node is {config.role} '{config.node_id}': issue one with 'pydfsnode certs issue "
            f"--role {config.role} --name {config.node_id}'"
        )


def _on_signals(supervisor: Supervisor, tls: TlsStore) -> None:
    """TERM and INT stop in order; HUP takes new certificates for new connections."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, tls)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.request_stop, signal.Signals(number).name)


def _reload(tls: TlsStore) -> None:
    try:
        tls.reload()
    except PydfsError as error:
        _log.error("certificates not reloaded, the old ones stay in use", error=str(error))
    else:
        _log.info("certificates reloaded", identity=tls.identity.uri)


def _tell(config: NodeConfig, error: BaseException) -> None:
    """One sentence on stderr, for whoever started the node."""
    stopped = " (the node stopped itself)" if isinstance(error, InvariantViolation) else ""
    sentence = f"pydfsnode: {config.role} {config.node_id}: {operator_message(error)}{stopped}"
    print(sentence, file=sys.stderr, flush=True)
