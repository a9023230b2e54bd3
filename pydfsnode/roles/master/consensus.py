"""What the services need of Raft: propose an operation, read the namespace as fresh as needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from pydfsnode.errors import InvariantViolation, ReadOnly
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.ops import AnyOp
from pydfsnode.meta.results import Applied, Rejected, Result
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.configuration import member_name
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_driver import RaftDriver

R = TypeVar("R", bound=Result)


def _no_contents(content_id: int) -> bytes:
    raise InvariantViolation(f"content {content_id} is asked of a master that reads none")


def result_of(outcome: object, result: type[R]) -> R:
    """The result, of type *result*, in the *outcome* of an operation.

    Raises:
        DomainError, Overloaded: the namespace refused.
    """
    if isinstance(outcome, Applied):
        found = outcome.result
        if isinstance(found, result):
            return found
    if isinstance(outcome, Rejected):
        raise outcome.error()
    raise InvariantViolation(f"an operation for a {result.__name__} was answered with {outcome!r}")


class Consensus:
    """The one way of handlers to the replicated state.

    Args of the constructor:
        read_only: refuse every change while this master leads.
        read_inline: the content of a small file by its id.
    """

    def __init__(
        self,
        driver: RaftDriver,
        namespace: Namespace,
        clock: Clock,
        *,
        read_only: bool = False,
        read_inline: Callable[[int], bytes] | None = None,
    ) -> None:
        self._driver = driver
        self.namespace = namespace
        """As applied here, which may be older than what was acknowledged: see the barriers."""
        self._clock = clock
        self._read_only = read_only
        self.read_inline = read_inline or _no_contents
        """The content of a small file by its id, at once; see `NamespaceMachine.read_inline`."""

    @property
    def leader_hint(self) -> str:
        """Who leads, for the answers of this master: "node_id=host:port", "" when unknown."""
        return self._driver.leader_hint

    @property
    def term(self) -> int:
        """The current term: the epoch of what this master orders."""
        return self._driver.term

    @cached_property
    def node_id(self) -> str:
        """This master's name."""
        return member_name(self._driver.status().node_id)

    @property
    def is_leader(self) -> bool:
        """Whether this master believes to lead."""
        return self._driver.is_leader

    @property
    def has_state(self) -> bool:
        """Whether anything was ever applied here; not so in a master that was just added."""
        return self.namespace.applied_index > 0

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
            NotLeader, Overloaded, ReadOnly: nothing was proposed.
            OutcomeUnknown: leadership was lost meanwhile; ask again with the same op id.
        """
        return result_of(await self.submit(encode_op(op), op.client_id), result)

    def submit(self, payload: bytes, client_id: int) -> asyncio.Future[object]:
        """Replicate and apply an operation that is encoded already; await it for `result_of`.

        Raises:
            NotLeader, Overloaded, ReadOnly, MessageTooLarge: nothing was proposed.
        """
        if self._read_only:
            self._driver.require_leader()  # another leader may take changes
            raise ReadOnly(
                f"{self.node_id} leads and takes no changes: its configuration says "
                "read_only = true; remove that and restart the masters, or read only"
            )
        return self._driver.propose(payload, client_id)

    async def read(self) -> Namespace:
        """The leader's namespace, as new as anything acknowledged before the call (INV-LIN).

        Raises:
            NotLeader: also when leadership was lost meanwhile; Overloaded.
        """
        await self.leader_barrier()
        self._driver.require_leader()
        return self.namespace

    def leader_barrier(self, reads: int = 1) -> asyncio.Future[None]:
        """Await it: then `namespace` is linearizable. Only for a leader.

        Args:
            reads: how many share it.

        Raises:
            NotLeader, Overloaded.
        """
        self._driver.require_leader_soon()
        return self._driver.read_barrier(reads=reads)

    def any_barrier(self) -> asyncio.Future[None]:
        """As `leader_barrier`, on any master: a follower asks the leader how far to wait."""
        return self._driver.read_barrier()

    def lease_barrier(self) -> asyncio.Future[None]:
        """As `leader_barrier`, at once under a lease; then `holds_lease` after the answer is made.

        Raises:
            NotLeader, Overloaded.
        """
        self._driver.require_leader_soon()
        return self._driver.read_barrier(lease=True)

    def holds_lease(self) -> bool:
        """Whether nobody else can lead at this moment."""
        return self._driver.holds_lease()

    def staleness_ms(self) -> int | None:
        """At most how old `namespace` is; None when nobody can tell."""
        return self._driver.staleness_ms()
