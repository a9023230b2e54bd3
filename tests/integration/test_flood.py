"""Clients that send far more than the masters take: right answers or Overloaded, bounded memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from pydfsnode import limits
from pydfsnode.client import wire_batch
from pydfsnode.client.event_loop import run
from pydfsnode.client.session import new_client_id
from pydfsnode.config import load_client_config
from pydfsnode.errors import Overloaded
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.proposals import QUEUED_PROPOSALS_MAX
from pydfsnode.security.tls import TlsStore
from tests.support.load import NamespaceLoad, check_exactly_once
from tests.support.process_memory import forget_peak, peak_bytes, resident_bytes
from tests.support.raft_processes import RaftCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CREATE, LIST = "/pydfs.v1.Namespace/Create", "/pydfs.v1.Namespace/List"
BATCH = "/pydfs.v1.Namespace/Batch"
CONNECTIONS = 6
BATCHES = 2 * QUEUED_PROPOSALS_MAX // CONNECTIONS // limits.BATCH_ITEMS_MAX
"""A connection sends so many at once: all together twice what may wait for the log."""
LISTED = 1000
LISTS = 3000
"""Their answers together are of some 300 MB."""
GROWTH_BYTES_MAX = 200 * limits.MIB
TIMEOUT_MS = 300_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaftCluster]:
    with RaftCluster(tmp_path_factory.mktemp("flood") / "dev") as cluster:
        yield cluster


class Connections:
    """Connections to the leader without the window of the client library."""

    def __init__(self, cluster: RaftCluster, count: int) -> None:
        leader = cluster.leading()
        tls = TlsStore.load(load_client_config(cluster.config).tls)
        address = cluster.listen(leader)
        self.channels = [FramedChannel(address, tls, "master", leader) for _ in range(count)]

    async def __aenter__(self) -> list[FramedChannel]:
        return self.channels

    async def __aexit__(self, *_: object) -> None:
        for channel in self.channels:
            await channel.close()


def names_of(cluster: RaftCluster, path: str) -> set[str]:
    with cluster.connect() as fs:
        return {info.path for info in fs.ls(path)}


async def create_many(channel: FramedChannel, directory: str) -> tuple[set[str], int]:
    """Which files one message of creates made, and how many were refused."""
    paths = [f"{directory}/{number}" for number in range(limits.BATCH_ITEMS_MAX)]
    client_id = new_client_id()
    requests = []
    for seq, path in enumerate(paths, 1):
        op = pb.OpId(client_id=client_id, seq=seq, first_unacked=1)
        request = pb.CreateRequest(op=op, path=path, create_parents=True, content=b"")
        requests.append(request.SerializeToString())
    heads = [wire_batch.head(CREATE)] * len(paths)
    batch = wire_batch.request(heads, requests, 0, len(paths))
    response = await channel.ask(BATCH, batch, timeout_ms=TIMEOUT_MS)
    answers, errors = wire_batch.answers(response, len(paths))
    made, refused = set(), 0
    for position, path in enumerate(paths):
        error = errors.get(position)
        if error is not None:
            assert isinstance(error, Overloaded), error
            assert int(error.fields["retry_after_ms"]) > 0
            refused += 1
        else:
            assert pb.CreateResponse.FromString(answers[position]).status.path == path
            made.add(path)
    return made, refused


def test_writes_past_all_bounds_happen_or_are_refused(cluster: RaftCluster) -> None:
    leader = cluster.leading()
    pids = {name: cluster.process(name).pid for name in cluster.masters()}
    before = {name: resident_bytes(pid) for name, pid in pids.items()}
    made: set[str] = set()
    refused = 0

    async def flood() -> None:
        nonlocal refused
        async with Connections(cluster, CONNECTIONS) as channels:
            for answer in await asyncio.gather(
                *(
                    create_many(channel, f"/flood/{number}-{batch}")
                    for number, channel in enumerate(channels)
                    for batch in range(BATCHES)
                )
            ):
                made.update(answer[0])
                refused += answer[1]

    with NamespaceLoad(cluster.config, "/quiet-writer", workers=1, per_s=None) as quiet:
        quiet.wait_for(10)
        served = len(quiet.writes)
        run(flood())
        served = len(quiet.writes) - served
    assert len(made) + refused == CONNECTIONS * BATCHES * limits.BATCH_ITEMS_MAX
    assert served > 10, "beside the flood"
    check_exactly_once(quiet, cluster.config)
    found = set().union(*(names_of(cluster, path) for path in names_of(cluster, "/flood")))
    assert found == made, "what was answered happened, what was refused did not"
    assert cluster.leading() == leader
    for name, resident in before.items():
        assert peak_bytes(pids[name]) - resident < GROWTH_BYTES_MAX, name


def test_answers_that_nobody_takes_do_not_pile_up(cluster: RaftCluster) -> None:
    with cluster.connect() as fs:
        for number in range(LISTED):
            fs.pipe_file(f"/listed/{number:04d}-{'x' * 60}", b"")
    leader = cluster.leading()
    pid = cluster.process(leader).pid
    forget_peak(pid)  # of the test before
    before = resident_bytes(pid)

    async def flood(quiet: NamespaceLoad) -> int:
        async with Connections(cluster, 1) as (channel,):
            connection = await channel.connected(LIST, math.inf)

            async def list_all() -> int:
                request = pb.ListRequest(path="/listed", limit=LISTED)
                answer = await channel.unary(LIST, request, timeout_ms=TIMEOUT_MS)
                return len(answer.entries)

            lists = asyncio.gather(*(list_all() for _ in range(LISTS)))
            await asyncio.sleep(0)
            connection.transport.pause_reading()
            await asyncio.to_thread(quiet.wait_for, 100)
            grown = peak_bytes(pid) - before
            connection.transport.resume_reading()
            assert set(await lists) == {LISTED}
            return grown

    with NamespaceLoad(cluster.config, "/quiet-beside-lists", workers=1, per_s=None) as quiet:
        grown = run(flood(quiet))
    check_exactly_once(quiet, cluster.config)
    assert grown < GROWTH_BYTES_MAX / 4
