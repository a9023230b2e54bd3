"""Heartbeats: every master hears everything once and in order, whatever happens to the others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.errors import OutcomeUnknown, Unavailable
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.reports import ReplicaReports
from pydfsnode.roles.chunkserver import reports
from pydfsnode.roles.chunkserver.commands import CommandRunner, Done
from pydfsnode.roles.chunkserver.heartbeat import FULL_REPORT, HEARTBEAT, MasterLink, NodeState
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore

EPOCH = 4


class FakeMaster:
    """Takes reports into the masters' own tables; can lose answers, hang, restart."""

    def __init__(self) -> None:
        self.beats: list[pb.HeartbeatRequest] = []
        self.pages: list[pb.FullReportRequest] = []
        self.answer = pb.HeartbeatResponse(epoch=EPOCH, is_leader=True)
        self.loses_answers = 0
        self.refuses = 0
        self.hangs = False
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self.replicas = ReplicaMap()
        self.replicas.server_live("c1")
        self.reports = ReplicaReports(self.replicas)

    @property
    def held(self) -> dict[int, tuple[int, int]]:
        return dict(self.replicas.held_by("c1"))

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            self.refuses -= 1
            raise Unavailable("not reached")
        answer = self._beat(request) if path == HEARTBEAT else self._page(request, path)
        if self.loses_answers:
            self.loses_answers -= 1
            raise OutcomeUnknown("the answer was lost")
        return answer

    def _beat(self, request: pb.HeartbeatRequest) -> pb.HeartbeatResponse:
        self.beats.append(request)
        wanted = self.reports.heartbeat(
            "c1", request.incarnation, request.report_seq,
            [(r.chunk_id, r.version, r.length) for r in request.added],
            request.removed, request.corrupt,
        )  # fmt: skip
        answer = pb.HeartbeatResponse()
        answer.CopyFrom(self.answer)
        answer.full_report_wanted = wanted
        if not answer.commands:
            answer.orders_seq = 0
        del self.answer.commands[:]
        return answer

    def _page(self, request: pb.FullReportRequest, path: str) -> pb.FullReportResponse:
        assert path == FULL_REPORT
        self.pages.append(request)
        self.reports.full_report_page(
            "c1", request.incarnation, request.report_seq,
            [(r.chunk_id, r.version, r.length) for r in request.replicas],
            first=request.first, last=request.last,
        )  # fmt: skip
        return pb.FullReportResponse()


class Node:
    """A store with links to fake masters, as the role wires them."""

    def __init__(self, store: ChunkStore, directory: Path, masters: list[FakeMaster]) -> None:
        self.store = store
        self.epoch = EpochFile(directory)
        self.commands = CommandRunner(store, self.epoch, self._no_peers, self._done)
        self.links = [
            MasterLink(f"m{n}", m, store.index, self._state, self._learn, self.commands, 5)
            for n, m in enumerate(masters)
        ]
        for link in self.links:
            store.on_change(link.wake)
        self.tasks = [asyncio.ensure_future(link.run()) for link in self.links]
        self.tasks.append(asyncio.ensure_future(self.commands.run()))

    def _no_peers(self, node_id: str, listen: str) -> Any:
        raise Unavailable(f"{node_id}: nobody there")

    def _done(self, done: Done) -> None:
        for link in self.links:
            link.note_done(done)

    def _state(self) -> NodeState:
        index = self.store.index
        return NodeState("h:1", "r1", index.used_bytes, 10, len(index), 0, incarnation=77, epoch=3)

    async def _learn(self, epoch: int) -> None:
        self.epoch.advance(epoch)
        await self.commands.settle()

    async def add(self, *chunk_ids: int, version: int = 1) -> None:
        for chunk_id in chunk_ids:
            await self.store.create(chunk_id, version).finish([b"x" * (chunk_id % 97 + 1)], None)

    def expected(self) -> dict[int, tuple[int, int]]:
        return {r.chunk_id: (r.version, r.length) for r in self.store.index.listing()[1]}

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@pytest.fixture
def masters() -> list[FakeMaster]:
    return [FakeMaster(), FakeMaster(), FakeMaster()]


@pytest.fixture
async def node(tmp_path: Path, masters: list[FakeMaster]) -> AsyncIterator[Node]:
    store = await ChunkStore.open(tmp_path, 0)
    running = Node(store, tmp_path, masters)
    yield running
    await running.stop()
    await store.close()


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def test_all_masters_learn_what_was_there_and_what_comes_and_goes(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1, 2, 3)
    await _until(lambda: all(m.held == node.expected() for m in masters))
    await node.add(4, 5)
    await node.store.delete(2, 1)
    await node.store.seal(3, 1, 2, 2)
    await _until(lambda: all(m.held == node.expected() for m in masters))
    assert masters[0].held[3] == (2, 2)
    assert all(m.reports.is_complete("c1") for m in masters)


async def test_a_master_that_hangs_delays_no_other(node: Node, masters: list[FakeMaster]) -> None:
    masters[1].hangs = True
    before = len(masters[1].beats)
    await node.add(1, 2)
    await _until(lambda: all(masters[n].held == node.expected() for n in (0, 2)))
    await node.add(3)
    await _until(lambda: all(3 in masters[n].held for n in (0, 2)))
    assert len(masters[1].beats) == before


async def test_a_lost_answer_leads_to_the_same_batch_and_nothing_is_missed(
    node: Node, masters: list[FakeMaster]
) -> None:
    await _until(lambda: masters[0].reports.is_complete("c1"))
    masters[0].loses_answers = 3
    await node.add(1)
    await _until(lambda: masters[0].loses_answers == 0)
    await node.add(2)
    await _until(lambda: masters[0].held == node.expected())
    batches = {
        beat.report_seq: [r.chunk_id for r in beat.added] for beat in masters[0].beats if beat.added
    }
    assert [chunk for number in sorted(batches) for chunk in batches[number]] == [1, 2]
    assert len(masters[0].pages) == 1, "a lost answer must not cost a full report"


async def test_a_master_that_restarted_is_told_everything(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(*range(1, 20))
    await _until(lambda: masters[2].held == node.expected())
    masters[2].restart()
    masters[2].refuses = 5
    await _until(lambda: masters[2].held == node.expected())
    await node.add(50)
    await _until(lambda: masters[2].held == node.expected())


async def test_full_reports_come_in_pages_and_changes_meanwhile_are_not_lost(
    node: Node, masters: list[FakeMaster], monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.add(*range(1, 30))
    monkeypatch.setattr(reports, "BATCH_CHANGES_MAX", 4)
    masters[0].pages.clear()
    masters[0].restart()
    await _until(lambda: masters[0].pages)
    await node.add(100, 101)
    await node.store.delete(7, 1)
    await _until(lambda: masters[0].held == node.expected())
    assert max(len(page.replicas) for page in masters[0].pages) == 4
    assert [page.first for page in masters[0].pages].count(True) == 1


async def test_a_corrupt_replica_is_named_until_it_is_gone(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1, 2)
    await _until(lambda: masters[0].held == node.expected())
    node.store.index.mark_corrupt(node.store.find(1, 1))
    await _until(lambda: list(masters[0].beats[-1].corrupt) == [1])
    await node.store.delete(1, 1)
    await _until(lambda: not masters[0].beats[-1].corrupt)
    assert masters[0].held == node.expected()


async def test_the_state_of_the_node_is_in_every_heartbeat(
    node: Node, masters: list[FakeMaster]
) -> None:
    await _until(lambda: len(masters[0].beats) > 2)
    beat = masters[0].beats[-1]
    assert (beat.listen, beat.rack, beat.free_bytes, beat.incarnation) == ("h:1", "r1", 10, 77)


def _delete(chunk_id: int, version: int = 1) -> pb.Command:
    return pb.Command(kind=pb.Command.DELETE, chunk_id=chunk_id, version=version)


async def test_the_leader_is_obeyed_and_every_master_hears_the_result(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1, 2)
    await _until(lambda: masters[0].held == node.expected())
    masters[0].answer.commands.append(_delete(1))
    await _until(lambda: 1 not in node.expected())
    await _until(
        lambda: all(
            [(d.kind, d.chunk_id, d.ok) for b in m.beats for d in b.done] == [("delete", 1, True)]
            for m in masters
        )
    )
    assert 2 in node.expected()


async def test_which_orders_were_taken_is_told_each_master_of_its_own_answers(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1, 2, 3)
    await _until(lambda: masters[0].reports.is_complete("c1"))
    await _until(lambda: masters[0].held == node.expected())
    assert masters[0].beats[0].HasField("orders_seq")
    assert masters[0].beats[-1].orders_seq == 0
    masters[0].loses_answers = 1
    masters[0].answer.orders_seq = 6
    masters[0].answer.commands.append(_delete(1))
    await _until(lambda: not masters[0].loses_answers)
    masters[0].answer.orders_seq = 7
    masters[0].answer.commands.append(_delete(2))
    await _until(lambda: masters[0].beats[-1].orders_seq == 7)
    assert {beat.orders_seq for beat in masters[0].beats} == {0, 7}
    await _until(lambda: set(node.expected()) == {1, 3})
    beats = len(masters[0].beats)
    await _until(lambda: len(masters[0].beats) > beats + 3)
    assert masters[0].beats[-1].orders_seq == 7
    assert {beat.orders_seq for master in masters[1:] for beat in master.beats} == {0}


async def test_a_master_that_does_not_lead_is_not_obeyed(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1)
    masters[1].answer.is_leader = False
    masters[1].answer.orders_seq = 5
    masters[1].answer.commands.append(_delete(1))
    await _until(lambda: not masters[1].answer.commands)
    beats = len(masters[1].beats)
    await _until(lambda: len(masters[1].beats) > beats + 3)
    assert masters[1].beats[-1].orders_seq == 0
    assert node.commands.waiting == 0
    assert 1 in node.expected()


async def test_a_deposed_leader_is_not_obeyed_even_after_a_restart_of_the_node(
    node: Node, masters: list[FakeMaster], tmp_path: Path
) -> None:
    await node.add(1)
    masters[0].answer.epoch = EPOCH + 1
    await _until(lambda: node.epoch.highest == EPOCH + 1)
    masters[1].answer.commands.append(_delete(1))
    await _until(
        lambda: [(d.ok, d.chunk_id) for b in masters[2].beats for d in b.done] == [(False, 1)]
    )
    assert 1 in node.expected()
    assert EpochFile(tmp_path).highest == EPOCH + 1


async def test_an_order_for_another_version_removes_nothing(
    node: Node, masters: list[FakeMaster]
) -> None:
    await node.add(1, version=2)
    for version in (1, 3):
        masters[0].answer.commands.append(_delete(1, version))
    await _until(lambda: len([d for b in masters[0].beats for d in b.done]) == 2)
    assert not any(d.ok for b in masters[0].beats for d in b.done)
    assert node.expected() == {1: (2, 2)}


async def test_an_order_of_a_newer_masters_kind_is_ignored(
    node: Node, masters: list[FakeMaster]
) -> None:
    unknown = pb.Command(chunk_id=1, version=1)
    unknown.kind = 99  # type: ignore[assignment]
    masters[0].answer.commands.extend([unknown, _delete(5)])
    await _until(lambda: [d.chunk_id for b in masters[0].beats for d in b.done] == [5])
    assert node.links[0].is_reached
