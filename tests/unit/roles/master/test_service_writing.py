"""The Namespace service's side of small files, leases and op ids."""

from __future__ import annotations

from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument, LeaseExpired
from pydfsnode.meta import ops
from pydfsnode.roles.master.service.namespace import SERVICE
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.unit.client.fakes import ANN, FakeCluster

CONTEXT = CallContext(ANN, METHODS[f"{SERVICE}Stat"])


class Service:
    """Asks the service as a client of another make would; `seq` of the last request."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.handlers: Any = cluster.service.handlers()
        self.seq = 0

    async def ask(self, name: str, request: Any, client_id: int = 7) -> Any:
        self.seq += 1
        request.op.client_id, request.op.seq = client_id, self.seq
        return await self.again(name, request)

    async def again(self, name: str, request: Any) -> Any:
        return await self.handlers[SERVICE + name](request, CONTEXT)


@pytest.fixture
def service() -> Service:
    return Service(FakeCluster(limits.CHUNK_BYTES_MIN, inline_total_bytes_max=100))


def proposed(service: Service) -> type:
    return type(service.cluster.consensus.proposed[-1])


@pytest.mark.parametrize("size", [0, 1, 100])
async def test_a_content_is_stored_with_the_creation(service: Service, size: int) -> None:
    request = pb.CreateRequest(path="/f", content=b"x" * size)
    status = (await service.ask("Create", request)).status
    assert proposed(service) is ops.CreateInline
    assert (status.size, status.under_construction, status.inline) == (size, False, size > 0)


async def test_without_a_content_a_file_is_opened(service: Service) -> None:
    assert (await service.ask("Create", pb.CreateRequest(path="/f"))).status.under_construction
    assert proposed(service) is ops.Create


async def test_a_file_is_opened_with_its_first_chunk_when_that_is_asked_for(
    service: Service,
) -> None:
    request = pb.CreateRequest(path="/f", replication=2, allocate=True)
    created = await service.ask("Create", request)
    assert proposed(service) is ops.CreateChunked
    assert created.status.under_construction
    assert (created.chunk.chunk_id, created.chunk.version, created.chunk.epoch) == (1, 1, 7)
    assert [target.node_id for target in created.chunk.targets] == ["c1", "c2"]
    done = pb.ChunkDone(chunk_id=1, version=1, length=5, crc32c=9)
    closed = await service.ask(
        "Complete", pb.CompleteRequest(inode_id=created.status.inode_id, last=done)
    )
    assert closed.status.size == 5


@pytest.mark.parametrize("lost", ["first", "again"])
async def test_a_creation_asked_for_twice_has_the_chunk_of_the_first_time(
    service: Service, lost: str
) -> None:
    fleet = service.cluster.fleet
    servers = fleet.servers
    request = pb.CreateRequest(path="/f", allocate=True)
    fleet.servers = [] if lost == "first" else servers
    first = await service.ask("Create", request)
    fleet.servers = servers if lost == "first" else []
    again = await service.again("Create", request)
    assert first.HasField("chunk") is again.HasField("chunk") is (lost == "again")
    assert first.chunk == again.chunk


async def test_on_fewer_servers_than_the_least_no_chunk_is_begun(service: Service) -> None:
    service.cluster.allocation._min_replicas = 2
    service.cluster.fleet.servers = ["c1"]
    created = await service.ask("Create", pb.CreateRequest(path="/f", allocate=True))
    assert proposed(service) is ops.Create
    assert not created.HasField("chunk")


@pytest.mark.parametrize("size", [101, limits.INLINE_BYTES_MAX + 1])
async def test_a_content_beyond_what_the_masters_keep_opens_the_file(
    service: Service, size: int
) -> None:
    request = pb.CreateRequest(path="/f", content=b"x" * size)
    assert (await service.ask("Create", request)).status.under_construction
    assert proposed(service) is ops.Create


async def test_an_empty_file_is_closed_at_once_whatever_the_masters_keep(service: Service) -> None:
    service.cluster.namespace.tree.inline.total_bytes = 1000
    await service.ask("Create", pb.CreateRequest(path="/f", content=b""))
    assert proposed(service) is ops.CreateInline


async def test_contents_that_are_deleted_make_room(service: Service) -> None:
    for path in ("/a", "/b"):
        await service.ask("Create", pb.CreateRequest(path=path, content=b"x" * 60))
    assert proposed(service) is ops.Create
    await service.ask("Delete", pb.DeleteRequest(path="/a"))
    await service.ask("Create", pb.CreateRequest(path="/c", content=b"x" * 60))
    assert proposed(service) is ops.CreateInline


@pytest.mark.parametrize(
    "request_",
    [
        pb.CreateRequest(path="/f"),
        pb.CreateRequest(path="/f", content=b"hello"),
        pb.CreateRequest(path="/f", allocate=True),
    ],
)
async def test_every_answer_to_a_creation_says_who_leads(
    service: Service, request_: pb.CreateRequest
) -> None:
    answer = await service.ask("Create", request_)
    assert answer.status.path == "/f"
    assert answer.leader_hint == service.cluster.consensus.leader_hint
    begun = answer.chunk
    if not request_.allocate and not request_.HasField("content"):
        opened = pb.AllocateChunkRequest(inode_id=answer.status.inode_id)
        begun = await service.ask("AllocateChunk", opened)
    assert begun.leader_hint == (answer.leader_hint if begun.chunk_id else "")


async def test_a_creation_asked_again_gets_the_first_answer(service: Service) -> None:
    request = pb.CreateRequest(path="/f", content=b"x")
    first = await service.ask("Create", request)
    assert await service.again("Create", request) == first


async def test_an_appender_gets_the_content_and_again_when_asked_again(service: Service) -> None:
    await service.ask("Create", pb.CreateRequest(path="/f", content=b"content"))
    request = pb.AppendRequest(path="/f")
    answer = await service.ask("Append", request)
    assert (answer.inline_content, answer.status.under_construction) == (b"content", True)
    assert await service.again("Append", request) == answer


async def test_who_asks_again_after_the_file_is_gone_is_told_so(service: Service) -> None:
    await service.ask("Create", pb.CreateRequest(path="/f", content=b"content"))
    request = pb.AppendRequest(path="/f")
    await service.ask("Append", request)
    await service.ask("Delete", pb.DeleteRequest(path="/f"), client_id=8)
    with pytest.raises(LeaseExpired, match="/f"):
        await service.again("Append", request)


async def test_the_content_comes_with_the_location(service: Service) -> None:
    await service.ask("Create", pb.CreateRequest(path="/f", content=b"content"))
    located = await service.again("Locate", pb.LocateRequest(path="/f"))
    (chunk,) = located.chunks
    assert (chunk.version, chunk.length, chunk.inline_content) == (0, 7, b"content")
    assert not chunk.replicas


async def test_only_the_holder_is_told_that_its_content_is_not_kept(service: Service) -> None:
    opened = await service.ask("Create", pb.CreateRequest(path="/f"))
    request = pb.CompleteInlineRequest(inode_id=opened.status.inode_id, content=b"x" * 101)
    answer = await service.ask("CompleteInline", request)
    assert answer.status.under_construction
    assert proposed(service) is ops.Create, "nothing was proposed"
    with pytest.raises(LeaseExpired):
        await service.ask("CompleteInline", request, client_id=8)


async def test_a_lease_is_renewed_and_a_file_recovered(service: Service) -> None:
    await service.ask("Create", pb.CreateRequest(path="/f"))
    await service.ask("RenewLease", pb.RenewLeaseRequest())
    assert proposed(service) is ops.RenewLease
    answer = await service.ask("RecoverLease", pb.RecoverLeaseRequest(path="/f"), client_id=8)
    assert not answer.status.under_construction


async def test_a_mutation_without_an_op_id_is_refused(service: Service) -> None:
    for op in (pb.OpId(), pb.OpId(client_id=7), pb.OpId(seq=1)):
        with pytest.raises(InvalidArgument, match="op id"):
            await service.again("RenewLease", pb.RenewLeaseRequest(op=op))


async def test_a_search_for_an_unknown_type_is_refused(service: Service) -> None:
    request = pb.FindRequest(path="/", type=9)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="node type 9"):
        await service.again("Find", request)


async def test_a_new_chunk_says_how_long_it_gets(service: Service) -> None:
    asked = pb.CreateRequest(path="/f", chunk_bytes=2 * limits.CHUNK_BYTES_MIN)
    inode_id = (await service.ask("Create", asked)).status.inode_id
    answer = await service.ask("AllocateChunk", pb.AllocateChunkRequest(inode_id=inode_id))
    assert answer.chunk_bytes == 2 * limits.CHUNK_BYTES_MIN
