"""Finds the leading master, or for some reads any master, and asks it until the deadline.

What happens after an error is decided by two things only: the class's `retry` (errors.py) and the
method's row (rpc/methods.py). Every attempt of a call sends the same request, so the same op id.

    any that hints at who leads
                              the hinted node at once, unless this sweep has asked it already
    NotLeader, Unavailable    the next master not yet asked in this sweep; after all, a pause
    Overloaded                the same master after `retry_after_ms`
    OutcomeUnknown            another master first: the one that was asked may hang
    PeerUnauthenticated       another master: one with a bad certificate must not stop everybody

What is asked again takes from a budget (runtime/retry.py), unless a hint says whom to ask. While
the budget is empty calls wait for the first answer to any of them, so that a broken cluster is
looked for by a few requests a second and not by one of every caller.

The masters change while clients run. A hint may name a master that is not configured, or one that
moved: it is remembered, and asked from then on beside those of the configuration. And the leader is
asked for the list of all of them now and then, in the background, so that a client finds the
cluster as long as it runs, when all configured masters are gone.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import NamedTuple, Protocol

from pydfsnode.client.master_list import MasterList
from pydfsnode.config import Peer, is_address
from pydfsnode.errors import (
    ConfigError,
    DeadlineExceeded,
    OutcomeUnknown,
    PeerUnauthenticated,
    PydfsError,
    Retry,
)
from pydfsnode.obs.faults import fault_of
from pydfsnode.rpc.methods import METHODS
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.retry import CLIENT_TO_MASTER, Backoff, Deadline, RetryBudget

ATTEMPT_MS = 3_000
"""First patience with one silent master, doubled with each attempt: a frozen leader must not eat
the whole deadline, a slow one must not be asked ever more often."""
READ_ANY_ATTEMPT_MS = 1_000
"""Patience with one master where any other could answer as well."""
AVOID_MS = 2_000
"""How long a master that could not answer a read is passed over where any may answer."""
LIST_AFTER_MS = 1_000
"""A new leader is asked for the list of all masters after this: a short command never asks."""
LIST_EVERY_MS = 30_000
"""How often it is asked again, at most and only while there are calls."""
TRIED_MAX = 16
"""Masters and faults that an error names."""


class Channel(Protocol):
    """The part of rpc.channel.FramedChannel that routing needs."""

    def ask(self, path: str, request: bytes, *, timeout_ms: int) -> Awaitable[bytes]:
        """One call, request and answer encoded; see rpc/channel.py for its errors."""
        ...


ChannelFor = Callable[[Peer], Channel]
"""Gives the channel to a master, which finds its way to that address for as long as it is used."""
ListMasters = Callable[[Channel], Awaitable[Sequence[Peer]]]
"""Asks a leader for all members."""


class LeaderRouter:
    """Remembers the leader between calls; any number of calls at once in one event loop."""

    def __init__(
        self,
        masters: Sequence[Peer],
        channel_for: ChannelFor,
        *,
        clock: Clock,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        attempt_ms: int = ATTEMPT_MS,
        list_masters: ListMasters | None = None,
        retries_max: int | None = None,
        timeout_ms: int = 0,
        timeouts_ms: Mapping[str, int] | None = None,
    ) -> None:
        """Args:
        timeout_ms, timeouts_ms: calls that give the former get what the latter says of their path.
        retries_max: of one call; None: as many as its deadline allows. Asking one master after
            the other, each once, is no retry.
        """
        if not masters:
            raise ConfigError("no masters to ask: name at least one as NAME=HOST:PORT")
        self._masters = MasterList(masters)
        self._avoided: dict[Peer, int] = {}  # until when, by the monotonic clock
        self._turn = int(random() * len(masters))  # so that clients do not walk in step
        self._channel_for = channel_for
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._attempt_ms = attempt_ms
        self._leader: Peer | None = None
        self._channel_peer = self._masters.known[0]
        self._channel = channel_for(self._channel_peer)  # kept: looked up once for many calls
        self._problem: str | None = None
        self._troubled = False  # something failed, and not all is as it was before
        self._budget = RetryBudget(clock)
        self._waiting: list[asyncio.Future[None]] = []  # for an answer to anybody's call
        self._retries_max = retries_max
        self._timeout_ms = timeout_ms
        self._timeouts_ms = timeouts_ms or {}
        self._list_masters = list_masters
        self._listed_by: Peer | None = None
        self._list_due_ms = 0
        self._listing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End what goes on in the background."""
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.wait([self._listing])

    @property
    def leader(self) -> Peer | None:
        """The master believed to lead, or None before the first answer."""
        return self._leader

    def hinted(self, leader_hint: str) -> None:
        """A master that answered a read says who leads: asked first when no leader is known."""
        if self._leader is None and (peer := self._known_from(leader_hint)) is not None:
            self._leader = peer

    def waiting_because(self) -> str | None:
        """The last error of all calls since the last answer to any; None while all is well."""
        return self._problem

    @property
    def masters(self) -> list[Peer]:
        """All masters known, in the order in which they are asked."""
        return list(self._masters.known)

    async def read_any(self, path: str, request: bytes, *, timeout_ms: int) -> bytes:
        """Ask the masters in turn; where one cannot answer, the leader as `call` does.

        Args and errors as `call`. For requests that any master may answer.
        """
        if self._timeouts_ms and timeout_ms == self._timeout_ms:
            timeout_ms = self._timeouts_ms.get(path, timeout_ms)
        deadline = Deadline.after(self._clock, timeout_ms)
        target = self._next_reader()
        if target is not None:
            patience_ms = min(max(1, timeout_ms // 2), READ_ANY_ATTEMPT_MS)
            try:
                answer = await self._channel_for(target).ask(path, request, timeout_ms=patience_ms)
            except PydfsError as error:
                self.hinted(_hint_of(error))
                if error.retry is Retry.NEVER and not isinstance(error, _NOT_ITS_ANSWER):
                    raise
                self._avoided[target] = self._clock.monotonic_ms() + AVOID_MS
            else:
                if self._troubled:
                    self._recovered()
                return answer
        return await self.call(path, request, timeout_ms=deadline.remaining_ms())

    def _next_reader(self) -> Peer | None:
        """Whose turn it is, without those that could not answer lately; None: all of them."""
        known, current, avoided = self._masters.known, self._masters.current, self._avoided
        for _ in range(current):
            self._turn = (self._turn + 1) % current
            peer = known[self._turn]
            if not avoided:
                return peer
            until_ms = avoided.get(peer)
            if until_ms is None or until_ms <= self._clock.monotonic_ms():
                avoided.pop(peer, None)
                return peer
        return None

    async def call(
        self,
        path: str,
        request: bytes,
        *,
        timeout_ms: int,
        final: tuple[type[PydfsError], ...] = (),
        changes: bool = False,
    ) -> bytes:
        """Ask the leader.

        Args:
            path: "/service/method".
            request: encoded; the same in all attempts.
            timeout_ms: of all attempts together.
            final: errors that the caller wants at once although a retry could help.
            changes: the request has an op id: it may take effect without an answer.

        Returns:
            The answer, encoded.

        Raises:
            PydfsError: the leader's own answer, when its class says that retrying changes nothing.
            OutcomeUnknown: the deadline passed and an attempt may have taken effect.
            ClusterError: the deadline passed; the last attempt's class, or DeadlineExceeded.
        """
        if self._timeouts_ms and timeout_ms == self._timeout_ms:
            timeout_ms = self._timeouts_ms.get(path, timeout_ms)
        began_ms = self._clock.monotonic_ms()
        target = self._leader or self._masters.known[0]
        if target is not self._channel_peer:
            self._channel, self._channel_peer = self._channel_for(target), target
        if timeout_ms <= 0:
            raise self._expired(_Call(path, request, timeout_ms, final, changes), None)
        patience_ms = timeout_ms if timeout_ms < self._attempt_ms else self._attempt_ms
        try:
            answer = await self._channel.ask(path, request, timeout_ms=patience_ms)
        except PydfsError as error:
            failure = error
        else:
            self._answered(target, began_ms)
            return answer
        # Nearly every call needs none of what follows.
        backoff = CLIENT_TO_MASTER.backoff(self._random)
        deadline = Deadline(self._clock, began_ms + timeout_ms)
        sweep = _Sweep(deadline, backoff, METHODS[path].idempotent)
        call = _Call(path, request, timeout_ms, final, changes)
        return await self._ask_again(call, sweep, target, failure)

    async def _ask_again(
        self, call: _Call, sweep: _Sweep, target: Peer, failure: PydfsError
    ) -> bytes:
        """The answer to *call*, whose first attempt at *target* ended with *failure*."""
        self._troubled = True
        for attempts in itertools.count(1):
            sweep.note(failure, target)
            retry = self._may_retry(failure, sweep) and not isinstance(failure, call.final)
            self._problem = failure.message if retry else None
            if not retry:
                raise failure
            target = await self._next_target(failure, target, sweep)
            remaining_ms = sweep.deadline.remaining_ms()
            if not remaining_ms:
                break
            if self._retries_max is not None and sweep.retries > self._retries_max:
                raise self._failed(call, sweep, f"after {sweep.retries - 1} retries")
            try:
                answer = await self._channel_for(target).ask(
                    call.path,
                    call.request,
                    timeout_ms=min(remaining_ms, self._attempt_ms << min(attempts, 16)),
                )
            except PydfsError as error:
                failure = error
            else:
                self._answered(target, self._clock.monotonic_ms())
                return answer
        raise self._expired(call, sweep)

    def _may_retry(self, error: PydfsError, sweep: _Sweep) -> bool:
        if isinstance(error, PeerUnauthenticated):
            return any(peer not in sweep.asked for peer in self._masters.known)
        return sweep.may_retry(error)

    def _answered(self, leader: Peer, now_ms: int) -> None:
        self._leader = leader
        if self._troubled:
            self._recovered()
        if leader is not self._listed_by or now_ms > self._list_due_ms:
            self._list_soon(leader)

    def _recovered(self) -> None:
        """A call was answered after others had failed."""
        self._problem = None
        self._budget.earn()
        self._troubled = not self._budget.is_full
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _next_target(self, error: PydfsError, asked: Peer, sweep: _Sweep) -> Peer:
        """Whom to ask after *error* from *asked*; waits when everybody has been asked in vain."""
        if error.retry is Retry.SAME_NODE_LATER:
            await self._pause(sweep, int(error.fields.get("retry_after_ms", 0)))
            while not self._budget.take() and not sweep.deadline.passed:
                await self._pause(sweep, 0)
            return asked
        if self._leader == asked:
            self._leader = None
        hinted = self._known_from(_hint_of(error))
        if hinted is not None and hinted not in sweep.asked:
            self._leader = hinted
            return hinted
        for candidate in (self._leader, *self._masters.known):
            if candidate is not None and candidate not in sweep.asked:
                return await self._within_budget(candidate, sweep)
        sweep.retries += 1
        await self._pause(sweep, 0)
        sweep.asked.clear()
        # Another call may have found the leader while this one slept; else begin after the one
        # asked last, so that a hanging master is not asked first each time.
        candidate = self._leader or hinted or self._masters.after(asked)
        return await self._within_budget(candidate, sweep)

    async def _within_budget(self, candidate: Peer, sweep: _Sweep) -> Peer:
        """Whom to ask when there may be one more retry: *candidate*, or who answered meanwhile."""
        while not self._budget.take() and not sweep.deadline.passed:
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(answered)
            pause = asyncio.ensure_future(self._pause(sweep, 0))
            try:
                await asyncio.wait({answered, pause}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
            if answered.done() and self._leader is not None:
                return self._leader
            if answered in self._waiting:
                self._waiting.remove(answered)
        return candidate

    def _known_from(self, leader_hint: str) -> Peer | None:
        """The leader that a hint names, from now on known; None when it names none."""
        hinted = _parse_hint(leader_hint)
        if hinted is not None and not self._masters.is_current(hinted):
            self._masters.hinted(hinted)
            self._forget_avoided()
        return hinted

    def _forget_avoided(self) -> None:
        known = self._masters.known
        self._avoided = {p: until for p, until in self._avoided.items() if p in known}

    def _list_soon(self, leader: Peer) -> None:
        """Ask *leader* for all masters, later and in the background, unless that goes on."""
        if self._list_masters is None:
            self._listed_by, self._list_due_ms = leader, 1 << 62  # nor the next time
        elif self._listing is None:
            self._listed_by = leader
            self._list_due_ms = self._clock.monotonic_ms() + LIST_EVERY_MS
            self._listing = asyncio.get_running_loop().create_task(
                self._list(self._list_masters, leader), context=Context()
            )

    async def _list(self, list_masters: ListMasters, leader: Peer) -> None:
        try:
            await self._sleep(LIST_AFTER_MS / 1000)
            self._masters.listed(leader, await list_masters(self._channel_for(leader)))
            self._forget_avoided()
        except PydfsError:
            pass  # nobody waits for it; the next leader, or this one later, is asked again
        finally:
            self._listing = None

    async def _pause(self, sweep: _Sweep, at_least_ms: int) -> None:
        wait_ms = sweep.backoff.next_ms(at_least_ms)
        await self._sleep(min(wait_ms, sweep.deadline.remaining_ms()) / 1000)

    def _expired(self, call: _Call, sweep: _Sweep | None) -> PydfsError:
        return self._failed(call, sweep, f"within {call.timeout_ms / 1000:g} s")

    def _failed(self, call: _Call, sweep: _Sweep | None, when: str) -> PydfsError:
        name = call.path.rpartition("/")[2]
        asked = ", ".join(str(peer) for peer in self._masters.known)
        text = f"{name} had no answer from a leader {when} (masters: {asked})"
        last = sweep.last_error if sweep is not None else None
        if sweep is None or last is None:
            return DeadlineExceeded(text)
        tried = sweep.tried()
        text += f"; tried {tried}; last: {last.message}"
        if sweep.outcome_unknown:
            kind = OutcomeUnknown if call.changes else DeadlineExceeded
            return kind(text, tried=tried)
        return type(last)(text, **{**last.fields, "tried": tried})


_NOT_ITS_ANSWER = (DeadlineExceeded, PeerUnauthenticated)
"""Errors of class `Retry.NEVER` that do not say what every other master would say too."""


class _Call(NamedTuple):
    """What is asked, and how."""

    path: str
    request: bytes
    timeout_ms: int
    final: tuple[type[PydfsError], ...]
    changes: bool


class _Sweep:
    """What one call has tried so far."""

    def __init__(self, deadline: Deadline, backoff: Backoff, idempotent: bool) -> None:
        self.deadline = deadline
        self.backoff = backoff
        self.asked: set[Peer] = set()  # with the address: a master that moved is another one
        self.last_error: PydfsError | None = None
        self.outcome_unknown = False
        self.retries = 0
        self._tried: dict[tuple[str, str], int] = {}
        self._idempotent = idempotent

    def note(self, error: PydfsError, asked: Peer) -> None:
        self.last_error = error
        self.asked.add(asked)
        what = asked.node_id, str(fault_of(error) or type(error).__name__)
        self._tried[what] = self._tried.get(what, 0) + 1
        # DeadlineExceeded before our own deadline is one attempt's patience: sent or not, unknown.
        if error.retry is Retry.SAME_OP_ID or isinstance(error, DeadlineExceeded):
            self.outcome_unknown = True
        if error.retry in (Retry.SAME_OP_ID, Retry.SAME_NODE_LATER):
            self.retries += 1

    def tried(self) -> str:
        """What happened to whom, as in "m1 refused 3x, m2 not_leader 2x"."""
        shown = list(self._tried.items())[:TRIED_MAX]
        return ", ".join(f"{peer} {fault} {times}x" for (peer, fault), times in shown)

    def may_retry(self, error: PydfsError) -> bool:
        if error.retry is Retry.SAME_OP_ID or isinstance(error, DeadlineExceeded):
            return self._idempotent
        return error.retry is not Retry.NEVER


def _hint_of(error: PydfsError) -> str:
    return str(error.fields.get("leader_hint", ""))


def _parse_hint(hint: str) -> Peer | None:
    """The hinted leader, or None for "" and for what no master would send."""
    node_id, separator, listen = hint.partition("=")
    return Peer(node_id, listen) if separator and node_id and is_address(listen) else None
