"""Adding, removing and promoting masters, and handing leadership over, as the leader does it.

A request names the end that is wanted, and each method goes there in steps that a later call, also
at another leader, takes up where they stopped: it looks at the members as they are, makes the next
step, and looks again. So a call may be repeated at will, and two operators cannot harm each other.

A master becomes a voter only when it holds the log: first it is a learner, which counts for no
majority (trap E5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydfsnode.config import Peer, is_address
from pydfsnode.errors import (
    ChangeInProgress,
    InvalidArgument,
    PydfsError,
    TransferFailed,
    UnsafeChange,
)
from pydfsnode.raft.configuration import Configuration, member_incarnation, member_name
from pydfsnode.raft.types import PeerView
from pydfsnode.rpc.raft_hello import AskHello, Hello
from pydfsnode.runtime.clock import Clock
from pydfsnode.runtime.raft_status import RaftStatus
from pydfsnode.security.identity import is_name

POLL_MS = 20
"""How often a learner's progress, and a change that somebody else makes, is looked at."""


class MembershipDriver(Protocol):
    """The part of runtime.raft_driver.RaftDriver that changes of the members need."""

    @property
    def configuration(self) -> Configuration:
        """The latest in the log, maybe not committed."""
        ...

    @property
    def configuration_committed(self) -> bool:
        """Whether `configuration` is committed."""
        ...

    def change_configuration(
        self, voters: tuple[str, ...], learners: tuple[str, ...], addresses: dict[str, str]
    ) -> Awaitable[None]:
        """Done when the final configuration is committed."""
        ...

    def transfer_leadership(self, to: str) -> Awaitable[None]:
        """Done when another leads."""
        ...

    def read_barrier(self) -> Awaitable[None]:
        """Done when all that was acknowledged before is applied here."""
        ...

    def require_leader(self) -> None:
        """Raise NotLeader with its hint unless this node believes to lead."""
        ...

    def status(self) -> RaftStatus:
        """How it stands now."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """A master as the leader sees it. `state`: probe, replicate or snapshot; "" of the leader."""

    member: str
    membership: str  # voter, learner, incoming or outgoing
    listen: str
    leads: bool
    active: bool
    match_index: int
    lag: int
    state: str


class Membership:
    """See the module.

    Args of the constructor:
        own: this master's member id.
        addresses: by node name, of members that the configuration has no address of.
        ask: who a master is.
        round_ms: a learner that catches up on what was new within this time is near enough.
    """

    def __init__(
        self,
        driver: MembershipDriver,
        own: str,
        addresses: Mapping[str, str],
        ask: AskHello,
        clock: Clock,
        round_ms: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._driver = driver
        self._own = own
        self._addresses = addresses
        self._ask = ask
        self._clock = clock
        self._round_ms = round_ms
        self._sleep = sleep

    # ---- what is

    def members(self) -> list[Member]:
        """All members by name, as this master knows them."""
        configuration = self._driver.configuration
        status = self._driver.status()
        peers = {peer.node_id: peer for peer in status.peers}
        return [
            self._member(member, configuration, status, peers.get(member))
            for member in configuration.members
        ]

    def _member(
        self, member: str, configuration: Configuration, status: RaftStatus, peer: PeerView | None
    ) -> Member:
        own = member == self._own
        match_index = status.last_index if own else peer.match_index if peer is not None else 0
        return Member(
            member=member,
            membership=_membership(member, configuration),
            listen=self.listen_of(member),
            leads=member_name(member) == status.leader,
            active=own or (peer is not None and peer.active),
            match_index=match_index,
            lag=max(0, status.last_index - match_index),
            state=peer.state if peer is not None else "",
        )

    def listen_of(self, member: str) -> str:
        """Where *member* is reached, "" when unknown."""
        recorded = self._driver.configuration.addresses.get(member)
        return recorded or self._addresses.get(member_name(member), "")

    async def confirm_leader(self) -> None:
        """Return when this master is known to lead and to know all that is committed.

        Raises:
            NotLeader: also when leadership was lost meanwhile.
        """
        self._driver.require_leader()
        await self._driver.read_barrier()
        self._driver.require_leader()

    # ---- what shall be

    async def add(self, name: str, listen: str, *, learner_only: bool = False) -> None:
        """Make the master *name* at *listen* a voter, or no more than a learner.

        Returns when it is one; before it votes it holds the log.

        Raises:
            NotLeader: ask the leader.
            InvalidArgument: the name or address cannot be, or nobody answers there.
            UnsafeChange: who answers there is not fit to be a member.
        """
        if not is_name(name) or not is_address(listen):
            raise InvalidArgument(f"'{name}={listen}' is not a master: write NAME=HOST:PORT")
        while True:
            configuration = await self._settled()
            hello = await self._greeted(name, listen)
            self._check(configuration, hello, listen)
            member = hello.member
            known = self.listen_of(member)
            present = member in configuration.members
            if present and known == listen:
                if learner_only or member in configuration.voters:
                    return
                await self._caught_up(member)
                learners = _without(configuration.learners, member)
                voters = (*configuration.voters, member)
                if await self._change(configuration, voters, learners, {}):
                    return
                continue
            learners = configuration.learners
            if not present:
                # One of this name that is another directory gives way: it may not even be there.
                learners = tuple(m for m in learners if member_name(m) != name)
                learners = (*learners, member)
            await self._change(configuration, configuration.voters, learners, {member: listen})

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Take the master *name* out; returns when the others are the members without it.

        Args:
            force: although those that are left cannot decide now. Acknowledged writes stay safe,
                but nothing is written until enough of them are back.

        Raises:
            NotLeader: ask the leader; also after this one, which shall go, has handed over.
            UnsafeChange: too few would be left.
        """
        while True:
            configuration = await self._settled()
            gone = {m for m in configuration.members if member_name(m) == name}
            if not gone:
                return
            voters = tuple(m for m in configuration.voters if m not in gone)
            learners = tuple(m for m in configuration.learners if m not in gone)
            if voters != configuration.voters:
                self._check_removal(name, voters, force)
                if self._own in gone:
                    await self._hand_over(force)
            await self._change(configuration, voters, learners, {})

    async def transfer(self, name: str) -> int:
        """Make *name* the leader, any voter when it is ""; returns the gap in milliseconds.

        Raises:
            NotLeader: ask the leader.
            InvalidArgument: it is no voter.
            UnsafeChange: it is silent, or there is nobody else.
            TransferFailed: it did not get there in time; this master leads on.
        """
        configuration = await self._settled()
        if name == member_name(self._own):
            return 0
        others = [m for m in configuration.voters if m != self._own]
        targets = [m for m in others if name in ("", member_name(m))]
        if not targets:
            voters = ", ".join(member_name(m) for m in configuration.voters)
            if name:
                raise InvalidArgument(f"{name} is no voting master: there are {voters}")
            raise UnsafeChange(f"{voters} is the only voting master: nobody can take over")
        active = self._active()
        if not any(m in active for m in targets):
            silent = ", ".join(member_name(m) for m in targets)
            raise UnsafeChange(f"{silent} not heard from: it cannot take over; start it first")
        began_ms = self._clock.monotonic_ms()
        await asyncio.shield(_future(self._driver.transfer_leadership(targets[0] if name else "")))
        return self._clock.monotonic_ms() - began_ms

    # ---- checks

    async def _greeted(self, name: str, listen: str) -> Hello:
        if name == member_name(self._own):
            return Hello(name, member_incarnation(self._own), True, (self._own,))
        try:
            return await self._ask(Peer(name, listen))
        except PydfsError as error:
            # Not its class: a client would take this leader for one that does not answer.
            raise InvalidArgument(
                f"no master {name} answers at {listen}: {error.message}; start it, without "
                "--bootstrap and with an empty data_dir, and repeat this"
            ) from None

    def _check(self, configuration: Configuration, hello: Hello, listen: str) -> None:
        name, member = hello.node_id, hello.member
        for present in configuration.members:
            if member_name(present) != name and self.listen_of(present) == listen:
                raise InvalidArgument(f"{listen} is where {member_name(present)} listens")
        others = [m for m in configuration.voters if member_name(m) == name and m != member]
        if others:
            raise UnsafeChange(
                f"{name} is a voting master with another data directory ({others[0]}, now "
                f"{member} answers): run 'pydfsnode cluster remove-master {name}' first"
            )
        strange = hello.formed and not set(hello.members) & set(configuration.members)
        if strange:
            raise UnsafeChange(
                f"{name} at {listen} is a master of {', '.join(hello.members)}, of whom none is "
                "a member here: its log is another one; stop it, give it an empty data_dir, "
                "start it without --bootstrap and repeat this"
            )

    def _check_removal(self, name: str, left: tuple[str, ...], force: bool) -> None:
        if not left:
            raise UnsafeChange(f"{name} is the last voting master: nothing would be left")
        active = self._active()
        silent = [member_name(m) for m in left if m not in active]
        needed = len(left) // 2 + 1
        if len(left) - len(silent) < needed and not force:
            raise UnsafeChange(
                f"without {name}, {needed} of {len(left)} voting masters must answer, and "
                f"{', '.join(silent)} cannot be heard: nothing could be written; start that "
                "first, or remove it first (--force removes all the same)"
            )

    def _active(self) -> set[str]:
        peers = self._driver.status().peers
        return {self._own, *(peer.node_id for peer in peers if peer.active)}

    # ---- steps

    async def _settled(self) -> Configuration:
        """The members when no change is under way, known to be those of the real leader.

        Raises:
            NotLeader.
        """
        while True:
            await self.confirm_leader()
            configuration = self._driver.configuration
            if self._driver.configuration_committed and not configuration.is_joint:
                return configuration
            await self._pause()

    async def _change(
        self,
        seen: Configuration,
        voters: tuple[str, ...],
        learners: tuple[str, ...],
        addresses: dict[str, str],
    ) -> bool:
        """Make one step on from *seen*; False when another change came first: look again."""
        if self._driver.configuration != seen:
            return False
        try:
            changed = self._driver.change_configuration(
                tuple(sorted(voters)), tuple(sorted(learners)), addresses
            )
            # A caller that gives up does not undo what is in the log.
            await asyncio.shield(_future(changed))
        except ChangeInProgress:
            await self._pause()
            return False
        return True

    async def _caught_up(self, member: str) -> None:
        """Return when *member* is as near as it can come to a log that grows (thesis §4.2.1).

        Each round it gets all that was committed when the round began; a round that is shorter
        than an election timeout is the last one.
        """
        while True:
            began_ms = self._clock.monotonic_ms()
            target = self._driver.status().commit_index
            while not self._holds(member, target):
                await self._pause()
                self._driver.require_leader()
                if member not in self._driver.configuration.members:
                    return  # somebody else removed it; the next look will tell
            if self._clock.monotonic_ms() - began_ms <= self._round_ms:
                return

    def _holds(self, member: str, index: int) -> bool:
        peers = self._driver.status().peers
        return any(p.node_id == member and p.active and p.match_index >= index for p in peers)

    async def _hand_over(self, force: bool) -> None:
        """Leave the removal of this leader to the next one; raises NotLeader with its hint."""
        try:
            await asyncio.shield(_future(self._driver.transfer_leadership("")))
        except (TransferFailed, InvalidArgument):  # the latter: nobody else is heard
            if not force:
                raise
            return
        self._driver.require_leader()

    async def _pause(self) -> None:
        await self._sleep(POLL_MS / 1000)


def _membership(member: str, configuration: Configuration) -> str:
    if member in configuration.voters:
        incoming = configuration.is_joint and member not in configuration.outgoing
        return "incoming" if incoming else "voter"
    return "outgoing" if member in configuration.outgoing else "learner"


def _without(members: tuple[str, ...], member: str) -> tuple[str, ...]:
    return tuple(m for m in members if m != member)


def _future(work: Awaitable[None]) -> asyncio.Future[None]:
    return asyncio.ensure_future(work)
