"""Peers that want what is not theirs, against real processes: refused, counted, nothing changed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from pydfsnode.client.event_loop import run
from pydfsnode.client.sync import FileSystem
from pydfsnode.config import TlsFiles
from pydfsnode.errors import (
    CapabilityRefused,
    DomainError,
    PeerUnauthenticated,
    PermissionDenied,
    PydfsError,
)
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import SystemClock
from pydfsnode.security.capability import Operation
from tests.support.capabilities import token
from tests.support.cluster import Cluster, wait_until
from tests.support.hostile import Target, context_of, refusal
from tests.support.odd_certificates import DAY, odd_certificate
from tests.unit.rpc.foreign import REQUEST, Foreign, frame

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CONTENT = b"what nobody else may read. " * 4000
PATH = "/private/file"
HOUR_MS = 3_600_000
NODES = ("m1", "c1")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Cluster(tmp_path_factory.mktemp("hostile") / "dev", masters=1, chunkservers=2) as cluster:
        found = Target(cluster)
        with cluster.connect() as fs:
            fs.makedirs("/private", mode=0o755)
            fs.pipe_file(PATH, CONTENT)
        yield found
        with cluster.connect() as fs:
            assert fs.cat_file(PATH) == CONTENT
            assert [entry.path for entry in fs.ls("/")] == ["/private"]
        assert all(node["alive"] for node in cluster.nodes().values())
        assert_no_secrets(found)


@pytest.fixture(scope="module")
def alice(target: Target) -> TlsFiles:
    return target.issue("user", "alice")


def assert_no_secrets(target: Target) -> None:
    """Nothing that was shown or kept as a secret is in a log or an audit trail."""
    (key,) = chunk_keys(target)
    tokens = [chunk.capability for chunk in target.locate(target.admin, PATH).chunks]
    for node_id in target.nodes:
        log = target.cluster.log(node_id)
        assert "PRIVATE KEY" not in log
        kept = target.trail_bytes(node_id)
        assert b"PRIVATE KEY" not in kept
        for secret in (key, *(found[-16:] for found in tokens)):
            assert secret.hex() not in log
            assert repr(secret)[2:-1] not in log
            assert secret not in kept
            assert secret.hex().encode() not in kept


def chunk_keys(target: Target) -> list[bytes]:
    """What chunkservers have, by a stolen certificate of one."""
    answer = target.call(
        target.files_of("c1"), "m1", "/pydfs.v1.Fleet/ChunkKeys", pb.ChunkKeysRequest()
    )
    return [bytes(key.key) for key in answer.keys]


# ---- who may call what


WRONG_ROLE: list[tuple[str, str, str, Any]] = [
    ("alice", "m1", "/pydfs.v1.Raft/Hello", pb.HelloRequest(node_id="m1")),
    ("alice", "m1", "/pydfs.v1.Raft/Stream", pb.RaftPacket()),
    ("alice", "m1", "/pydfs.v1.Raft/InstallSnapshot", pb.SnapshotPacket()),
    ("alice", "m1", "/pydfs.v1.Fleet/Heartbeat", pb.HeartbeatRequest()),
    ("alice", "m1", "/pydfs.v1.Fleet/ChunkKeys", pb.ChunkKeysRequest()),
    ("alice", "m1", "/pydfs.v1.Cluster/SetSafeMode", pb.SetSafeModeRequest(on=True)),
    ("alice", "m1", "/pydfs.v1.Cluster/AddServer", pb.AddServerRequest()),
    ("alice", "m1", "/pydfs.v1.Security/RevokeCertificates", pb.RevokeCertificatesRequest()),
    ("alice", "m1", "/pydfs.v1.Security/Join", pb.JoinRequest()),
    ("c1", "m1", "/pydfs.v1.Raft/Hello", pb.HelloRequest(node_id="m1")),
    ("c1", "m1", "/pydfs.v1.Namespace/Stat", pb.StatRequest(path=PATH)),
    ("c1", "m1", "/pydfs.v1.Namespace/Delete", pb.DeleteRequest(path=PATH)),
    ("c1", "m1", "/pydfs.v1.Namespace/Batch", pb.BatchRequest()),
    ("c1", "c2", "/pydfs.v1.Chunk/SealChunk", pb.SealChunkRequest(chunk_id=1)),
    ("m1", "m1", "/pydfs.v1.Namespace/Delete", pb.DeleteRequest(path=PATH)),
    ("m1", "c1", "/pydfs.v1.Chunk/ReadChunk", pb.ReadChunkRequest(chunk_id=1)),
]


@pytest.mark.parametrize(("who", "node_id", "path", "request_"), WRONG_ROLE)
def test_the_wrong_role(
    target: Target, alice: TlsFiles, who: str, node_id: str, path: str, request_: Any
) -> None:
    files = alice if who == "alice" else target.files_of(who)
    with target.counts(node_id, "rpc_refused_peers_total", reason="role"):
        assert isinstance(refusal(target.call, files, node_id, path, request_), PermissionDenied)
    wait_until("it is told", lambda: path in target.cluster.log(node_id))
    asked = {"user": who, "path": path, "outcome": "role", "denied": True}
    wait_until("it is recorded", lambda: bool(target.audited(node_id, **asked)))


# ---- who gets in


@pytest.mark.parametrize("node_id", NODES)
@pytest.mark.parametrize("kind", ["cluster", "expired", "self_signed", "other_ca"])
def test_the_wrong_certificate(
    target: Target, kind: str, node_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp(kind)
    ours = f"spiffe://{target.cluster_id}/admin/eve"
    uris = ("spiffe://elsewhere/admin/eve",) if kind == "cluster" else (ours,)
    authority = target.authority
    if kind == "other_ca":
        authority = place / "ca"
        target.cluster.run("certs", "init", "--dir", authority, "--cluster-id", target.cluster_id)
    files = odd_certificate(
        authority, place / "odd", uris=uris, self_signed=kind == "self_signed",
        ends=-timedelta(hours=1) if kind == "expired" else DAY,
    )  # fmt: skip
    files = TlsFiles(target.admin.ca, files.cert, files.key)
    with target.counts(node_id, "rpc_refused_peers_total"):
        assert ends_at_once(target, files, node_id)


def ends_at_once(target: Target, files: TlsFiles, node_id: str) -> bool:
    """Whether a plain TLS peer with *files* gets no answer to a Ping but the end."""

    async def knock() -> bool:
        try:
            peer = await Foreign.connect(target.nodes[node_id]["listen"], files)
            await peer.write(frame(1, REQUEST, 0, b"\n\rpydfs.v1.Node\x12\x04Ping"))
            return await peer.ended()
        except (ConnectionError, ssl.SSLError, EOFError):
            return True

    return run(knock())


def test_a_revoked_certificate(target: Target) -> None:
    mallory = target.issue("user", "mallory")
    stat = ("m1", "/pydfs.v1.Namespace/Stat", pb.StatRequest(path=PATH))
    target.call(mallory, *stat)
    target.cluster.run("certs", "revoke", mallory.cert, "--reason", "stolen")
    for node_id in NODES:
        wait_until(
            "it is known everywhere",
            lambda node=node_id: is_refused(target, mallory, node),  # type: ignore[misc]
        )
        with target.counts(node_id, "rpc_refused_peers_total", reason="revoked"):
            assert ends_at_once(target, mallory, node_id)


def is_refused(target: Target, files: TlsFiles, node_id: str) -> bool:
    try:
        target.call(files, node_id, "/pydfs.v1.Node/Ping", pb.PingRequest())
    except PeerUnauthenticated:
        return True
    return False


@pytest.mark.parametrize("listener", ["listen", "grpc_listen", "http_listen"])
@pytest.mark.parametrize("node_id", NODES)
def test_tls_1_2_is_not_spoken(
    target: Target, alice: TlsFiles, node_id: str, listener: str
) -> None:
    context = context_of(alice, target.admin.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, _, port = target.nodes[node_id][listener].rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain) as tls,
    ):
        tls.recv(1)


# ---- broken input


BROKEN = {
    "oversized": frame(1, REQUEST, 0)[4:].rjust(10, b"\x7f"),
    "response": frame(1, 2, 0, b"x"),
    "even stream": frame(2, REQUEST, 0, b"x"),
    "no protobuf": frame(1, REQUEST, 0, b"\xff" * 40),
    "data before a request": frame(1, 3, 0, b"x"),
    "noise": os.urandom(4096),
}


@pytest.mark.parametrize("node_id", NODES)
@pytest.mark.parametrize("broken", BROKEN)
def test_broken_frames(target: Target, alice: TlsFiles, node_id: str, broken: str) -> None:
    async def send() -> bool:
        peer = await Foreign.connect(target.nodes[node_id]["listen"], alice)
        await peer.write(BROKEN[broken])
        return await peer.ended()

    with target.counts(node_id, "rpc_protocol_errors_total"):
        assert run(send())


@pytest.mark.parametrize("node_id", NODES)
def test_a_frame_that_is_cut(target: Target, alice: TlsFiles, node_id: str) -> None:
    async def send() -> None:
        peer = await Foreign.connect(target.nodes[node_id]["listen"], alice)
        await peer.write(frame(1, REQUEST, 0, b"x" * 1000)[:500])
        peer.writer.close()
        assert await peer.ended()

    with target.counts(node_id, "rpc_protocol_errors_total", kind="frame"):
        run(send())


# ---- chunks


def tokens(target: Target, chunk: pb.ChunkLocation) -> dict[str, bytes]:
    """By the reason of the refusal; all but the first three are really made by our key."""
    (key,) = chunk_keys(target)
    good, read = chunk.capability, int(Operation.READ)
    ids = ("alice", chunk.chunk_id, chunk.version)
    old_ms = SystemClock().wall_ms() - HOUR_MS
    return {
        "missing": b"",
        "forged": good[:-1] + bytes([good[-1] ^ 1]),
        "malformed": good[:20],
        "expired": token(*ids, read, key=key, now_ms=old_ms),
        "chunk": token("alice", chunk.chunk_id + 1, chunk.version, read, key=key),
        "version": token("alice", chunk.chunk_id, chunk.version + 1, read, key=key),
        "operation": token(*ids, int(Operation.END), key=key),
        "user": target.locate(target.admin, PATH).chunks[0].capability,
    }


def test_the_wrong_capability(target: Target, alice: TlsFiles) -> None:
    (chunk,) = target.locate(alice, PATH).chunks
    request = pb.ReadChunkRequest(
        chunk_id=chunk.chunk_id, version=chunk.version, length=chunk.length,
        capability=chunk.capability,
    )  # fmt: skip
    assert target.call(alice, "c1", "/pydfs.v1.Chunk/ReadChunk", request), "it is a good one"
    shown = tokens(target, chunk)
    for reason, capability in shown.items():
        request.capability = capability
        with target.counts("c1", "chunk_refused_capabilities_total", refusal=reason):
            error = refusal(target.call, alice, "c1", "/pydfs.v1.Chunk/ReadChunk", request)
        assert isinstance(error, CapabilityRefused), reason
        assert error.fields["reason"] == reason
    asked = {"path": f"chunk:{chunk.chunk_id}", "denied": True, "cmd": "readBlock"}
    wait_until("all is recorded", lambda: len(target.audited("c1", **asked)) == len(shown))
    found = target.audited("c1", **asked)
    assert [json.loads(record.detail)["reason"] for record in found] == list(shown)
    assert {(record.user, record.ip) for record in found} == {("alice", "127.0.0.1")}
    kept = target.trail_bytes("c1")
    for capability in filter(None, shown.values()):
        assert capability[-16:] not in kept
        assert capability[-16:].hex().encode() not in kept


def test_a_reader_neither_writes_nor_ends_nor_copies(target: Target, alice: TlsFiles) -> None:
    (chunk,) = target.locate(alice, PATH).chunks
    seal = pb.SealChunkRequest(
        chunk_id=chunk.chunk_id, version=chunk.version, capability=chunk.capability,
        new_version=chunk.version + 1, length=1, epoch=current_epoch(target),
    )  # fmt: skip
    opening = pb.WriteChunkOpen(
        chunk_id=chunk.chunk_id, version=chunk.version, capability=chunk.capability,
        epoch=current_epoch(target),
    )  # fmt: skip
    write = pb.WriteChunkPacket(open=opening)
    for path, request in (
        ("/pydfs.v1.Chunk/SealChunk", seal),
        ("/pydfs.v1.Chunk/WriteChunk", write),
    ):
        assert isinstance(refusal(target.call, alice, "c1", path, request), CapabilityRefused)
    (key,) = chunk_keys(target)
    own = token("alice", 1 << 40, key=key)
    base = pb.ChunkBase(
        chunk_id=chunk.chunk_id, version=chunk.version, length=chunk.length, crc32c=chunk.crc32c
    )
    opening = pb.WriteChunkOpen(
        chunk_id=1 << 40, version=1, capability=own, base=base, epoch=current_epoch(target)
    )
    stolen = pb.WriteChunkPacket(open=opening)
    error = refusal(target.call, alice, "c1", "/pydfs.v1.Chunk/WriteChunk", stolen)
    assert isinstance(error, CapabilityRefused)


def current_epoch(target: Target) -> int:
    return int(target.cluster.status()["term"])


def test_a_user_gets_no_capability_for_what_he_may_not_read(
    target: Target, alice: TlsFiles
) -> None:
    target.cluster.run("fs", "chmod", "600", PATH)
    error = refusal(target.locate, alice, PATH)
    target.cluster.run("fs", "chmod", "644", PATH)
    assert isinstance(error, PydfsError)
    assert "denied" in str(error).lower() or "may not" in str(error).lower()


# ---- paths


TRICKS = (
    "/private/../private/file", "/private/./file", "//private//..//etc", "../etc/passwd", "",
    "/private/file\0", "/private/" + "x" * 10_000, "/" + "/".join("y" * 20 for _ in range(2000)),
    "/private/..", "/.snapshot/../private", "/private/fi\nle",
)  # fmt: skip


@pytest.mark.parametrize("path", TRICKS, ids=range(len(TRICKS)))
def test_path_tricks_reach_nothing(target: Target, alice: TlsFiles, path: str) -> None:
    op = pb.OpId(client_id=99, seq=TRICKS.index(path) + 1, first_unacked=1)
    for method, request in (
        ("Locate", pb.LocateRequest(path=path)),
        ("Create", pb.CreateRequest(path=path, op=op, content=b"x")),
    ):
        error = refusal(target.call, alice, "m1", f"/pydfs.v1.Namespace/{method}", request)
        assert isinstance(error, DomainError)


PAGES = ("/../../etc/passwd", "/metrics/../metrics", "//metrics", "/health/../metrics",
         "/raft/state", "/%2e%2e/metrics")  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("node_id", NODES)
def test_pages_are_for_members(target: Target, node_id: str, path: str) -> None:
    assert target.https(node_id, path)[0] in (400, 403, 404)


# ---- slow and many


def test_good_clients_are_served_beside_a_flood(target: Target, capsys: Any) -> None:
    """Silent sockets, handshakes that stop, garbage: the p99 of a good client is printed."""
    alone = p99_ms(target, seconds=3)
    with target.counts("m1", "rpc_refused_peers_total", least=20, reason="handshake"):
        beside = run(flooded(target))
    with capsys.disabled():
        print(f"\ngood client, stat p99: {alone:.1f} ms alone, {beside:.1f} ms beside the flood")
    assert beside < max(1000.0, 50 * alone)


async def flooded(target: Target) -> float:
    host, _, port = target.nodes["m1"]["listen"].rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(300)]
    stop = asyncio.Event()

    async def garbage() -> None:
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"\x16\x03\x01" + os.urandom(200))
                await reader.read()
                writer.close()
            except OSError:
                continue

    floods = [asyncio.ensure_future(garbage()) for _ in range(8)]
    try:
        return await asyncio.to_thread(p99_ms, target, 5)
    finally:
        stop.set()
        await asyncio.gather(*floods)
        for _, writer in silent:
            writer.transport.abort()


def p99_ms(target: Target, seconds: float) -> float:
    """Of stats of a good client who connects anew every now and then."""
    took: list[float] = []
    end = monotonic() + seconds
    while monotonic() < end:
        with FileSystem.connect(target.cluster.directory / "client.toml") as fs:
            for _ in range(50):
                begun = monotonic()
                fs.info(PATH)
                took.append((monotonic() - begun) * 1000)
    return sorted(took)[len(took) * 99 // 100]
