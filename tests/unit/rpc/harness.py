"""Certificates, handlers, servers and clients of both transports for the tests of rpc."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pydfsnode import limits
from pydfsnode.config import TlsFiles
from pydfsnode.obs.metrics import metrics
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.framed_server import FramedServer
from pydfsnode.rpc.grpc_server import ERROR_KEY, GrpcServer
from pydfsnode.rpc.methods import Shape
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.rpc.server import Handler, join_buffers
from pydfsnode.rpc.status import error_from_status
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

PING = "/pydfs.v1.Node/Ping"
STAT = "/pydfs.v1.Namespace/Stat"
CREATE = "/pydfs.v1.Namespace/Create"
WRITE = "/pydfs.v1.Chunk/WriteChunk"
READ = "/pydfs.v1.Chunk/ReadChunk"
RAFT = "/pydfs.v1.Raft/Stream"

NAMES = {
    "cs1": "chunkserver", "m1": "master", "m2": "master", "m3": "master", "alice": "user",
    "root": "admin", "gw1": "gateway",
}  # fmt: skip


class World:
    """One cluster's certificates, and peers that must not get in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = make_cluster_certs(directory, NAMES)
        self.strange_files = make_cluster_certs(
            directory / "other", {"eve": "admin"}, cluster_id="other"
        )
        self.files["mallory"] = _other_cluster_same_ca(directory)

    def tls(self, name: str) -> TlsStore:
        """The store of *name*."""
        return TlsStore.load(self.files[name])


def _other_cluster_same_ca(directory: Path) -> TlsFiles:
    """A certificate signed by our CA whose URI names another cluster."""
    ca = x509.load_pem_x509_certificate((directory / "issuing.crt").read_bytes())
    ca_key = serialization.load_pem_private_key((directory / "issuing.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    like = x509.load_pem_x509_certificate((directory / "root.crt").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(like.subject)
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_before_utc + datetime.timedelta(days=1))
    )
    for extension in like.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectAlternativeName):
            uri = x509.UniformResourceIdentifier("spiffe://elsewhere/admin/mallory")
            value = x509.SubjectAlternativeName([uri])
        elif isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, extension.critical)
    cert_path, key_path = directory / "mallory.crt", directory / "mallory.key"
    cert_path.write_bytes(
        builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + ca.public_bytes(serialization.Encoding.PEM)
    )
    key_path.touch(0o600)
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return TlsFiles(ca=str(directory / "ca.crt"), cert=str(cert_path), key=str(key_path))


class GrpcStream:
    """`ClientStream`'s surface on a gRPC call."""

    def __init__(self, path: str, call: Any, first: Any) -> None:
        self._rpc = rpc_of(path)
        self._call = call
        self._first = first
        self._opened = self._rpc.method.shape is Shape.SERVER_STREAM

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True
            with contextlib.suppress(asyncio.InvalidStateError):  # ended already: `read` says how
                await _rebuilt(self._call.write(self._first.SerializeToString()))

    async def send(self, message: Any) -> None:
        await self._open()
        if self._rpc.method.raw_request:
            message = self._rpc.request(data=join_buffers(message))
        await _rebuilt(self._call.write(message.SerializeToString()))

    async def close_send(self) -> None:
        await self._open()
        await self._call.done_writing()

    async def receive(self) -> Any | None:
        await self._open()
        payload = await _rebuilt(self._call.read())
        if payload is grpc.aio.EOF:
            return None
        message = self._rpc.response.FromString(payload)
        return message.data if self._rpc.method.raw_response else message

    async def cancel(self) -> None:
        self._call.cancel()


class GrpcClient:
    """`FramedChannel`'s surface on a plain gRPC channel."""

    def __init__(self, address: str, tls: TlsStore) -> None:
        self._channel = grpc.aio.secure_channel(
            address,
            tls.grpc_channel_credentials(),
            options=[
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", limits.STREAM_WINDOW_BYTES // 2),
            ],
        )

    async def unary(self, path: str, request: Any, *, timeout_ms: int = 10_000, **sent: str) -> Any:
        call = self._channel.unary_unary(path)(
            request.SerializeToString(),
            timeout=timeout_ms / 1000,
            metadata=[
                (key.replace("request_id", "pydfs-request-id"), v) for key, v in sent.items()
            ],
        )
        return rpc_of(path).response.FromString(await _rebuilt(call))

    def stream(self, path: str, first: Any, *, timeout_ms: int | None = None) -> GrpcStream:
        timeout = None if timeout_ms is None else timeout_ms / 1000
        if rpc_of(path).method.shape is Shape.SERVER_STREAM:
            call = self._channel.unary_stream(path)(first.SerializeToString(), timeout=timeout)
        else:
            call = self._channel.stream_stream(path)(timeout=timeout)
        return GrpcStream(path, call, first)

    async def close(self) -> None:
        await self._channel.close()


async def _rebuilt(awaitable: Any) -> Any:
    try:
        return await awaitable
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        raise error_from_status(
            error.code().value[0], error.details() or "", trailing.get(ERROR_KEY, b"")
        ) from error


class Wire:
    """Servers and clients of one transport, closed together."""

    def __init__(self, transport: str, world: World) -> None:
        self.transport = transport
        self.world = world
        self._servers: list[FramedServer | GrpcServer] = []
        self._clients: list[Any] = []

    async def serve(
        self, handlers: Mapping[str, Handler], name: str = "cs1", **options: Any
    ) -> str:
        """Serve *handlers* as node *name*; returns the address."""
        kind = FramedServer if self.transport == "framed" else GrpcServer
        server = kind(handlers, self.world.tls(name), NAMES[name], **options)
        address = await server.start("127.0.0.1:0")
        self._servers.append(server)
        return address

    @property
    def server(self) -> Any:
        """The server started last."""
        return self._servers[-1]

    def client(self, address: str, name: str = "alice", role: str = "chunkserver") -> Any:
        """A client with the certificate of *name*."""
        tls = self.world.tls(name)
        made = (
            FramedChannel(address, tls, role)
            if self.transport == "framed"
            else GrpcClient(address, tls)
        )
        self._clients.append(made)
        return made

    async def close(self) -> None:
        """End clients, then servers."""
        for client in self._clients:
            await client.close()
        for server in self._servers:
            await server.stop(1000)


async def opened(wire: Wire) -> AsyncIterator[Wire]:
    """Body of a fixture around *wire*."""
    try:
        yield wire
    finally:
        await wire.close()


def counter(name: str, *labels: str) -> float:
    """The present value of a counter or gauge."""
    row = metrics().get(name)
    child: Any = row.labels(*labels) if labels else row
    return float(child._value.get())


async def until(condition: Any) -> None:
    """Let the loop turn until *condition* holds; the test's own timeout bounds it."""
    async with asyncio.timeout(10):
        while not condition():  # there is no event for what the other end has seen
            await asyncio.sleep(0)
