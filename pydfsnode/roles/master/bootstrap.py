"""How a master with an empty log becomes a member: it begins a cluster with others, or is added.

Masters that begin a cluster must all begin with the same members, and a member is a name *and* a
data directory (trap E6): so each asks all others for their incarnations before it writes anything.
A master whose disk was lost finds its name taken by the directory it had, and does not run.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pydfsnode.config import Peer
from pydfsnode.errors import ConfigError, PydfsError
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import Configuration, member_name
from pydfsnode.rpc.raft_hello import AskHello, Hello
from pydfsnode.runtime.retry import MASTER_TO_MASTER

_log = get_logger("roles.master.bootstrap")

Begin = Callable[[Configuration], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet, because of `reason`."""

    reason: str


def decide(
    own: str, masters: Sequence[Peer], answers: Sequence[Hello], unheard: Sequence[str]
) -> Configuration | Wait:
    """What a master that may begin a cluster does, knowing the others' *answers*.

    Args:
        own: its member id.
        masters: all that are configured.
        answers: of the others.
        unheard: names of the others that did not answer, with why.
    Returns:
        The members to begin with, the same on every master that gets to this point.
    Raises:
        ConfigError: this master's name belongs to another data directory.
    """
    names = sorted(peer.node_id for peer in masters)
    for hello in answers:
        if not hello.formed:
            continue
        refuse_other_directory(own, hello)
        if own in hello.members and sorted(map(member_name, hello.members)) == names:
            return _configuration(hello.members, masters)  # they began with this very directory
        return _to_be_added(own, hello)
    if unheard:
        return Wait(f"waits for all masters to begin a cluster together: {'; '.join(unheard)}")
    for hello in answers:
        if sorted(hello.masters) != names:
            theirs = ", ".join(sorted(hello.masters)) or "nobody (it has no --bootstrap)"
            return Wait(
                f"{hello.node_id} would begin a cluster with {theirs}, this master with "
                f"{', '.join(names)}: make `masters` equal on all and start all with --bootstrap"
            )
    return _configuration((own, *(hello.member for hello in answers)), masters)


def refuse_other_directory(own: str, hello: Hello) -> None:
    """Raise ConfigError when *hello*'s cluster knows this master's name with another directory."""
    name = member_name(own)
    for member in hello.members:
        if member_name(member) == name and member != own:
            raise ConfigError(
                f"{name} is a member of this cluster with another data directory ({member}, this "
                f"one is {own}): this disk is new, and what the other one promised is unknown to "
                f"it. Restore that directory, or run 'pydfsnode cluster remove-master {name}' and "
                f"then start this master without --bootstrap and run 'pydfsnode cluster "
                f"add-master {name}=HOST:PORT'"
            )


def _to_be_added(own: str, hello: Hello) -> Wait:
    name = member_name(own)
    members = ", ".join(sorted(map(member_name, hello.members)))
    if own in hello.members:
        return Wait(f"waits for the log of the leader of {members}")
    return Wait(
        f"waits to be added to the cluster of {members}: run 'pydfsnode cluster add-master "
        f"{name}=HOST:PORT'"
    )


def _configuration(members: Sequence[str], masters: Sequence[Peer]) -> Configuration:
    listen = {peer.node_id: peer.listen for peer in masters}
    voters = tuple(sorted(members))
    return Configuration(voters=voters, addresses={m: listen[member_name(m)] for m in voters})


class Formation:
    """Waits until this master is a member.

    Args of the constructor:
        own: its member id.
        masters: those configured, this one among them.
        may_begin: whether it may begin a cluster (`bootstrap`), else it only waits to be added.
        ask: who another master is.
        begin: writes the first configuration; returns when it is durable.
        is_member: whether it has a configuration by now (a leader may send one at any time).
    """

    def __init__(
        self,
        own: str,
        masters: Sequence[Peer],
        may_begin: bool,
        ask: AskHello,
        begin: Begin,
        is_member: Callable[[], bool],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._own = own
        self._masters = masters
        self._others = [peer for peer in masters if peer.node_id != member_name(own)]
        self._may_begin = may_begin
        self._ask = ask
        self._begin = begin
        self._is_member = is_member
        self._backoff = MASTER_TO_MASTER.backoff(chance)
        self.reason = ""
        """Why this master is no member yet; "" when it is."""

    async def run(self) -> None:
        """Return when this master is a member.

        Raises:
            ConfigError: it never will be with this data directory.
        """
        if not self._may_begin:
            self._tell(
                "waits to be added: run 'pydfsnode cluster add-master "
                f"{member_name(self._own)}=HOST:PORT' on the cluster"
            )
        while not self._is_member():
            decision = await self._round()
            if self._is_member():
                break
            if isinstance(decision, Configuration):
                await self._begin(decision)
                _log.info("cluster begun", members=list(decision.voters))
                break
            self._tell(decision.reason)
            await asyncio.sleep(self._backoff.next_ms() / 1000)
        self.reason = ""

    async def _round(self) -> Configuration | Wait:
        answers: list[Hello] = []
        unheard: list[str] = []
        found = await asyncio.gather(*map(self._ask, self._others), return_exceptions=True)
        for peer, answer in zip(self._others, found, strict=True):
            if isinstance(answer, Hello):
                answers.append(answer)
            elif isinstance(answer, PydfsError):
                unheard.append(f"{peer}: {answer.message}")
            else:
                raise answer
        if self._may_begin:
            return decide(self._own, self._masters, answers, unheard)
        for hello in answers:
            if hello.formed:
                try:
                    refuse_other_directory(self._own, hello)
                except ConfigError as error:  # who answered may not know that that one is removed
                    return Wait(error.message)
                return _to_be_added(self._own, hello)
        return Wait(self.reason)

    def _tell(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            _log.info("not a member yet", member=self._own, why=reason)
