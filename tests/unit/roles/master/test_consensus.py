"""Consensus: who may propose and read, on a leader, a follower and a read-only master."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pydfsnode.errors import NotLeader, ReadOnly
from pydfsnode.meta import ops
from pydfsnode.meta.results import FileView
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.runtime.clock import ManualClock


class FakeStatus:
    node_id = "m1#5f3a9c01"


class FakeDriver:
    """Applies at once; a barrier also works on a follower, as the driver's does."""

    term = 3

    def __init__(self, namespace: Namespace) -> None:
        self.is_leader = True
        self.proposed = 0
        self.barriers: list[bool] = []
        self._namespace = namespace

    def require_leader(self) -> None:
        if not self.is_leader:
            raise NotLeader("m1 is not the leader", leader_hint="m2=h:1")

    def require_leader_soon(self) -> None:
        self.require_leader()

    def status(self) -> FakeStatus:
        return FakeStatus()

    def propose(self, payload: bytes, client: int) -> asyncio.Future[object]:
        from pydfsnode.meta.codec import decode_op

        self.require_leader()
        self.proposed += 1
        outcome = self._namespace.apply(decode_op(payload), self._namespace.applied_index + 1)
        return done(outcome)

    def read_barrier(self, lease: bool = False, reads: int = 1) -> asyncio.Future[Any]:
        self.barriers.append(lease)
        return done(None)

    def holds_lease(self) -> bool:
        return self.is_leader

    def staleness_ms(self) -> int | None:
        return 0 if self.is_leader else None


def done(value: object) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


class Parts:
    def __init__(self, *, read_only: bool = False) -> None:
        self.namespace = Namespace()
        self.driver = FakeDriver(self.namespace)
        self.consensus = Consensus(
            cast(Any, self.driver), self.namespace, ManualClock(), read_only=read_only
        )

    async def mkdirs(self) -> FileView:
        return await self.consensus.propose(
            ops.Mkdirs(1, 1, 1, 5, "ann:supergroup", "/d", 0), FileView
        )


async def test_a_change_is_applied_and_its_result_given_back() -> None:
    parts = Parts()
    assert not parts.consensus.has_state
    assert (await parts.mkdirs()).path == "/d"
    assert parts.consensus.has_state


async def test_a_read_only_leader_refuses_changes_and_says_why() -> None:
    parts = Parts(read_only=True)
    with pytest.raises(ReadOnly, match=r"m1 leads and takes no changes.*read_only = true"):
        await parts.mkdirs()
    assert parts.driver.proposed == 0
    assert await parts.consensus.read() is parts.namespace


async def test_a_read_only_follower_names_the_leader_who_may_take_it() -> None:
    parts = Parts(read_only=True)
    parts.driver.is_leader = False
    with pytest.raises(NotLeader) as refused:
        await parts.mkdirs()
    assert refused.value.leader_hint == "m2=h:1"


async def test_only_a_leader_has_leader_and_lease_barriers() -> None:
    parts = Parts()
    await parts.consensus.leader_barrier()
    await parts.consensus.lease_barrier()
    assert parts.driver.barriers == [False, True]
    parts.driver.is_leader = False
    for barrier in (parts.consensus.leader_barrier, parts.consensus.lease_barrier):
        with pytest.raises(NotLeader):
            await barrier()
    await parts.consensus.any_barrier()
    assert parts.driver.barriers == [False, True, False]
    assert parts.consensus.staleness_ms() is None
    assert not parts.consensus.holds_lease()


async def test_leadership_lost_during_a_read_is_no_answer_of_the_leader() -> None:
    parts = Parts()
    barrier = parts.driver.read_barrier

    def deposing(lease: bool = False, reads: int = 1) -> asyncio.Future[Any]:
        parts.driver.is_leader = False
        return barrier(lease, reads)

    parts.driver.read_barrier = deposing  # type: ignore[method-assign]
    with pytest.raises(NotLeader):
        await parts.consensus.read()


def test_a_member_is_known_by_its_nodes_name() -> None:
    assert Parts().consensus.node_id == "m1"
