"""Upkeep: what a leader proposes by itself, and that nobody else does."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pydfsnode.errors import ClusterError, NotLeader, OutcomeUnknown, Overloaded, SessionExpired
from pydfsnode.meta import ops
from pydfsnode.meta.administration import ChunkKey
from pydfsnode.meta.history import PURGED_AT_ONCE_MAX
from pydfsnode.meta.inodes import RECOVERING
from pydfsnode.meta.leases import HARD_LEASE_MS, SOFT_LEASE_MS
from pydfsnode.meta.results import Applied, FileView
from pydfsnode.meta.state import Namespace
from pydfsnode.meta.tree import RECLAIMED_AT_ONCE_MAX
from pydfsnode.roles.master import upkeep
from pydfsnode.roles.master.upkeep import Upkeep
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.supervisor import Supervisor

MIB = 1 << 20
KEEP_MS = 86_400_000


class FakeConsensus:
    """Applies at once; `fails` is raised by the next proposal instead, after applying or not."""

    def __init__(self, namespace: Namespace, clock: ManualClock) -> None:
        self.is_leader = True
        self.term = 1
        self.proposed: list[ops.Op] = []
        self.barriers = 0
        self.fails: Exception | None = None
        self._namespace = namespace
        self._clock = clock

    def wall_ms(self) -> int:
        return self._clock.wall_ms()

    async def leader_barrier(self) -> None:
        self.barriers += 1
        if not self.is_leader:
            raise NotLeader("m1 is not the leader")

    async def propose(self, op: Any, result: type[Any]) -> Any:
        if self.fails is not None:
            failure, self.fails = self.fails, None
            raise failure
        self.proposed.append(op)
        outcome = self._namespace.apply(op, self._namespace.applied_index + 1)
        assert isinstance(outcome, Applied), outcome
        assert isinstance(outcome.result, result)
        return outcome.result


class Parts:
    def __init__(self, trash_keep_ms: int = KEEP_MS, *, chunk_key: bool = True) -> None:
        self.namespace = Namespace()
        if chunk_key:
            self.namespace.tree.administration.add_chunk_key(1, ChunkKey(b"k" * 32, 0))
        self.clock = ManualClock(monotonic_ms=50_000)
        self.consensus = FakeConsensus(self.namespace, self.clock)
        self.pauses_s: list[float] = []
        self.recovered: list[int] = []
        self.client_ids = iter(range(1000, 2000))
        self.upkeep = Upkeep(
            cast(Any, self.consensus), self.namespace, self.clock, cast(Any, None),
            trash_keep_ms=trash_keep_ms, new_client_id=lambda: next(self.client_ids),
            recover=self.recover,
        )  # fmt: skip
        self._seq = 0

    async def recover(self, inode_id: int) -> None:
        self.recovered.append(inode_id)

    def apply(self, kind: Any, *fields: Any, user: str = "root") -> Any:
        """As a client's."""
        self._seq += 1
        op = kind(1, self._seq, self._seq, self.clock.wall_ms(), user, *fields)
        outcome = self.namespace.apply(op, self.namespace.applied_index + 1)
        assert isinstance(outcome, Applied), outcome
        return outcome.result

    def doom(self, name: str) -> int:
        """Delete a tree that is too large to go at once; how many inodes it has."""
        for number in range(RECLAIMED_AT_ONCE_MAX + 20):
            self.apply(ops.Mkdirs, f"/{name}/{number}")
        return int(self.apply(ops.Delete, f"/{name}", True).inodes)

    def open_file(self) -> FileView:
        return cast(FileView, self.apply(ops.Create, "/open", 3, MIB))

    async def steps(self, count: int = 1, ms: int = upkeep.IDLE_PAUSE_MS) -> None:
        for _ in range(count):
            self.clock.advance(ms)
            await self.upkeep.step()

    def kinds(self) -> list[str]:
        return [type(op).__name__ for op in self.consensus.proposed]


async def test_nothing_to_do_proposes_nothing() -> None:
    parts = Parts()
    await parts.steps(100)
    assert parts.consensus.proposed == []


async def test_a_leader_makes_the_first_key_of_chunks_once_and_nobody_sees_it() -> None:
    parts = Parts(chunk_key=False)
    await parts.steps(3)
    assert parts.kinds() == ["AddChunkKey"]
    (key,) = parts.namespace.tree.administration.chunk_keys.values()
    assert len(key) == 32
    assert len(set(key)) > 8  # random
    shown = repr(parts.consensus.proposed) + repr(parts.namespace.tree.administration.tables)
    assert repr(key)[2:12] not in shown
    parts.consensus.term += 1
    await parts.steps(3)
    assert parts.kinds() == ["AddChunkKey"]


async def test_a_key_that_was_not_committed_is_proposed_again() -> None:
    parts = Parts(chunk_key=False)
    parts.consensus.fails = Overloaded("later", retry_after_ms=1)
    await parts.steps(2)
    assert parts.kinds() == ["AddChunkKey"]


async def test_a_doomed_tree_is_dropped_in_parts_until_nothing_is_left() -> None:
    parts = Parts()
    inodes = parts.doom("t")
    assert await parts.upkeep.step()
    assert len(parts.namespace.tree.table) == 1 + inodes - upkeep.RECLAIM_INODES
    assert not await parts.upkeep.step()
    assert len(parts.namespace.tree.table) == 1
    await parts.steps(3)
    assert parts.kinds() == ["Reclaim", "Reclaim"]


async def test_the_remains_of_a_deleted_snapshot_are_dropped_too() -> None:
    parts = Parts()
    for number in range(2 * PURGED_AT_ONCE_MAX):
        parts.apply(ops.Mkdirs, f"/d/{number}")
    parts.apply(ops.CreateSnapshot, "/d", "s")
    for number in range(2 * PURGED_AT_ONCE_MAX):
        parts.apply(ops.Delete, f"/d/{number}")
    parts.apply(ops.DeleteSnapshot, "/d", "s")
    assert parts.namespace.tree.history.is_purging
    while await parts.upkeep.step():
        assert len(parts.consensus.proposed) < 100
    assert not parts.namespace.tree.history.is_purging
    assert set(parts.kinds()) == {"Reclaim"}


async def test_only_a_leader_proposes() -> None:
    parts = Parts()
    parts.doom("t")
    parts.consensus.is_leader = False
    await parts.steps(5)
    assert (parts.consensus.proposed, parts.consensus.barriers) == ([], 0)


async def test_each_term_has_a_session_of_its_own_and_each_operation_its_number() -> None:
    parts = Parts()
    parts.doom("t")
    await parts.steps(2)
    parts.consensus.term = 2
    parts.doom("u")
    await parts.steps(1)
    parts.consensus.is_leader = False
    await parts.steps(1)
    parts.consensus.is_leader = True  # of the same term again, as far as this node can tell
    await parts.steps(1)
    head = [(op.client_id, op.seq, op.first_unacked) for op in parts.consensus.proposed]
    assert head == [(1000, 1, 1), (1000, 2, 2), (1001, 1, 1), (1002, 1, 1)]
    assert parts.consensus.barriers == 3


@pytest.mark.parametrize(
    "failure", [NotLeader("gone"), Overloaded("full"), OutcomeUnknown("lost"), ClusterError("no")]
)
async def test_a_proposal_that_fails_is_made_anew_with_the_next_number(failure: Exception) -> None:
    parts = Parts()
    parts.doom("t")
    parts.consensus.fails = failure
    await parts.steps(2)
    assert [(op.client_id, op.seq) for op in parts.consensus.proposed] == [(1000, 2)]


async def test_a_session_that_the_masters_forgot_is_replaced() -> None:
    parts = Parts()
    parts.doom("t")
    parts.consensus.fails = SessionExpired("forgotten")
    await parts.steps(2)
    assert [(op.client_id, op.seq) for op in parts.consensus.proposed] == [(1001, 1)]


async def test_a_leader_that_cannot_confirm_itself_waits() -> None:
    parts = Parts()
    parts.doom("t")

    async def refused() -> None:
        raise NotLeader("deposed")

    parts.consensus.leader_barrier = refused  # type: ignore[method-assign]
    await parts.steps(3)
    assert parts.consensus.proposed == []


async def test_files_of_silent_writers_are_closed_when_no_other_operation_moves_the_clock() -> None:
    parts = Parts()
    inode_id = parts.open_file().inode_id
    await parts.steps(1, HARD_LEASE_MS - 10_000)  # begins to lead
    await parts.steps(1, 10_000)
    assert parts.consensus.proposed == []
    await parts.steps(1, SOFT_LEASE_MS)
    assert [op for op in parts.consensus.proposed if isinstance(op, ops.ExpireLeases)] == [
        ops.ExpireLeases(1000, 1, 1, parts.clock.wall_ms(), "root", (inode_id,))
    ]
    assert parts.namespace.tree.open_files.rows == {}
    await parts.steps(3)
    assert len(parts.consensus.proposed) == 1


async def test_a_new_leader_gives_writers_time_to_be_heard_of() -> None:
    parts = Parts()
    parts.open_file()
    await parts.steps(1, 2 * HARD_LEASE_MS)  # or its clock is ahead of the old leader's
    await parts.steps(1, upkeep.LEASE_GRACE_MS - 1)
    assert parts.consensus.proposed == []
    parts.apply(ops.RenewLease)
    await parts.steps(2, upkeep.LEASE_GRACE_MS)
    assert parts.consensus.proposed == []


async def test_the_trash_grows_old() -> None:
    parts = Parts()
    for user in ("ann", "bob"):
        parts.apply(ops.Mkdirs, f"/{user}")
        parts.apply(ops.MoveToTrash, f"/{user}", user=f"{user}:supergroup")
    await parts.steps(2)
    assert parts.consensus.proposed == []
    await parts.steps(2, upkeep.TRASH_ROLL_MS)
    rolled = [op for op in parts.consensus.proposed if isinstance(op, ops.RollTrash)]
    assert [(op.roll_ms, op.keep_ms, op.users) for op in rolled] == [
        (upkeep.TRASH_ROLL_MS, KEEP_MS, ("ann", "bob"))
    ]
    await parts.steps(2, KEEP_MS)
    assert parts.kinds() == ["RollTrash", "RollTrash"]
    table = parts.namespace.tree.table
    assert table.directory_count == 1 + 1 + 2 + 2  # root, user, two homes, two empty trashes


async def test_while_a_tree_is_dropped_the_rest_is_looked_at_no_more_often() -> None:
    parts = Parts()
    parts.apply(ops.Mkdirs, "/d")
    parts.apply(ops.MoveToTrash, "/d")
    parts.clock.advance(upkeep.TRASH_ROLL_MS)
    for name in "tuv":
        parts.doom(name)
    await parts.steps(5, upkeep.BUSY_PAUSE_MS)
    assert parts.kinds() == ["Reclaim"] * 4
    await parts.steps(1, upkeep.IDLE_PAUSE_MS)
    assert parts.kinds() == ["Reclaim"] * 4 + ["RollTrash"]


async def test_many_homes_are_looked_at_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "HOMES_PER_LOOK", 3)
    parts = Parts()
    await parts.steps()
    for number in range(7):
        parts.apply(ops.Mkdirs, f"/u{number}")
        parts.apply(ops.MoveToTrash, f"/u{number}", user=f"u{number}:supergroup")
    parts.clock.advance(upkeep.TRASH_ROLL_MS)
    await parts.steps(4)
    rolled = [op.users for op in parts.consensus.proposed if isinstance(op, ops.RollTrash)]
    assert rolled == [("u0", "u1", "u2"), ("u3", "u4", "u5"), ("u6",)]


async def test_without_a_time_to_keep_nothing_expires() -> None:
    parts = Parts(trash_keep_ms=0)
    parts.apply(ops.Mkdirs, "/d")
    parts.apply(ops.MoveToTrash, "/d")
    await parts.steps(3, 10 * KEEP_MS)
    assert parts.consensus.proposed == []


async def test_the_loop_rests_longer_when_there_is_nothing_to_drop() -> None:
    parts = Parts()
    parts.doom("t")
    supervisor = Supervisor()
    pauses_s: list[float] = []
    enough = asyncio.Event()

    async def sleep(pause_s: float) -> None:
        pauses_s.append(pause_s)
        if len(pauses_s) == 3:
            enough.set()
            await asyncio.Event().wait()

    loop = Upkeep(
        cast(Any, parts.consensus), parts.namespace, parts.clock, supervisor,
        trash_keep_ms=KEEP_MS, sleep=sleep, recover=parts.recover,
    )  # fmt: skip
    loop.start()
    await asyncio.wait_for(enough.wait(), 10)
    await supervisor.stop()
    assert pauses_s == [
        upkeep.BUSY_PAUSE_MS / 1000, upkeep.IDLE_PAUSE_MS / 1000, upkeep.IDLE_PAUSE_MS / 1000,
    ]  # fmt: skip
    assert supervisor.failure is None


async def test_a_file_with_an_open_chunk_is_recovered_until_it_is_closed() -> None:
    parts = Parts()
    inode_id = parts.open_file().inode_id
    parts.apply(ops.AllocateChunk, inode_id, None, 0, ("c1",))
    await parts.steps(1)  # begins to lead
    for times in (1, 2):  # nobody answered the first time
        await parts.steps(1, HARD_LEASE_MS)
        await asyncio.gather(*parts.upkeep._recoveries.values())
        assert parts.recovered == [inode_id] * times
    assert parts.namespace.tree.open_files.rows[inode_id].holder == RECOVERING
    assert parts.kinds() == ["ExpireLeases"], "it is taken from its writer once"
