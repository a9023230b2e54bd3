"""Callers that wait for a change of the members, a transfer of leadership or a first start."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydfsnode.errors import OutcomeUnknown, PydfsError, TransferFailed
from pydfsnode.raft.core import RaftCore
from pydfsnode.runtime.answers import refuse

Done = asyncio.Future[None]
HANDED_OVER_TIMEOUTS = 4
"""Election timeouts within which a successor must have shown itself."""


@dataclass(slots=True)
class _Change:
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    done: Done


class MemberChanges:
    """See the module; `settle` is called after each turn of the driver."""

    def __init__(self, core: RaftCore, timeout_ms: int) -> None:
        self._core = core
        self._timeout_ms = timeout_ms
        self._changes: list[_Change] = []
        self._transfers: list[Done] = []
        self._transfer_until_ms = 0
        self.successor = ""
        """To whom leadership went last; a hint until a new leader is heard."""
        self._first: list[tuple[int, Done]] = []

    @property
    def waiting(self) -> bool:
        """Whether anybody waits."""
        return bool(self._changes or self._transfers or self._first or self.successor)

    def changing(self, voters: tuple[str, ...], learners: tuple[str, ...], done: Done) -> None:
        """*done* is for when exactly these are the members, finally and committed."""
        self._changes.append(_Change(tuple(sorted(voters)), tuple(sorted(learners)), done))

    def transferring(self, to: str, done: Done, now_ms: int) -> None:
        """*done* is for when another leads."""
        self.successor = to
        self._transfers.append(done)
        self._transfer_until_ms = now_ms + HANDED_OVER_TIMEOUTS * self._timeout_ms

    def bootstrapping(self, io_id: int, done: Done) -> None:
        """*done* is for when the group *io_id* is durable."""
        self._first.append((io_id, done))

    def settle(self, durable_io: int, now_ms: int) -> None:
        """Answer those whose wish came true, or cannot any more."""
        self._settle_first(durable_io)
        self._settle_changes()
        self._settle_transfers(now_ms)

    def _settle_first(self, durable_io: int) -> None:
        for io_id, done in self._first:
            if io_id <= durable_io and not done.done():
                done.set_result(None)
        self._first = [waiting for waiting in self._first if waiting[0] > durable_io]

    def _settle_changes(self) -> None:
        core = self._core
        found = core.configuration
        for change in list(self._changes):
            reached = (found.voters, found.learners) == (change.voters, change.learners)
            if core.configuration_settled and reached:
                if not change.done.done():
                    change.done.set_result(None)
                self._changes.remove(change)
        if core.role != "leader":
            unknown = OutcomeUnknown(
                "the leader changed before the change of the masters was finished; the next one "
                "finishes it if it was begun: ask again"
            )
            refuse((change.done for change in self._changes), unknown)
            self._changes.clear()

    def _settle_transfers(self, now_ms: int) -> None:
        core = self._core
        led_by_another = core.role != "leader" and core.leader not in ("", core.node_id)
        if led_by_another:
            self.successor = ""
            for done in self._transfers:
                if not done.done():
                    done.set_result(None)
            self._transfers.clear()
        elif core.role == "leader" and not core.transferring:
            self.successor = ""
            self._fail_transfers("could not be handed over in time; this master leads on")
        elif core.role != "leader" and now_ms > self._transfer_until_ms:
            self.successor = ""
            self._fail_transfers("was given up, but nobody was elected yet")

    def _fail_transfers(self, why: str) -> None:
        refuse(self._transfers, TransferFailed(f"leadership {why}: see 'cluster status'"))
        self._transfers.clear()

    def fail_all(self, error: PydfsError) -> None:
        """The node ends."""
        refuse([c.done for c in self._changes], error)
        refuse(self._transfers, error)
        refuse([done for _, done in self._first], error)
        self._changes.clear()
        self._transfers.clear()
        self._first.clear()
