"""Where new replicas go.

The rule, one replica after the other:

1.  The first on the writer's own host, when a chunkserver there does well and has room: these bytes
    do not cross the network. Else on any server.
2.  Each further one in the failure domain with the fewest replicas of this chunk, the widest domain
    deciding first: another data centre, else another room, else another rack, else evenly among
    them. HDFS puts the second and the third into one rack to save traffic between racks; we spread
    three over three, because then two racks may be lost, and a repair has sources in two racks.
3.  Never two on one server. Those that are slow or otherwise do badly only when no others are left;
    but rather there than with all replicas in one rack. Those that an operator takes out of service
    only when there is nobody else at all, and never for copies.

In the domain that is chosen two servers are drawn (the power of two choices), and one of them
taken with a probability by room, health and work: the fullest get the least, and a new empty one
is not buried under all writes at once. Few servers are looked at, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydfsnode.errors import NoChunkservers
from pydfsnode.fleet.candidates import Candidates
from pydfsnode.fleet.servers import GOOD, LAST_RESORT, LESS_GOOD, Server, ServerTable
from pydfsnode.fleet.topology import Rack, crowding

_DRAWS = 12
"""Servers looked at for one of the two, before all are."""
_FEW = 64
"""So many servers are all looked at without a second thought."""

Pick = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be placed.

    Args:
        count: replicas.
        exclude: node ids that may not be chosen.
        bytes_needed: room that a server must have.
        taken: racks of the replicas that the chunk has and keeps.
        host: where the writer is, "" when that is not known.
        is_refused: says of a node id whether it may not be chosen either.
        is_thorough: whether to look at all servers when a few random ones do not do.
        last_resort: whether servers that are taken out of service may be chosen.
    """

    count: int
    exclude: Collection[str] = ()
    bytes_needed: int = 0
    taken: tuple[Rack, ...] = ()
    host: str = ""
    is_refused: Callable[[str], bool] = lambda node_id: False
    is_thorough: bool = True
    last_resort: bool = True


def choose_targets(servers: ServerTable, wish: Wish, pick: Pick) -> list[str]:
    """Up to `wish.count` distinct node ids in the order of the rule, fewer when there are not more.

    Args:
        pick: random numbers in [0, 1). The same numbers choose the same servers.

    Raises:
        NoChunkservers: not a single one.
    """
    chosen = candidates(servers, wish, pick)
    if not chosen:
        raise NoChunkservers(
            f"no live chunkserver has {wish.bytes_needed} bytes free"
            + (f" beside {', '.join(sorted(wish.exclude))}" if wish.exclude else "")
            + ": start more chunkservers or make room",
            retry_after_ms=1000,
        )
    for server in chosen:
        server.assign(wish.bytes_needed)
    return [server.node_id for server in chosen]


def candidates(servers: ServerTable, wish: Wish, pick: Pick) -> list[Server]:
    """As `choose_targets`, without taking note that anything is placed there; maybe nobody."""
    chosen: list[Server] = []
    placing = _Placing(servers, wish, pick)
    while len(chosen) < wish.count:
        server = placing.next(chosen)
        if server is None:
            break
        chosen.append(server)
    return chosen


class _Placing:
    """The choice for one wish."""

    def __init__(self, servers: ServerTable, wish: Wish, pick: Pick) -> None:
        self._servers = servers
        self._wish = wish
        self._pick = pick
        self._chosen: set[str] = set()

    def next(self, chosen: list[Server]) -> Server | None:
        """The server after those *chosen*, None when there is none."""
        self._chosen = {server.node_id for server in chosen}
        taken = [*self._wish.taken, *(server.place for server in chosen)]
        if not taken and self._wish.host:
            local = self._at_host()
            if local is not None:
                return local
        good = self._of_class(GOOD, taken)
        last = len(chosen) == self._wish.count - 1
        if good is not None and not (last and taken and {*taken, good.place} == {taken[0]}):
            return good
        less_good = self._of_class(LESS_GOOD, taken)
        if good is not None:  # all replicas in one rack, unless another rack has somebody
            elsewhere = less_good is not None and less_good.place != good.place
            return less_good if elsewhere else good
        if less_good is None and not chosen and self._wish.last_resort:
            return self._of_class(LAST_RESORT, taken)
        return less_good

    def _at_host(self) -> Server | None:
        good = self._servers.candidates[GOOD]
        there = [s for s in self._servers.at_host(self._wish.host) if s.node_id in good]
        return self._heavier([server for server in there if self._may_take(server)])

    def _of_class(self, number: int, taken: list[Rack]) -> Server | None:
        """One of the servers of a class that share the fewest domains with those at *taken*."""
        filed = self._servers.candidates[number]
        if not filed:
            return None
        if len(filed) > _FEW:
            two = [self._draw(filed, taken), self._draw(filed, taken)]
            drawn = list({s.node_id: s for s in two if s is not None}.values())
            if drawn or not self._wish.is_thorough:
                return self._lighter(drawn, taken)
        return self._lighter([s for s in filed.all() if self._may_take(s)], taken)

    def _draw(self, filed: Candidates[Server], taken: list[Rack]) -> Server | None:
        for _ in range(_DRAWS):
            server = filed.draw(taken, self._pick)
            if server is not None and self._may_take(server):
                return server
        return None

    def _may_take(self, server: Server) -> bool:
        node_id, wish = server.node_id, self._wish
        return (
            node_id not in self._chosen
            and server.room_bytes >= max(wish.bytes_needed, 1)
            and node_id not in wish.exclude
            and not wish.is_refused(node_id)
        )

    def _lighter(self, servers: list[Server], taken: list[Rack]) -> Server | None:
        """One of those of *servers* whose domains hold the fewest replicas."""
        if taken and len(servers) > 1:
            crowded = [crowding(server.place, taken) for server in servers]
            least = min(crowded)
            servers = [s for s, crowd in zip(servers, crowded, strict=True) if crowd == least]
        return self._heavier(servers)

    def _heavier(self, servers: list[Server]) -> Server | None:
        """One of two at random, more probably the one with the greater weight."""
        if not servers:
            return None
        first = servers[int(self._pick() * len(servers))]
        if len(servers) == 1:
            return first
        others = [server for server in servers if server is not first]
        second = others[int(self._pick() * len(others))]
        share = first.weight / (first.weight + second.weight)
        return first if self._pick() < share else second
