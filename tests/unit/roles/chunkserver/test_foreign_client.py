"""A client in another language writes and reads a chunk with plain generated gRPC stubs."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc

from pydfsnode._fast import crc32c
from pydfsnode.limits import MIB
from pydfsnode.rpc.chunk_packets import make_packet, parse_packet
from pydfsnode.rpc.grpc_server import GrpcServer
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.pb import dfs_pb2_grpc
from tests.support.certs import make_cluster_certs
from tests.support.chunkservers import EPOCH, chunk_cluster

CONTENT = (bytes(range(251)) * (3 * MIB // 251))[: 2 * MIB + 77]


def _messages() -> Iterator[pb.WriteChunkPacket]:
    yield pb.WriteChunkPacket(open=pb.WriteChunkOpen(chunk_id=7, version=1, epoch=EPOCH))
    for start in range(0, len(CONTENT), MIB):
        yield pb.WriteChunkPacket(data=b"".join(make_packet(start, CONTENT[start : start + MIB])))


async def _iterate(messages: Iterator[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def test_plain_stubs_write_and_read_a_chunk(tmp_path: Path) -> None:
    async with chunk_cluster(tmp_path, 1) as cluster:
        files = make_cluster_certs(tmp_path / "certs", {"bob": "user"})["bob"]
        credentials = grpc.ssl_channel_credentials(
            *(Path(path).read_bytes() for path in (files.ca, files.key, files.cert))
        )
        server = GrpcServer(cluster["c1"].service.handlers(), cluster["c1"].tls, "chunkserver")
        address = await server.start("127.0.0.1:0")
        async with grpc.aio.secure_channel(address, credentials) as channel:
            stub = dfs_pb2_grpc.ChunkStub(channel)
            acks = [ack async for ack in stub.WriteChunk(_iterate(_messages()))]
            assert (acks[-1].durable, acks[-1].crc32c) == (True, crc32c(CONTENT))
            request = pb.ReadChunkRequest(chunk_id=7, version=1, offset=5, length=MIB)
            found = [parse_packet(packet.data) async for packet in stub.ReadChunk(request)]
        await server.stop(100)
    assert found[0][0] == 5
    assert b"".join(view for _, view in found) == CONTENT[5 : 5 + MIB]
