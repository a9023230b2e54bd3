"""What the services need of Raft: propose an operation, read the namespace linearizably."""

from __future__ import annotations

from typing import TypeVar

from pydfsnode.errors import InvariantViolation
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.ops import AnyOp
from pydfsnode.meta.results import Applied, Rejected, Result
from pydfsnode.meta.state import Namespace
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver

R = TypeVar("R", bound=Result)


class Consensus:
    """The one way of handlers to the replicated state."""

    def __init__(self, driver: RaftDriver, namespace: Namespace, clock: Clock) -> None:
        self._driver = driver
        self._namespace = namespace
        self._clock = clock

    @property
    def term(self) -> int:
        """The current term: the epoch of what this master orders."""
        return self._driver.term

    def require_leader(self) -> None:
        """Raise NotLeader unless this master believes to lead."""
        self._driver.require_leader()

    def wall_ms(self) -> int:
        """The time stamp that an operation admitted now carries."""
        return self._clock.wall_ms()

    async def propose(self, op: AnyOp, result: type[R]) -> R:
        """Replicate and apply *op*; return its result, of type *result*.

        Raises:
            DomainError: the namespace refused; that refusal is replicated too (INV-ONCE).
            NotLeader, Overloaded: nothing was proposed.
            OutcomeUnknown: leadership was lost meanwhile; ask again with the same op id.
        """
        outcome = await self._driver.propose(encode_op(op))
        if isinstance(outcome, Rejected):
            raise outcome.error()
        if not isinstance(outcome, Applied) or not isinstance(outcome.result, result):
            raise InvariantViolation(f"{type(op).__name__} was answered with {outcome!r}")
        return outcome.result

    async def read(self) -> Namespace:
        """The namespace, at least as new as anything acknowledged before the call (INV-LIN).

        Raises:
            NotLeader, Overloaded.
        """
        await self._driver.read_barrier()
        return self._namespace
