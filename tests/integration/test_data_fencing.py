"""A deposed leader lives on behind a partition, believes that it leads, and commands (INV-FENCE).

m1 has an election timeout of two minutes, so that it does not notice for so long that it lost the
others. It decides on orders while no chunkserver reaches it, is then cut off from other masters,
and the chunkservers, which know a new leader by then, come back to it and are given those orders.

A chunkserver uses every address of a master that it is told: m1 must not be reached by another one
than the proxy's, or it hands its orders out while they still count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.client.connections import ConnectionPool
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.model import AllocatedChunk
from pydfsnode.client.wire_chunks import ChunkPeer, open_write, seal
from pydfsnode.config import load_client_config
from pydfsnode.errors import StaleEpoch
from pydfsnode.limits import MIB
from pydfsnode.security.tls import TlsStore
from tests.support.cluster import wait_until
from tests.support.data_cluster import HEARTBEAT_MS, DataCluster
from tests.support.data_load import DataLoad, check_all_stored, content_of
from tests.support.faulty_proxy import FaultyProxy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SERVERS = ("c1", "c2", "c3", "c4")
DEAD_AFTER_MS = 20_000
"""Chunkservers that m1 does not hear stay in its plans."""
SILENT_MS = 4 * HEARTBEAT_MS
BELIEVES_MS = 120_000
KEPT = [f"/kept/{number}" for number in range(6)]
DOOMED = [f"/doomed/{number}" for number in range(6)]


class PartitionedCluster(DataCluster):
    """`DataCluster` whose m1 can be cut off from the chunkservers, and from the other masters."""

    def __init__(self, directory: Path, proxy: FaultyProxy) -> None:
        masters = {"dead_after_ms": DEAD_AFTER_MS}
        super().__init__(directory, settings=dict.fromkeys(("m1", "m2", "m3"), masters))
        self._proxy = proxy
        self._public = proxy.to(self.listen("m1"))
        """Of m1, for chunkservers: they are told what its own configuration says."""
        self._between: list[str] = []
        for node_id in ("m1", "m2", "m3", *SERVERS):
            names = {name: self._address(node_id, name) for name in ("m1", "m2", "m3")}
            named = [f"{name}={address}" for name, address in names.items()]
            self.configure(node_id, {"masters": json.dumps(named)})
        with self.node_config("m1").open("a") as file:
            file.write(f"\n[raft]\nelection_timeout_ms = {BELIEVES_MS}\n")

    def _address(self, asker: str, master: str) -> str:
        if master == "m1" and asker in ("m1", *SERVERS):
            return self._public
        if "m1" not in (asker, master):
            return self.listen(master)
        self._between.append(self._proxy.to(self.listen(master)))
        return self._between[-1]

    def hide_m1(self) -> None:
        """Chunkservers do not reach m1 any more; return when it has not heard them for a while."""
        self._proxy.refuse(self._public)
        wait_until("m1 hears no chunkserver", lambda: min(self._silent_ms()) > SILENT_MS)

    def _silent_ms(self) -> list[int]:
        return [server.last_heartbeat_ms_ago for server in self.cluster_status().chunkservers]

    def isolate_m1(self) -> None:
        """Nothing passes between m1 and the other masters any more."""
        for address in self._between:
            self._proxy.refuse(address)

    def show_m1(self) -> None:
        """Chunkservers reach m1 again; the other masters do not."""
        self._proxy.heal(self._public)

    def epoch_of(self, node_id: str) -> int:
        """The highest that a chunkserver has seen; 0 when it does not answer."""
        try:
            return int(json.loads(self.page(node_id, "/chunks/state"))["epoch"])
        except OSError:
            return 0

    def refusals(self, kind: str, epoch: int) -> list[dict[str, Any]]:
        """Commands of *epoch* that chunkservers refused."""
        return [
            event
            for node_id in SERVERS
            for event in self.events(node_id, "a command was not carried out")
            if event["command"] == kind and f"epoch {epoch} is over" in event["reason"]
        ]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PartitionedCluster]:
    with FaultyProxy(1) as proxy, PartitionedCluster(tmp_path / "dev", proxy) as cluster:
        yield cluster


async def allocate(config: Path) -> AllocatedChunk:
    """A new chunk of a new file, as the leader of now gives it out."""
    async with await AsyncFileSystem.connect(config) as fs:
        status = await fs._calls.create("/allocated", create_parents=False)
        return await fs._calls.allocate_chunk(status.inode_id)


async def try_to_write(peer: ChunkPeer, chunk: AllocatedChunk) -> None:
    """As a writer does who was given *chunk*."""
    stream = await open_write(
        peer, chunk.chunk_id, chunk.version, chunk.epoch, [], capability=chunk.capability
    )
    await stream.receive()


async def assert_refused(config: Path, chunk: AllocatedChunk) -> None:
    """All that can be done with the epoch of *chunk* is refused by each of its servers."""
    pool = ConnectionPool(TlsStore.load(load_client_config(config).tls))
    for server in chunk.targets:
        peer = pool.channel("chunkserver", server.node_id, server.listen)
        with pytest.raises(StaleEpoch):
            await seal(peer, chunk.chunk_id, 1, 2, 1, chunk.epoch, 5_000, chunk.capability)
        with pytest.raises(StaleEpoch):
            await try_to_write(peer, chunk)
    await pool.close()


async def test_what_a_deposed_leader_orders_is_refused_and_nothing_is_lost(
    cluster: PartitionedCluster,
) -> None:
    fs = cluster.client
    for number, path in enumerate(KEPT + DOOMED):
        fs.pipe_file(path, content_of(number, MIB))
    cluster.wait_until_perfect()
    fs.transfer_leader("m1")
    wait_until("m1 leads", lambda: cluster.leading() == "m1")
    old_epoch = cluster.cluster_status().term
    allocated = await allocate(cluster.config)
    assert allocated.epoch == old_epoch
    wait_until("it may delete", lambda: not fs.fleet_state().safe_mode.on)

    cluster.hide_m1()
    for path in KEPT:
        fs.set_replication(path, 4)
    for path in DOOMED:
        fs.rm(path)
    wait_until("it has orders for them", lambda: has_orders(cluster))
    cluster.isolate_m1()
    wait_until(
        "all chunkservers know a new leader",
        lambda: all(cluster.epoch_of(node_id) > old_epoch for node_id in SERVERS),
    )
    others = cluster.config.with_name("others.toml")
    others.write_text(without_m1(cluster.config.read_text()))
    cluster.use_config(others)

    with DataLoad(others, "/load", bytes_per_s=4 * MIB) as load:
        cluster.show_m1()
        wait_until("deletions are refused", lambda: cluster.refusals("delete", old_epoch) != [])
        wait_until("copies are refused", lambda: cluster.refusals("replicate", old_epoch) != [])
        await assert_refused(others, allocated)
        load.wait_for(files=5)
        still = cluster.raft("m1")
        assert still is not None
        assert (still["role"], still["term"]) == ("leader", old_epoch), "it believed all the time"
    check_all_stored(load, others)
    cluster.wait_until_perfect()
    for number, path in enumerate(KEPT):
        assert cluster.client.cat_file(path) == content_of(number, MIB)


def has_orders(cluster: PartitionedCluster) -> bool:
    """Whether the leader has decided on copies and deletions that nobody fetched."""
    state = cluster.fleet_state()
    return state.copies_running > 0 and state.deletions_running > 0


def without_m1(text: str) -> str:
    """A client's configuration that does not name m1."""
    (line,) = [line for line in text.splitlines() if line.startswith("masters")]
    _, _, names = line.partition(" = ")
    rest = [name for name in json.loads(names) if not name.startswith("m1=")]
    return text.replace(line, f"masters = {json.dumps(rest)}")
