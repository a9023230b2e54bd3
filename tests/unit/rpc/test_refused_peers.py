"""Every certificate that is not good enough is refused on every listener, and it is said why."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pydfsnode.config import TlsFiles
from pydfsnode.errors import PeerUnauthenticated
from pydfsnode.http.server import HttpsServer
from pydfsnode.obs import log
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.grpc_server import GrpcServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.security import pki
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs
from tests.support.odd_certificates import DAY, OURS, odd_certificate
from tests.unit.rpc.harness import PING, until

REASONS = {
    "expired": ("expired", "our certificate expired"),
    "not_yet_valid": ("not_yet_valid", "our certificate is not valid before"),
    "other_cluster": ("cluster", "our certificate is of another cluster"),
    "two_identities": ("identity", "exactly one URI"),
    "nobody": ("identity", "exactly one URI"),
    "self_signed": ("self_signed", "leads to no CA of our"),
    "unknown_ca": ("unknown_ca", "leads to no CA of our"),
    "server_only": ("purpose", "may not be used to call"),
    "revoked": ("revoked", "our certificate was revoked"),
}
"""Kind of certificate to the word in the log and what the client is told."""


@dataclass
class Node:
    """All three listeners of one node."""

    tls: TlsStore
    framed: str
    grpc: str
    https: str
    files: dict[str, TlsFiles]


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Node]:
    files = make_cluster_certs(directory, {"m1": "master", "root": "admin", "eve": "user"})
    tls = TlsStore.load(files["m1"])

    async def ping(request: Any, _: Any) -> Any:
        return dfs_pb2.PingResponse(payload=request.payload)

    framed = FramedServer({PING: ping}, tls, "master")
    other = GrpcServer({PING: ping}, tls, "master")
    https = HttpsServer("127.0.0.1:1", tls, dict, lambda: (True, {}), {})
    with ssl_port() as port:
        https.address = f"127.0.0.1:{port}"
    await https.start()
    try:
        yield Node(
            tls, await framed.start("127.0.0.1:0"), await other.start("127.0.0.1:0"),
            https.address, files,
        )  # fmt: skip
    finally:
        await framed.stop(0)
        await other.stop(0)
        await https.stop()


class ssl_port:
    """A free port, closed again."""

    def __enter__(self) -> int:
        import socket

        self._socket = socket.create_server(("127.0.0.1", 0))
        port: int = self._socket.getsockname()[1]
        self._socket.close()
        return port

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "node.log"
    log.configure("info", "m1", "master", path)
    yield lambda: [json.loads(line) for line in path.read_text().splitlines()]
    log.reset()


def bad_files(kind: str, node: Node, directory: Path) -> TlsFiles:
    out = directory / kind
    if kind == "expired":
        return odd_certificate(directory, out, begins=-2 * DAY, ends=timedelta(seconds=-5))
    if kind == "not_yet_valid":
        return odd_certificate(directory, out, begins=DAY, ends=2 * DAY)
    if kind == "other_cluster":
        return odd_certificate(directory, out, uris=["spiffe://elsewhere/admin/odd"])
    if kind == "two_identities":
        return odd_certificate(directory, out, uris=[OURS, "spiffe://testcluster/user/odd"])
    if kind == "nobody":
        return odd_certificate(directory, out, uris=[])
    if kind == "self_signed":
        return odd_certificate(directory, out, self_signed=True)
    if kind == "server_only":
        return odd_certificate(directory, out, usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    if kind == "unknown_ca":
        pki.init_ca(directory / "other", "testcluster")
        return odd_certificate(directory / "other", out)
    node.tls.revoke([pki.describe(Path(node.files["eve"].cert)).serial])
    return node.files["eve"]


def context_of(files: TlsFiles, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca)
    context.load_cert_chain(files.cert, files.key)
    return context


@pytest.mark.parametrize("kind", REASONS)
async def test_the_framed_listener_refuses_and_both_ends_know_why(
    node: Node, tmp_path: Path, lines: Any, kind: str
) -> None:
    reason, told = REASONS[kind]
    files = bad_files(kind, node, tmp_path)
    ours = TlsStore.load(node.files["root"])
    context = context_of(files, node.files["m1"].ca)
    chain = Path(files.cert).read_bytes()
    leaf = x509.load_pem_x509_certificates(chain)[0]
    # As when it was good at the start: a store does not load what is bad by then.
    ours._now = dataclasses.replace(ours._now, client=context, cert_pem=chain, leaf=leaf)
    channel = FramedChannel(node.framed, ours, "master")
    with pytest.raises(PeerUnauthenticated, match=told):
        await channel.unary(PING, dfs_pb2.PingRequest())
    await until(lambda: any(line.get("reason") == reason for line in lines()))
    await channel.close()


@pytest.mark.parametrize("kind", REASONS)
async def test_the_grpc_listener_refuses_and_the_log_says_why(
    node: Node, tmp_path: Path, lines: Any, kind: str
) -> None:
    reason, _ = REASONS[kind]
    counted = refused("grpc")
    files = bad_files(kind, node, tmp_path)
    credentials = grpc.ssl_channel_credentials(
        Path(node.files["m1"].ca).read_bytes(),
        Path(files.key).read_bytes(),
        Path(files.cert).read_bytes(),
    )
    async with grpc.aio.secure_channel(node.grpc, credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(PING)(b"", timeout=10)
    code = caught.value.code()
    if reason in ("cluster", "identity", "revoked"):  # OpenSSL has nothing against these
        assert code == grpc.StatusCode.UNAUTHENTICATED
        assert {"cluster": "this cluster is 'testcluster'", "identity": "exactly one URI"}.get(
            reason, "was revoked"
        ) in str(caught.value.details())
    else:
        assert code == grpc.StatusCode.UNAVAILABLE
    await until(
        lambda: ("grpc", reason) in [(x.get("transport"), x.get("reason")) for x in lines()]
    )
    assert refused("grpc") > counted


def refused(transport: str) -> float:
    metric: Any = metrics().get("rpc_refused_peers_total")
    return sum(
        float(sample.value)
        for family in metric.collect()
        for sample in family.samples
        if sample.labels["transport"] == transport
    )


@pytest.mark.parametrize("kind", REASONS)
async def test_the_https_listener_refuses(node: Node, tmp_path: Path, kind: str) -> None:
    files = bad_files(kind, node, tmp_path)
    context = context_of(files, node.files["m1"].ca)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://{node.https}/metrics", ssl=context) as response,
        ):
            assert response.status == 403
    except (aiohttp.ClientError, ssl.SSLError):
        pass  # in the handshake
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"https://{node.https}/metrics",
            ssl=context_of(node.files["root"], node.files["m1"].ca),
        ) as response,
    ):
        assert response.status == 200


async def test_older_tls_is_refused(node: Node, lines: Any) -> None:
    for address in (node.framed, node.grpc, node.https):
        assert not await speaks_tls_1_2(address, node.files["root"])
    for transport in ("framed", "grpc"):
        said = {"transport": transport, "reason": "tls_version"}
        await until(lambda said=said: any(said.items() <= line.items() for line in lines()))


async def speaks_tls_1_2(address: str, files: TlsFiles) -> bool:
    context = context_of(files, files.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, _, port = address.rpartition(":")
    try:
        await asyncio.open_connection(host, int(port), ssl=context)
    except OSError:
        return False
    return True


async def test_open_connections_end_when_their_certificate_is_revoked(
    node: Node, lines: Any
) -> None:
    eve = TlsStore.load(node.files["eve"])
    channel = FramedChannel(node.framed, eve, "master")
    await channel.unary(PING, dfs_pb2.PingRequest())
    credentials = eve.grpc_channel_credentials()
    async with grpc.aio.secure_channel(node.grpc, credentials) as other:
        await other.unary_unary(PING)(b"", timeout=10)
        node.tls.revoke([f"{eve.leaf.serial_number:x}"])
        for transport in ("framed", "grpc"):
            said = {"transport": transport, "reason": "revoked"}
            await until(lambda said=said: any(said.items() <= line.items() for line in lines()))
        await until(lambda: channel._connection is None or channel._connection.closed)
        with pytest.raises(PeerUnauthenticated, match="revoked"):
            await channel.unary(PING, dfs_pb2.PingRequest())
        details = ""
        async with asyncio.timeout(10):
            while "was revoked" not in details:  # the end of the connection may come first
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await other.unary_unary(PING)(b"", timeout=10)
                details = str(caught.value.details())
    await channel.close()


async def test_who_is_called_is_believed_no_more_when_it_is_revoked(node: Node) -> None:
    root = TlsStore.load(node.files["root"])
    channel = FramedChannel(node.framed, root, "master")
    await channel.unary(PING, dfs_pb2.PingRequest())
    connection = channel._connection
    assert connection is not None
    root.revoke([f"{node.tls.leaf.serial_number:x}"])
    connection.housekeeping(asyncio.get_running_loop().time())
    assert connection.closed
    with pytest.raises(PeerUnauthenticated, match="revoked"):
        await channel.unary(PING, dfs_pb2.PingRequest())
    await channel.close()


async def test_under_a_new_certificate_calls_go_over_a_new_connection(
    node: Node, tmp_path: Path
) -> None:
    root = TlsStore.load(node.files["root"])
    channel = FramedChannel(node.framed, root, "master")
    await channel.unary(PING, dfs_pb2.PingRequest())
    before = channel._connection
    assert before is not None
    for name in (node.files["root"].cert, node.files["root"].key):
        Path(name).unlink()
    make_cluster_certs(tmp_path, {"root": "admin"})
    before.housekeeping(asyncio.get_running_loop().time() + 1)
    assert before.leaving
    await channel.unary(PING, dfs_pb2.PingRequest())
    assert channel._connection is not before
    await channel.close()
