"""Which masters hear of this chunkserver: configured ones, and those that the leader lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.config import Peer
from pydfsnode.errors import DeadlineExceeded, PeerUnauthenticated, PydfsError, Unavailable
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.roles.chunkserver.commands import CommandRunner
from pydfsnode.roles.chunkserver.heartbeat import HEARTBEAT, Asker, MasterLink, NodeState
from pydfsnode.roles.chunkserver.known_masters import FILE_NAME, LEARNED_MAX, KnownMasters
from pydfsnode.roles.chunkserver.master_links import AVOID_MS, MasterChannel, MasterLinks
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore

M1, M2, M3, M4 = (Peer(f"m{n}", f"10.0.0.{n}:7001") for n in (1, 2, 3, 4))


class Cluster:
    """Masters by name that note who reports what; all of them answer as told."""

    def __init__(self) -> None:
        self.replicas: dict[str, ReplicaMap] = {}
        self.reports: dict[str, ReplicaReports] = {}
        self.beats: dict[str, int] = {}
        self.answers: dict[str, pb.HeartbeatResponse] = {}

    def lists(self, master: Peer, epoch: int, *listed: Peer, leads: bool = True) -> None:
        self.answers[master.node_id] = pb.HeartbeatResponse(
            epoch=epoch, is_leader=leads, masters=[pb.Address(node_id=p.node_id, listen=p.listen)
                                                   for p in listed],
        )  # fmt: skip

    def channel(self, name: str, listen: str) -> Asker:
        return _Channel(self, name)

    def holds(self, name: str) -> set[int]:
        return set(self.replicas[name].held_by("c1")) if name in self.replicas else set()


class _Channel:
    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = name

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        cluster, name = self._cluster, self._name
        if name not in cluster.reports:
            cluster.replicas[name] = ReplicaMap()
            cluster.replicas[name].server_live("c1")
            cluster.reports[name] = ReplicaReports(cluster.replicas[name])
        replicas = [
            (r.chunk_id, r.version, r.length)
            for r in (request.added if path == HEARTBEAT else request.replicas)
        ]
        if path != HEARTBEAT:
            cluster.reports[name].full_report_page(
                "c1", request.incarnation, request.report_seq, replicas,
                first=request.first, last=request.last,
            )  # fmt: skip
            return pb.FullReportResponse()
        cluster.beats[name] = cluster.beats.get(name, 0) + 1
        answer = pb.HeartbeatResponse()
        answer.CopyFrom(cluster.answers.get(name, pb.HeartbeatResponse(epoch=1)))
        answer.full_report_wanted = cluster.reports[name].heartbeat(
            "c1", request.incarnation, request.report_seq, replicas, request.removed
        )
        return answer


class Node:
    """A store and the links to its masters, as the role wires them."""

    def __init__(self, store: ChunkStore, directory: Path, cluster: Cluster) -> None:
        self.store = store
        self.directory = directory
        self.cluster = cluster
        self.epoch = EpochFile(directory)
        self.tasks: list[asyncio.Task[Any]] = []
        self.links: MasterLinks
        self.restart()

    def restart(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.commands = CommandRunner(self.store, self.epoch, self._no_peers, lambda _done: None)
        self.links = MasterLinks(
            KnownMasters([M1, M2], self.directory), self.cluster.channel, self._link,
            lambda: self.epoch.highest, self.store.run, ManualClock(),
        )  # fmt: skip
        self.store.on_change(self.links.wake)
        self.links.start(self._spawn)

    def _spawn(self, name: str, work: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task

    def _link(self, name: str, asker: Asker, first_report: int) -> MasterLink:
        return MasterLink(
            name, asker, self.store.index, self._state, self._learn, self.commands, 5,
            learn_masters=self.links.learn, first_report=first_report,
        )  # fmt: skip

    def _state(self) -> NodeState:
        return NodeState("h:1", "r1", 0, 10, len(self.store.index), 0, incarnation=77, epoch=1)

    async def _learn(self, epoch: int) -> None:
        self.epoch.advance(epoch)

    def _no_peers(self, node_id: str, listen: str) -> Any:
        raise Unavailable(f"{node_id}: nobody there")

    async def add(self, chunk_id: int) -> None:
        await self.store.create(chunk_id, 1).finish([b"x" * chunk_id], None)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    store = await ChunkStore.open(tmp_path, 0)
    running = Node(store, tmp_path, Cluster())
    yield running
    for task in running.tasks:
        task.cancel()
    await asyncio.wait(running.tasks)
    await store.close()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_master_that_the_leader_lists_is_told_everything(node: Node) -> None:
    await node.add(1)
    assert set(node.links.reached()) == {"m1", "m2"}
    node.cluster.lists(M1, 2, M1, M2, M3)
    await _until(lambda: node.cluster.holds("m3") == {1})
    assert node.links.reached() == {"m1": True, "m2": True, "m3": True}
    assert node.links.leader == "m1"


async def test_who_is_no_longer_listed_is_told_nothing_unless_it_is_configured(node: Node) -> None:
    node.cluster.lists(M1, 2, M1, M2, M3)
    await _until(lambda: node.cluster.beats.get("m3"))
    node.cluster.lists(M1, 2, M1, M4)
    await _until(lambda: set(node.links.reached()) == {"m1", "m2", "m4"})
    beats, others = node.cluster.beats["m3"], node.cluster.beats["m2"]
    await _until(lambda: node.cluster.beats["m2"] > others + 3)
    assert node.cluster.beats["m3"] == beats


async def test_a_leader_that_takes_itself_out_is_let_go(node: Node) -> None:
    node.cluster.lists(M1, 2, M1, M2, M3)
    await _until(lambda: node.cluster.beats.get("m3"))
    node.cluster.lists(M1, 2, M1, M2, M3, leads=False)
    node.cluster.lists(M3, 3, M1, M2)
    await _until(lambda: set(node.links.reached()) == {"m1", "m2"})


async def test_only_the_newest_leader_is_believed(node: Node) -> None:
    node.cluster.lists(M1, 5, M1, M2, M3)
    await _until(lambda: node.cluster.beats.get("m3"))
    node.cluster.lists(M2, 4, M1, M2, M4)  # deposed, and does not know it yet
    node.cluster.lists(M3, 6, M4, leads=False)  # follows
    beats = node.cluster.beats["m2"]
    await _until(lambda: node.epoch.highest == 6 and node.cluster.beats["m2"] > beats + 3)
    assert set(node.links.reached()) == {"m1", "m2", "m3"}


async def test_a_leader_that_only_followers_know_is_found(node: Node) -> None:
    """m3 was added and elected between two heartbeats: none of those known here leads any more."""
    await node.add(1)
    node.cluster.lists(M1, 2, M1, M2, M3, leads=False)
    await _until(lambda: node.cluster.holds("m3") == {1})
    assert not (node.directory / FILE_NAME).exists(), "hearsay is not remembered"
    node.cluster.lists(M3, 2, M1, M3)
    await _until(lambda: node.links.leader == "m3")
    await _until((node.directory / FILE_NAME).exists)
    node.cluster.lists(M3, 2, M1, M2)  # a list of the leader's ends hearsay
    await _until(lambda: "m3" not in node.links.reached())


async def test_what_followers_of_an_older_term_list_is_not_heard(node: Node) -> None:
    node.cluster.lists(M2, 7, leads=False)
    await _until(lambda: node.epoch.highest == 7)
    node.cluster.lists(M1, 6, M1, M2, M4, leads=False)
    beats = node.cluster.beats["m1"]
    await _until(lambda: node.cluster.beats["m1"] > beats + 3)
    assert set(node.links.reached()) == {"m1", "m2"}


async def test_the_masters_are_remembered_over_a_restart(node: Node) -> None:
    node.cluster.lists(M1, 2, M3, M4)
    await _until(lambda: len(node.links.reached()) == 4)
    assert (node.directory / FILE_NAME).read_text() == (
        '{"masters":["m3=10.0.0.3:7001","m4=10.0.0.4:7001"]}\n'
    )
    node.cluster.answers.clear()
    node.restart()
    assert set(node.links.reached()) == {"m1", "m2", "m3", "m4"}


async def test_a_master_that_comes_back_is_told_everything_again(node: Node) -> None:
    node.cluster.lists(M1, 2, M1, M2, M3)
    await _until(lambda: "m3" in node.cluster.reports)
    for chunk_id in (1, 2, 3):
        await node.add(chunk_id)
        await _until(lambda held=chunk_id: held in node.cluster.holds("m3"))
    node.cluster.lists(M1, 2, M1, M2)
    await _until(lambda: "m3" not in node.links.reached())
    await node.store.delete(2, 1)
    node.cluster.lists(M1, 2, M1, M2, M3)
    await _until(lambda: node.cluster.holds("m3") == {1, 3})
    await node.add(4)
    await _until(lambda: node.cluster.holds("m3") == {1, 3, 4})
    assert node.cluster.reports["m3"].is_complete("c1")


# ---- what is known


@pytest.mark.parametrize(
    "kept", ["", "[]", '{"masters": 7}', '{"masters": ["", "../x=h:1"]}', "{}"]
)
def test_a_file_that_says_nothing_leaves_the_configured_ones(tmp_path: Path, kept: str) -> None:
    (tmp_path / FILE_NAME).write_text(kept)
    assert dict(KnownMasters([M1], tmp_path).addresses()) == {"m1": (M1.listen,)}


def test_a_master_at_another_address_is_known_at_both(tmp_path: Path) -> None:
    known = KnownMasters([M1, M2], tmp_path)
    moved = Peer("m2", "10.9.9.9:7001")
    assert known.learn([M1, moved])
    assert not known.learn([moved, M1])
    assert dict(known.addresses()) == {"m1": (M1.listen,), "m2": (moved.listen, M2.listen)}


def test_nonsense_is_not_learned_and_not_without_bound(tmp_path: Path) -> None:
    known = KnownMasters([M1], tmp_path)
    assert not known.learn([])
    assert not known.learn([Peer("m9", "nowhere"), Peer("a/b", "h:1")])
    assert known.learn(Peer(f"x{n}", "h:1") for n in range(2 * LEARNED_MAX))
    assert len(known.addresses()) == LEARNED_MAX + 1


def test_hearsay_adds_until_the_leader_tells_and_not_without_bound(tmp_path: Path) -> None:
    known = KnownMasters([M1], tmp_path)
    assert known.hear([M1, M2])
    assert not known.hear([M2, M1, Peer("m2", "10.9.9.9:7001")])
    assert dict(known.addresses()) == {"m1": (M1.listen,), "m2": (M2.listen,)}
    assert known.hear(Peer(f"x{n}", "h:1") for n in range(LEARNED_MAX))
    assert not known.hear([M4])
    assert len(known.addresses()) == LEARNED_MAX + 1
    assert known.learn([M1, M3])
    assert set(known.addresses()) == {"m1", "m3"}
    assert known.hear([M4])
    assert known.learn([M1, M3]), "the same list again ends hearsay"
    assert set(known.addresses()) == {"m1", "m3"}


def test_a_disk_that_refuses_costs_only_the_memory(tmp_path: Path) -> None:
    known = KnownMasters([M1], tmp_path / "gone")
    assert known.learn([M2])
    known.save()
    assert set(known.addresses()) == {"m1", "m2"}


# ---- two addresses


class Addresses:
    """Answers by address; notes who was asked."""

    def __init__(self, **failures: PydfsError) -> None:
        self.failures = failures
        self.asked: list[str] = []
        self.clock = ManualClock()
        self.channel = MasterChannel("m1", self._to, self.clock)
        self.channel.addresses = ("a", "b")

    def _to(self, _name: str, listen: str) -> Asker:
        asked, failures = self.asked, self.failures

        class Channel:
            async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
                asked.append(listen)
                if listen in failures:
                    raise failures[listen]
                return listen

        return Channel()

    async def ask(self) -> Any:
        return await self.channel.unary(HEARTBEAT, None, timeout_ms=100)


@pytest.mark.parametrize("failure", [Unavailable("refused"), PeerUnauthenticated("another node")])
async def test_the_other_address_is_asked_at_once_and_first_for_a_while(
    failure: PydfsError,
) -> None:
    addresses = Addresses(a=failure)
    assert [await addresses.ask(), await addresses.ask()] == ["b", "b"]
    assert addresses.asked == ["a", "b", "b"]
    del addresses.failures["a"]
    addresses.clock.advance(AVOID_MS)
    assert await addresses.ask() == "a"


async def test_an_address_that_hangs_is_not_asked_first_again() -> None:
    addresses = Addresses(a=DeadlineExceeded("no answer"))
    with pytest.raises(DeadlineExceeded):
        await addresses.ask()
    assert await addresses.ask() == "b"


async def test_when_no_address_answers_the_reason_is_told() -> None:
    addresses = Addresses(a=Unavailable("refused"), b=Unavailable("no route"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await addresses.ask()
    assert addresses.asked == ["a", "b", "a", "b"]
