"""Heartbeats to every known master: begun for those that the leader adds, ended for those gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydfsnode.config import Peer
from pydfsnode.errors import (
    DeadlineExceeded,
    OutcomeUnknown,
    PydfsError,
    SecurityError,
    Unavailable,
)
from pydfsnode.obs.log import get_logger
from pydfsnode.roles.chunkserver.commands import Done
from pydfsnode.roles.chunkserver.heartbeat import Asker, MasterLink
from pydfsnode.roles.chunkserver.known_masters import KnownMasters
from pydfsnode.runtime.clock import Clock

AVOID_MS = 30_000
"""How long the other address of a master goes first, after one did not answer."""

_log = get_logger("chunkserver.masters")

ChannelFor = Callable[[str, str], Asker]
"""(node id, "host:port") to a connection."""
MakeLink = Callable[[str, Asker, int], MasterLink]
"""(node id, connection, number of its first report) to a link that does not run yet."""
Spawn = Callable[[str, Any], "asyncio.Task[Any]"]


class MasterChannel:
    """One master, by the first of its addresses that answers."""

    def __init__(self, name: str, channel_for: ChannelFor, clock: Clock) -> None:
        self._name = name
        self._channel_for = channel_for
        self._clock = clock
        self._avoided: dict[str, int] = {}
        self.addresses: tuple[str, ...] = ()

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """See `heartbeat.Asker`."""
        failure: PydfsError = Unavailable(f"{self._name} has no address")
        for listen in self._in_order():
            channel = self._channel_for(self._name, listen)
            try:
                return await channel.unary(path, request, timeout_ms=timeout_ms)
            except (Unavailable, SecurityError) as error:  # not asked: another one may be
                self._avoid(listen)
                failure = error
            except (DeadlineExceeded, OutcomeUnknown):
                self._avoid(listen)
                raise
        raise failure

    def _in_order(self) -> Sequence[str]:
        if len(self.addresses) < 2 or not self._avoided:
            return self.addresses
        now_ms = self._clock.monotonic_ms()
        self._avoided = {
            listen: until_ms
            for listen, until_ms in self._avoided.items()
            if until_ms > now_ms and listen in self.addresses
        }
        return sorted(self.addresses, key=lambda listen: self._avoided.get(listen, 0))

    def _avoid(self, listen: str) -> None:
        self._avoided[listen] = self._clock.monotonic_ms() + AVOID_MS


class MasterLinks:
    """See the module.

    Args of the constructor:
        channel_for: how a master is reached.
        make_link: makes a link.
        highest_epoch: the newest that any master has told: older leaders are not believed.
        off_loop: runs what blocks.
    """

    def __init__(
        self,
        known: KnownMasters,
        channel_for: ChannelFor,
        make_link: MakeLink,
        highest_epoch: Callable[[], int],
        off_loop: Callable[[Callable[[], None]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._known = known
        self._channel_for = channel_for
        self._make_link = make_link
        self._highest_epoch = highest_epoch
        self._off_loop = off_loop
        self._clock = clock
        self._spawn: Spawn | None = None
        self._links: dict[str, MasterLink] = {}
        self._channels: dict[str, MasterChannel] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._next_report = 0

    def start(self, spawn: Spawn) -> None:
        """Begin with the masters known so far; *spawn* (name, coroutine) owns the tasks."""
        self._spawn = spawn
        self._follow()

    @property
    def leader(self) -> str:
        """The master that says it leads, "" when none does."""
        return next((link.master for link in self._links.values() if link.is_leader), "")

    async def ask_leader(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        """Ask the master that says it leads. Raises Unavailable when none does, else PydfsError."""
        channel = self._channels.get(self.leader)
        if channel is None:
            raise Unavailable("no leading master answers")
        return await channel.unary(path, request, timeout_ms=timeout_ms)

    def reached(self) -> dict[str, bool]:
        """Every known master and whether it answered the last heartbeat."""
        return {name: link.is_reached for name, link in self._links.items()}

    def wake(self) -> None:
        """Something changed here: report soon."""
        for link in self._links.values():
            link.wake()

    def note_done(self, done: Done) -> None:
        """A command ended."""
        for link in self._links.values():
            link.note_done(done)

    async def learn(self, epoch: int, listed: Sequence[Peer], leads: bool) -> None:
        """Take the list of all masters that a master told in *epoch*.

        A follower's only adds to those known, and only while none of these leads: a master that was
        added and elected between two heartbeats is known to nobody here.
        """
        if epoch < self._highest_epoch():
            return  # deposed: others may have come since, and those it names may be gone
        if not leads:
            if not self.leader and self._known.hear(listed):
                self._follow()
        elif self._known.learn(listed):
            # First: the link that told this may be among those that end here.
            await self._off_loop(self._known.save)
            self._follow()

    def _follow(self) -> None:
        """Begin and end links, so that there is one for each known master."""
        assert self._spawn is not None, "start comes first"
        wanted = self._known.addresses()
        for name in [name for name in self._links if name not in wanted]:
            self._end(name)
        for name, addresses in wanted.items():
            channel = self._channels.get(name)
            if channel is None:
                channel = self._begin(name, self._spawn)
            channel.addresses = addresses

    def _begin(self, name: str, spawn: Spawn) -> MasterChannel:
        channel = MasterChannel(name, self._channel_for, self._clock)
        link = self._make_link(name, channel, self._next_report)
        self._channels[name], self._links[name] = channel, link
        self._tasks[name] = spawn(f"heartbeat {name}", link.run())
        return channel

    def _end(self, name: str) -> None:
        _log.info("no longer a master", master=name)
        link = self._links.pop(name)
        del self._channels[name]
        # A master that comes back has seen this process's reports up to here, and one on its way:
        # lower numbers would be old news to it.
        self._next_report = max(self._next_report, link.last_report + 2)
        self._tasks.pop(name).cancel()
