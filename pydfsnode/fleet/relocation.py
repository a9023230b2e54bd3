"""Replicas on their way from one server to another: copied, reported, and only then deleted.

What is moved never counts less than before: the source goes when as many others as wanted lie on
confirmed servers (`DeleteOrders.order_moved`). These copies have limits of their own below those of
repairs, and smaller ones while repairs run. What a leader forgets is no harm: the copy that it
ordered makes one replica too many, which the next leader trims.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode.fleet.bounds import COPY_TIMEOUT_MS, FAILED_COPY_MS
from pydfsnode.fleet.deletions import DeleteOrders
from pydfsnode.fleet.orders import Copy, Delete
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import Server, ServerTable
from pydfsnode.fleet.topology import Rack, concentration, is_better

PER_SERVER_MAX = 32
"""Replicas that a server may have before it, to take and to give each."""
BESIDE_REPAIR_MAX = 4
"""The same, while chunks in danger are copied."""
BYTES_PER_SERVER_MAX = 256 * limits.MIB


@dataclass(slots=True)
class Relocation:
    """One replica; `copied`: the target has reported it, the source is to be deleted."""

    chunk_id: int
    source: str
    target: str
    giver: str
    length: int
    until_ms: int
    copied: bool = False


class Relocations:
    """By chunk: one at a time of each. `on_moved` is told of those that ended well."""

    def __init__(
        self,
        servers: ServerTable,
        replicas: ReplicaMap,
        deletes: DeleteOrders,
        on_moved: Callable[[Relocation], None],
    ) -> None:
        self._servers = servers
        self._replicas = replicas
        self._deletes = deletes
        self._on_moved = on_moved
        self._running: dict[int, Relocation] = {}
        self._failed: dict[tuple[int, str], int] = {}
        self._taking: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._giving: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._open: list[Server] = []
        self.beside_repair = False
        """Whether chunks in danger are copied now."""

    @property
    def running(self) -> list[Relocation]:
        """What is not finished."""
        return list(self._running.values())

    def of_chunk(self, chunk_id: int) -> Relocation | None:
        """What is under way of *chunk_id*."""
        return self._running.get(chunk_id)

    def clear(self) -> None:
        """Forget every order."""
        for orders in (self._running, self._failed, self._taking, self._giving):
            orders.clear()

    # ---- where to

    def refresh(self) -> None:
        """Look again who may take replicas; once for many questions."""
        self._open = self._servers.placeable()

    @property
    def is_full(self) -> bool:
        """Whether nobody can take one more now."""
        return not any(self._has_room(server.node_id) for server in self._open)

    def targets(self, chunk_id: int, length: int) -> Iterator[Server]:
        """Who could hold another replica of *chunk_id*, now or when it has done what it has to."""
        taken = {*self._replicas.holders(chunk_id), *self._replicas.expected(chunk_id)}
        for server in self._open:
            if server.node_id not in taken and server.free_bytes >= max(length, 1):
                yield server

    def all_hold(self, chunk_id: int) -> bool:
        """Whether there is nobody without a replica who may take one."""
        holders = self._replicas.holders(chunk_id)
        return all(server.node_id in holders for server in self._open)

    def well_placed(
        self, chunk_id: int, source: str, targets: Iterable[Server], *, strictly: bool
    ) -> list[Server]:
        """Of *targets*, those where the replicas are spread best when *source* has gone.

        Args:
            strictly: none that makes the spread worse than it is.
        """
        place_of = self._servers.place_of
        staying = [place_of(node) for node in self._replicas.good(chunk_id) if node != source]
        best = concentration([*staying, place_of(source)]) if strictly else None
        by_rack: dict[Rack, tuple[int, ...]] = {}
        found: list[Server] = []
        for server in targets:
            spread = by_rack.get(server.place)
            if spread is None:
                spread = by_rack[server.place] = concentration([*staying, server.place])
            if best is not None and is_better(best, spread):
                continue
            if best is None or is_better(spread, best):
                found = []
            best = spread
            found.append(server)
        return found

    # ---- orders

    def order(
        self, chunk_id: int, source: str, targets: Sequence[Server], now_ms: int,
        pick: Callable[[], float],
    ) -> Copy | None:  # fmt: skip
        """Copy *chunk_id* to one of *targets*, and delete it on *source* afterwards.

        Of two drawn ones, the one with more room. None when all are busy now.
        """
        wanted = self._replicas.wanted(chunk_id)
        givers = [node for node in self._replicas.good(chunk_id) if self._has_room(node)]
        free = [
            server for server in targets
            if self._has_room(server.node_id) and (chunk_id, server.node_id) not in self._failed
        ]  # fmt: skip
        if wanted is None or not givers or not free or chunk_id in self._running:
            return None
        drawn = [free[int(pick() * len(free))] for _ in range(2)]
        target = max(drawn, key=lambda server: (server.room_bytes, server.node_id))
        givers.sort(key=lambda node: (self._giving[node][0], node != source, node))
        version, length, _ = wanted
        until_ms = now_ms + COPY_TIMEOUT_MS
        begun = Relocation(chunk_id, source, target.node_id, givers[0], length, until_ms)
        self._running[chunk_id] = begun
        self._count(begun, 1)
        target.assign(length)
        return Copy(target.node_id, chunk_id, version, length, tuple(givers))

    def done(self, chunk_id: int, node_id: str, ok: bool, now_ms: int) -> None:
        """*node_id* ended its copy; after a failure others are asked first."""
        begun = self._running.get(chunk_id)
        if begun is not None and begun.target == node_id and not ok:
            self._end(begun)
            self._failed[chunk_id, node_id] = now_ms + FAILED_COPY_MS

    def lost(self, chunk_id: int, node_id: str) -> None:
        """*node_id* was never told of its copy."""
        begun = self._running.get(chunk_id)
        if begun is not None and begun.target == node_id and not begun.copied:
            self._end(begun)

    def restarted(self, node_id: str) -> None:
        """The process of *node_id* is another one: it knows nothing of copies ordered of it."""
        for begun in self.running:
            if begun.target == node_id and not begun.copied:
                self._end(begun)

    def review(self, now_ms: int) -> list[Delete]:
        """End what is done, not needed or too old; delete the sources of what was copied."""
        for key in [key for key, until_ms in self._failed.items() if now_ms >= until_ms]:
            del self._failed[key]
        orders: list[Delete] = []
        for begun in self.running:
            if self._replicas.wanted(begun.chunk_id) is None or now_ms >= begun.until_ms:
                self._end(begun)
            elif begun.copied or begun.target in self._replicas.good(begun.chunk_id):
                if not begun.copied:
                    begun.copied = True
                    begun.until_ms = now_ms + COPY_TIMEOUT_MS
                orders += self._delete_source(begun, now_ms)
            elif not self._servers.is_live(begun.target):
                self._end(begun)
        return orders

    def _delete_source(self, begun: Relocation, now_ms: int) -> list[Delete]:
        if self._replicas.replica(begun.source, begun.chunk_id) is None:
            self._end(begun)
            self._on_moved(begun)
            return []
        return self._deletes.order_moved(begun.chunk_id, begun.source, now_ms)

    def _has_room(self, node_id: str) -> bool:
        most = BESIDE_REPAIR_MAX if self.beside_repair else PER_SERVER_MAX
        return all(
            count < most and size < BYTES_PER_SERVER_MAX
            for count, size in (self._taking[node_id], self._giving[node_id])
        )

    def _count(self, begun: Relocation, sign: int) -> None:
        for load in (self._taking[begun.target], self._giving[begun.giver]):
            load[0] += sign
            load[1] += sign * begun.length

    def _end(self, begun: Relocation) -> None:
        del self._running[begun.chunk_id]
        self._count(begun, -1)
