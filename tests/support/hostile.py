"""A cluster of real processes and peers that try to get at what is not theirs."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydfsnode.client.event_loop import run
from pydfsnode.config import TlsFiles, load_client_config, load_node_config
from pydfsnode.errors import PydfsError
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.methods import METHODS, Shape
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.audit.record import Record
from pydfsnode.security.audit.search import Query, search_trails
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import Cluster, wait_until

TIMEOUT_MS = 20_000


class Target:
    """A running cluster, and what is needed to knock at its doors."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.nodes = cluster.nodes()
        self.authority = cluster.directory / "certs"
        self.admin = load_client_config(cluster.directory / "client.toml").tls
        self.cluster_id = TlsStore.load(self.admin).identity.cluster_id

    def issue(self, role: str, name: str) -> TlsFiles:
        """A certificate of this cluster."""
        out = self.cluster.directory / "issued" / f"{role}-{name}"
        self.cluster.run(
            "certs", "issue", "--dir", self.authority, "--role", role, "--name", name, "--out", out
        )
        return TlsFiles(str(out / "ca.crt"), str(out / f"{name}.crt"), str(out / f"{name}.key"))

    def files_of(self, node_id: str) -> TlsFiles:
        """A node's own, stolen."""
        return load_node_config(self.cluster.directory / "nodes" / node_id / "node.toml").tls

    def audited(self, node_id: str, **filters: Any) -> list[Record]:
        """What is found in a node's audit trail; it is written a moment later than answered."""
        return list(search_trails([self._trail(node_id)], Query(**filters)))

    def trail_bytes(self, node_id: str) -> bytes:
        """Everything in a node's audit trail."""
        return b"".join(file.read_bytes() for file in self._trail(node_id).iterdir())

    def _trail(self, node_id: str) -> Path:
        return self.cluster.directory / "nodes" / node_id / "data-audit"

    def call(self, files: TlsFiles, node_id: str, path: str, request: Any) -> Any:
        """What *node_id* answers to the holder of *files*; the first message of a stream.

        Raises:
            PydfsError: it refused.
        """

        async def ask() -> Any:
            tls = TlsStore.load(files)
            node = self.nodes[node_id]
            channel = FramedChannel(node["listen"], tls, node["role"], node_id)
            try:
                if METHODS[path].shape is Shape.UNARY:
                    return await channel.unary(path, request, timeout_ms=TIMEOUT_MS)
                stream = await channel.stream(path, request, timeout_ms=TIMEOUT_MS)
                await stream.close_send()
                return await stream.receive()
            finally:
                await channel.close()

        return run(ask())

    def locate(self, files: TlsFiles, path: str) -> pb.LocateResponse:
        """What the master tells the holder of *files* of a file."""
        answer = self.call(files, "m1", "/pydfs.v1.Namespace/Locate", pb.LocateRequest(path=path))
        assert isinstance(answer, pb.LocateResponse)
        return answer

    def https(self, node_id: str, path: str, files: TlsFiles | None = None) -> tuple[int, bytes]:
        """Status and body of the answer of a node's HTTPS listener."""
        context = context_of(files, self.admin.ca)
        host, _, port = self.nodes[node_id]["http_listen"].rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
        connection.putrequest("GET", path)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def metric(self, node_id: str, name: str, **labels: str) -> float:
        """The sum of a metric's values with these labels."""
        page = self.https(node_id, "/metrics", self.admin)[1].decode()
        total = 0.0
        for found in re.finditer(rf"^pydfs_{name}{{([^}}]*)}} (\S+)$", page, re.M):
            if all(f'{key}="{value}"' in found[1] for key, value in labels.items()):
                total += float(found[2])
        return total

    @contextmanager
    def counts(self, node_id: str, name: str, least: int = 1, **labels: str) -> Iterator[None]:
        """Fail unless a counter grows by *least*; it may when the peer was answered already."""
        wanted = self.metric(node_id, name, **labels) + least
        yield
        wait_until(
            f"{name}{labels} grew by {least}",
            lambda: self.metric(node_id, name, **labels) >= wanted,
        )


def context_of(files: TlsFiles | None, ca: str) -> ssl.SSLContext:
    """A plain client's TLS, with the certificate in *files* or with none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca)
    if files is not None:
        context.load_cert_chain(files.cert, files.key)
    return context


def refusal(of: Any, *arguments: Any) -> PydfsError:
    """The error that a call ends with; fails the test when it does not."""
    try:
        answer = of(*arguments)
    except PydfsError as error:
        return error
    raise AssertionError(f"{arguments} was answered: {answer!r}"[:500])
