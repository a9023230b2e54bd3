"""Reads that say how fresh they must be, and the label on what they get (INV-LIN).

The plain linearizable read of the leader does not come through here: it is the hot path.
An answer is made in one step without awaiting, and what allows it - the lease, the bound - is
checked again after it: this process may have been stopped in between (trap D6). That holds for
refusals too: "no such file" is an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, get_args

from pydfsnode.client.consistency import Consistency, Mode
from pydfsnode.errors import ClusterError, DomainError, Overloaded, StaleRead

A = TypeVar("A")
UNKNOWN_MS = -1


class Replica(Protocol):
    """The part of `Consensus` that reads need; described there."""

    @property
    def node_id(self) -> str: ...

    @property
    def is_leader(self) -> bool: ...

    @property
    def has_state(self) -> bool: ...

    def leader_barrier(self) -> Awaitable[None]: ...

    def any_barrier(self) -> Awaitable[None]: ...

    def lease_barrier(self) -> Awaitable[None]: ...

    def holds_lease(self) -> bool: ...

    def staleness_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer is: linearizable, or at most `staleness_ms` old (-1: nobody knows)."""

    linearizable: bool
    staleness_ms: int
    served_by: str


class Reading:
    """Answers in any mode, on any master."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.asked: dict[Mode, int] = dict.fromkeys(get_args(Mode), 0)
        """How many answers were asked for in each mode."""

    async def answer(
        self, wanted: Consistency, any_master: bool, view: Callable[[], A]
    ) -> tuple[A, Freshness]:
        """What *view* makes of the namespace, once that is as fresh as *wanted*.

        Args:
            wanted: what the answer must be.
            any_master: a follower may answer, having asked the leader how far to wait.
            view: reads the namespace without awaiting; may be called twice.

        Raises:
            DomainError: what *view* refused; with fields as the label when it may be old.
            NotLeader: only the leader may answer.
            StaleRead: this master is older than the bound and the leader could not be asked.
            ClusterError: as read barriers.
        """
        by_any = any_master and wanted.mode == "linearizable"
        self.asked["follower" if by_any else wanted.mode] += 1
        if wanted.mode == "stale":
            return self._stale(view)
        if wanted.mode == "bounded":
            return await self._bounded(wanted.max_staleness_ms, view)
        if wanted.mode == "lease" and (self._replica.is_leader or not any_master):
            await self._replica.lease_barrier()
            answer = _Answer(view)
            if self._replica.holds_lease():
                return answer.told(self._linearizable_label())
        return await self._linearizable(any_master, view)

    async def _linearizable(self, any_master: bool, view: Callable[[], A]) -> tuple[A, Freshness]:
        replica = self._replica
        await (replica.any_barrier() if any_master else replica.leader_barrier())
        return view(), self._linearizable_label()

    async def _bounded(self, max_staleness_ms: int, view: Callable[[], A]) -> tuple[A, Freshness]:
        if self._replica.has_state and self._staleness_ms() <= max_staleness_ms:
            answer = _Answer(view)
            staleness_ms = self._staleness_ms()
            if staleness_ms <= max_staleness_ms:
                return answer.told(Freshness(False, int(staleness_ms), self._replica.node_id))
        try:
            return await self._linearizable(True, view)
        except Overloaded:
            raise  # it says when to come again
        except ClusterError as error:
            raise self._too_old(max_staleness_ms, error) from error

    def _stale(self, view: Callable[[], A]) -> tuple[A, Freshness]:
        replica = self._replica
        if not (replica.has_state or replica.is_leader):
            raise StaleRead(
                f"{replica.node_id} holds nothing yet: it has not heard of a leader since it "
                "began; ask another master"
            )
        answer = _Answer(view)
        staleness_ms = replica.staleness_ms()
        known_ms = UNKNOWN_MS if staleness_ms is None else staleness_ms
        return answer.told(Freshness(False, known_ms, replica.node_id))

    def _staleness_ms(self) -> float:
        staleness_ms = self._replica.staleness_ms()
        return float("inf") if staleness_ms is None else staleness_ms

    def _linearizable_label(self) -> Freshness:
        return Freshness(True, 0, self._replica.node_id)

    def _too_old(self, max_staleness_ms: int, error: ClusterError) -> StaleRead:
        staleness_ms = self._replica.staleness_ms()
        age = "of unknown age" if staleness_ms is None else f"up to {staleness_ms} ms old"
        return StaleRead(
            f"{self._replica.node_id} is {age}, more than {max_staleness_ms} ms, and the leader "
            f"could not be asked ({error.message}); ask another master, or allow more",
            staleness_ms=UNKNOWN_MS if staleness_ms is None else staleness_ms,
        )


class _Answer(Generic[A]):
    """What a view gave, its value or its refusal, kept back until it may be told."""

    def __init__(self, view: Callable[[], A]) -> None:
        self._refusal: DomainError | None = None
        try:
            self._value = view()
        except DomainError as refusal:
            self._refusal = refusal

    def told(self, freshness: Freshness) -> tuple[A, Freshness]:
        """The value and its label; raises the refusal."""
        if self._refusal is not None:
            if not freshness.linearizable:
                self._refusal.fields["staleness_ms"] = freshness.staleness_ms
                self._refusal.fields["served_by"] = freshness.served_by
            raise self._refusal
        return self._value, freshness
