"""Servers filed by failure domain, so that one of the emptiest domain is drawn in a few steps.

A draw walks from the widest domain down and takes in each the branch that holds the fewest of the
replicas already placed; among equals, branches with more servers more often. It looks at a few
random servers before it looks at all branches: what it costs does not depend on how many there are,
except where branches are so uneven that chance misses the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from pydfsnode.fleet.topology import Rack, Spread

_GUESSES = 4
_OWN = ""
"""The branch of servers that stand in a domain which has others below."""


class Placed(Protocol):
    """What is filed."""

    @property
    def place(self) -> Rack:
        """Its rack."""


S = TypeVar("S", bound=Placed)


class _Domain(Generic[S]):
    __slots__ = ("at", "branches", "names", "servers")

    def __init__(self) -> None:
        self.branches: dict[str, _Domain[S]] = {}
        self.servers: list[S] = []
        self.names: list[str] = []
        self.at: dict[str, int] = {}

    def add(self, name: str, server: S) -> None:
        self.at[name] = len(self.servers)
        self.servers.append(server)
        self.names.append(name)

    def remove(self, name: str) -> None:
        """In a step that does not depend on how many there are: the last takes the free place."""
        at = self.at.pop(name)
        server, last = self.servers.pop(), self.names.pop()
        if last != name:
            self.servers[at], self.names[at] = server, last
            self.at[last] = at


class Candidates(Generic[S]):
    """Servers of one class."""

    def __init__(self) -> None:
        self._root: _Domain[S] = _Domain()
        self._filed: dict[str, Rack] = {}
        self._spread: Spread | None = None

    def __len__(self) -> int:
        return len(self._filed)

    def __contains__(self, name: str) -> bool:
        return name in self._filed

    def add(self, name: str, place: Rack, server: S) -> None:
        """File *server* under *place*; nothing when it is there already."""
        if self._filed.get(name) == place:
            return
        self.remove(name)
        self._filed[name] = place
        domain = self._root
        domain.add(name, server)
        for part in (*place, _OWN):
            domain = domain.branches.setdefault(part, _Domain())
            domain.add(name, server)
        self._spread = None

    def remove(self, name: str) -> None:
        """Take *name* out; nothing when it is not there."""
        place = self._filed.pop(name, None)
        if place is None:
            return
        domain = self._root
        domain.remove(name)
        for part in (*place, _OWN):
            below = domain.branches[part]
            below.remove(name)
            if not below.servers:
                del domain.branches[part]
                break
            domain = below
        self._spread = None

    def spread(self) -> Spread:
        """How well replicas can lie on these servers."""
        if self._spread is None:
            self._spread = Spread(set(self._filed.values()))
        return self._spread

    def all(self) -> Sequence[S]:
        """Every server, in an order that only what was added and removed decides."""
        return self._root.servers

    def draw(self, taken: Sequence[Rack], pick: Callable[[], float]) -> S | None:
        """A server of the domains with the fewest replicas at *taken*; None: there are no servers.

        It may be one of the servers that hold those replicas.
        """
        domain, depth = self._root, 0
        if not domain.servers:
            return None
        near = taken
        while domain.branches:
            part = _branch(domain, depth, near, pick)
            domain = domain.branches[part]
            near = [rack for rack in near if _part(rack, depth) == part]
            depth += 1
        return domain.servers[int(pick() * len(domain.servers))]


def _part(rack: Rack, depth: int) -> str:
    return rack[depth] if depth < len(rack) else _OWN


def _branch(domain: _Domain[S], depth: int, near: Sequence[Rack], pick: Callable[[], float]) -> str:
    if len(domain.branches) == 1:
        return next(iter(domain.branches))
    used: dict[str, int] = {}
    for rack in near:
        part = _part(rack, depth)
        used[part] = used.get(part, 0) + 1
    for _ in range(_GUESSES):
        server = domain.servers[int(pick() * len(domain.servers))]
        part = _part(server.place, depth)
        if part not in used:
            return part
    # Where all servers hold a replica, there is nothing to take.
    open_parts = [
        part for part, below in domain.branches.items() if len(below.servers) > used.get(part, 0)
    ] or list(domain.branches)
    fewest = min(used.get(part, 0) for part in open_parts)
    emptiest = [part for part in open_parts if used.get(part, 0) == fewest]
    remaining = int(pick() * sum(len(domain.branches[part].servers) for part in emptiest))
    for part in emptiest:
        remaining -= len(domain.branches[part].servers)
        if remaining < 0:
            return part
    return emptiest[-1]
