"""Real connections on loopback while certificates and CAs change, on both event loops and gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop

from pydfsnode.config import TlsFiles
from pydfsnode.errors import PeerUnauthenticated
from pydfsnode.rpc.grpc_server import GrpcServer
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.security.tls import TlsStore
from tests.support.certs import make_cluster_certs

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
NewLoop = Callable[[], asyncio.AbstractEventLoop]
REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


@dataclass
class World:
    """One cluster with an old and a new CA; `m1` at first trusts the old one only."""

    old: dict[str, TlsFiles]
    new: dict[str, TlsFiles]
    old_ca: bytes
    new_ca: bytes
    m1: TlsStore

    def m1_trusts(self, ca: bytes, cert_from: dict[str, TlsFiles] | None = None) -> None:
        files = self.m1.files
        Path(files.ca).write_bytes(ca)
        if cert_from is not None:
            Path(files.cert).write_bytes(Path(cert_from["m1"].cert).read_bytes())
            Path(files.key).write_bytes(Path(cert_from["m1"].key).read_bytes())
        self.m1.reload()


@pytest.fixture
def world(tmp_path: Path) -> World:
    names = {"m1": "master", "alice": "user"}
    old = make_cluster_certs(tmp_path / "old", names)
    new = make_cluster_certs(tmp_path / "new", names)
    old_ca, new_ca = Path(old["m1"].ca).read_bytes(), Path(new["m1"].ca).read_bytes()
    both = tmp_path / "both.crt"
    both.write_bytes(old_ca + new_ca)
    for files in (old, new):
        alice = files["alice"]
        files["alice"] = TlsFiles(ca=str(both), cert=alice.cert, key=alice.key)
    serving = {}
    for field in ("ca", "cert", "key"):
        path = tmp_path / f"serving.{field}"
        path.touch(mode=0o600)
        path.write_bytes(Path(getattr(old["m1"], field)).read_bytes())
        serving[field] = str(path)
    return World(old, new, old_ca, new_ca, TlsStore.load(TlsFiles(**serving)))


@contextlib.asynccontextmanager
async def echo_server(store: TlsStore, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Answers each line with who sent it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                try:
                    answer = store.peer_of(writer.get_extra_info("ssl_object")).uri
                except PeerUnauthenticated as error:
                    answer = str(error.fields["found"])
                writer.write(f"{answer}\n".encode())
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Caller:
    """A connection that can ask more than once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext, name: str | None = None) -> Caller:
        return cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name or ""
            )
        )

    async def ask(self) -> str:
        self.writer.write(b"?\n")
        line = await self.reader.readuntil(b"\n")
        return line.decode().strip()

    def served_by(self) -> bytes:
        certificate: bytes = self.writer.get_extra_info("ssl_object").getpeercert(True)
        return certificate

    def close(self) -> None:
        self.writer.transport.abort()


async def ask_once(port: int, context: ssl.SSLContext) -> str:
    caller = await Caller.connect(port, context)
    try:
        return await caller.ask()
    finally:
        caller.close()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_rotation_reaches_new_connections_and_leaves_open_ones_alone(
    world: World, new_loop: NewLoop
) -> None:
    async def rotate() -> None:
        alice_old = TlsStore.load(world.old["alice"]).client_context()
        alice_new = TlsStore.load(world.new["alice"]).client_context()
        async with echo_server(world.m1, world.m1.server_context()) as port:
            open_caller = await Caller.connect(port, alice_old)
            assert await open_caller.ask() == "spiffe://testcluster/user/alice"
            first = open_caller.served_by()
            with pytest.raises(REFUSED):
                await ask_once(port, alice_new)

            world.m1_trusts(world.old_ca + world.new_ca)  # the overlap: both are let in
            assert await ask_once(port, alice_old) == "spiffe://testcluster/user/alice"
            assert await ask_once(port, alice_new) == "spiffe://testcluster/user/alice"

            world.m1_trusts(world.new_ca, cert_from=world.new)  # the old CA is taken away
            caller = await Caller.connect(port, alice_new)
            assert await caller.ask() == "spiffe://testcluster/user/alice"
            assert caller.served_by() != first
            with pytest.raises(REFUSED):
                await ask_once(port, alice_old)

            assert await open_caller.ask() == "spiffe://testcluster/user/alice"
            caller.close()
            open_caller.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(rotate(), 20))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_server_name_makes_no_difference(world: World, new_loop: NewLoop) -> None:
    async def connect() -> None:
        context = TlsStore.load(world.old["alice"]).client_context()
        async with echo_server(world.m1, world.m1.server_context()) as port:
            caller = await Caller.connect(port, context, name="localhost")
            assert await caller.ask() == "spiffe://testcluster/user/alice"
            caller.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(connect(), 20))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_without_a_certificate_only_the_https_context_lets_one_in(
    world: World, new_loop: NewLoop
) -> None:
    async def connect() -> None:
        anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anonymous.check_hostname = False
        anonymous.load_verify_locations(world.old["m1"].ca)
        stranger = TlsStore.load(world.new["alice"]).client_context()
        async with echo_server(world.m1, world.m1.server_context()) as port:
            with pytest.raises(REFUSED):
                await ask_once(port, anonymous)
        async with echo_server(world.m1, world.m1.https_context()) as port:
            assert await ask_once(port, anonymous) == "no certificate"
            with pytest.raises(REFUSED):
                await ask_once(port, stranger)  # shown and not valid is worse than none
            world.m1_trusts(world.old_ca + world.new_ca)
            assert await ask_once(port, stranger) == "spiffe://testcluster/user/alice"
            assert await ask_once(port, anonymous) == "no certificate"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(connect(), 20))


def test_a_client_refuses_a_server_of_a_ca_it_does_not_know(world: World) -> None:
    async def connect() -> None:
        async with echo_server(world.m1, world.m1.server_context()) as port:
            alice = world.new["alice"]
            only_new = TlsFiles(ca=world.new["m1"].ca, cert=alice.cert, key=alice.key)
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask_once(port, TlsStore.load(only_new).client_context())

    asyncio.run(asyncio.wait_for(connect(), 20))


def test_a_peer_that_only_speaks_tls_12_is_refused(world: World) -> None:
    async def connect() -> None:
        alice = world.old["alice"]
        older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        older.check_hostname = False
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        older.load_verify_locations(alice.ca)
        older.load_cert_chain(alice.cert, alice.key)
        async with echo_server(world.m1, world.m1.server_context()) as port:
            with pytest.raises(REFUSED):
                await ask_once(port, older)

    asyncio.run(asyncio.wait_for(connect(), 20))


def test_no_session_ticket_lets_a_client_of_a_removed_ca_back_in(world: World) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    context = world.m1.server_context()

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(connection, True) as secure:
                secure.sendall(b"hello" + secure.recv(1))

    server = threading.Thread(target=serve)
    server.start()
    alice = TlsStore.load(world.old["alice"]).client_context()
    try:
        answer, session = ask_blocking(listener, alice, None)
        assert answer == b"hello!"
        assert session is None or not session.has_ticket
        world.m1_trusts(world.new_ca, cert_from=world.new)
        with pytest.raises(REFUSED):
            ask_blocking(listener, alice, session)
    finally:
        server.join()
        listener.close()


def ask_blocking(
    listener: socket.socket, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[bytes, ssl.SSLSession | None]:
    with (
        socket.create_connection(listener.getsockname(), timeout=10) as plain,
        context.wrap_socket(plain, session=session) as secure,
    ):
        secure.sendall(b"!")
        answer = secure.recv(6)
        if not answer:
            raise ConnectionResetError
        return answer, secure.session


async def test_a_grpc_server_follows_reload_and_knows_its_callers(world: World) -> None:
    async def who(_: Any, call: Any) -> Any:
        return dfs_pb2.PingResponse(payload=call.identity.uri.encode())

    async def ask(files: TlsFiles, address: str) -> bytes:
        credentials = TlsStore.load(files).grpc_channel_credentials()
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            answer: bytes = await channel.unary_unary("/pydfs.v1.Node/Ping")(b"", timeout=10)
            return dfs_pb2.PingResponse.FromString(answer).payload

    server = GrpcServer({"/pydfs.v1.Node/Ping": who}, world.m1, "master")
    port = await server.start("127.0.0.1:0")
    try:
        assert await ask(world.old["alice"], port) == b"spiffe://testcluster/user/alice"
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(world.new["alice"], port)
        world.m1_trusts(world.new_ca, cert_from=world.new)
        assert await ask(world.new["alice"], port) == b"spiffe://testcluster/user/alice"
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(world.old["alice"], port)
    finally:
        await server.stop(0)
