"""Evening out the share of used space, by moves from the fullest servers to the emptiest.

A server is even when its share is within the threshold of the mean of all. Moves go from those
above to those below; when only one side is uneven, its partners are those beyond the mean on the
other. A chunk is moved only when it is whole, and never to where its replicas lie closer together.
The rate is that of a bucket that one second fills: large chunks wait for it to be out of debt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydfsnode.fleet.orders import Copy
from pydfsnode.fleet.relocation import Relocation, Relocations
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import Server, ServerTable
from pydfsnode.fleet.sweep import Sweep

PPM = 1_000_000
CHUNKS_PER_PLAN = 1024
"""Chunks that one plan looks at: below 10 ms."""
WALKS_IN_VAIN_MAX = 2
"""After so many walks without a single move no server can be made more even."""
EVEN, NOTHING_MOVABLE = "the chunkservers are even", "no chunk can be moved to make them more even"
FEW = "fewer than two chunkservers are in service"


@dataclass(frozen=True, slots=True)
class BalanceStatus:
    """Shares in parts per million; `spread_ppm` is that of the server farthest from the mean."""

    on: bool
    moved_chunks: int
    moved_bytes: int
    moving: int
    bytes_left: int
    mean_ppm: int
    spread_ppm: int
    ended_because: str


class Balancing:
    """`set_orders` as operators say, `plan` about twice a second."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap, moves: Relocations) -> None:
        self._servers = servers
        self._replicas = replicas
        self._moves = moves
        self._threshold_ppm = self._bytes_per_s = 0
        self._credit = 0.0
        self._credited_ms: int | None = None
        self._own: dict[int, Relocation] = {}
        self._walk: Sweep | None = None
        self._walked: tuple[str, ...] = ()
        self._found: list[int] = []
        self._ordered_in_walk = self._walks_in_vain = 0
        self._moved_chunks = self._moved_bytes = 0
        self.ended_because = ""
        """Why the last balance ended by itself, "" while it has not."""

    @property
    def is_on(self) -> bool:
        """Whether operators want the servers evened out."""
        return self._threshold_ppm > 0

    def set_orders(self, threshold_ppm: int, bytes_per_s: int) -> None:
        """What operators want; threshold 0: nothing."""
        if (threshold_ppm, bytes_per_s) == (self._threshold_ppm, self._bytes_per_s):
            return
        if not self._threshold_ppm:
            self._moved_chunks = self._moved_bytes = 0
        self._threshold_ppm, self._bytes_per_s = threshold_ppm, bytes_per_s
        self._walk, self._found, self._walks_in_vain = None, [], 0
        if threshold_ppm:
            self.ended_because = ""

    def clear(self) -> None:
        """A new term: moves of before are not this leader's."""
        self._own.clear()
        self._walk, self._found = None, []
        self._credited_ms = None

    def moved(self, move: Relocation) -> None:
        """A move has ended well."""
        if self._own.pop(move.chunk_id, None) is not None:
            self._moved_chunks += 1
            self._moved_bytes += move.length

    def plan(self, now_ms: int, pick: Callable[[], float]) -> list[Copy]:
        """Moves that are due; ends the balance (`ended_because`) when nothing is left to move."""
        self._forget_ended()
        if not self.is_on or self.ended_because:
            return []
        self._earn(now_ms)
        servers = self._servers.placeable()
        if len(servers) < 2:
            self.ended_because = FEW
            return []
        givers, takers = self._sides(servers)
        if not givers or not takers:
            if not self._own:
                self.ended_because = EVEN
            return []
        orders = self._fill(givers, takers, now_ms, pick)
        if self._walks_in_vain >= WALKS_IN_VAIN_MAX and not self._own:
            self.ended_because = NOTHING_MOVABLE
        return orders

    def status(self) -> BalanceStatus:
        """How it stands."""
        servers = self._servers.placeable()
        mean = self._mean_ppm(servers)
        shares = [self._share_ppm(server) for server in servers]
        far = [abs(share - mean) for share in shares]
        coming, limit = self._coming(), mean + self._threshold_ppm
        left = sum(
            max(0, int(s.used_bytes + coming[s.node_id] - self._size(s) * limit / PPM))
            for s in servers
            if self.is_on
        )
        return BalanceStatus(
            self.is_on, self._moved_chunks, self._moved_bytes, len(self._own), left, int(mean),
            int(max(far, default=0)), self.ended_because,
        )  # fmt: skip

    # ---- who gives, who takes

    def _sides(self, servers: Sequence[Server]) -> tuple[dict[str, int], dict[str, int]]:
        """Bytes that each giver may lose, and each taker get, by name."""
        mean, slack_ppm = self._mean_ppm(servers), self._threshold_ppm
        coming = self._coming()
        over, under, above, below = {}, {}, {}, {}
        for server in servers:
            node_id, size = server.node_id, self._size(server)
            excess = int(server.used_bytes + coming[node_id] - size * mean / PPM)
            slack = size * slack_ppm // PPM
            if excess > 0:
                above[node_id] = excess
                if excess > slack:
                    over[node_id] = excess
            elif excess < 0:
                below[node_id] = -excess
                if -excess > slack:
                    under[node_id] = -excess
        return (over or above) if over or under else {}, (under or below) if over or under else {}

    def _coming(self) -> defaultdict[str, int]:
        """How the use of each server will change by the moves that run."""
        coming: defaultdict[str, int] = defaultdict(int)
        for move in self._own.values():
            coming[move.source] -= move.length
            if not move.copied:
                coming[move.target] += move.length
        return coming

    @staticmethod
    def _size(server: Server) -> int:
        return server.used_bytes + server.free_bytes

    def _share_ppm(self, server: Server) -> float:
        return server.used_bytes * PPM / max(1, self._size(server))

    def _mean_ppm(self, servers: Sequence[Server]) -> float:
        size = sum(map(self._size, servers))
        return sum(server.used_bytes for server in servers) * PPM / max(1, size)

    # ---- what is moved

    def _fill(
        self, givers: dict[str, int], takers: dict[str, int], now_ms: int,
        pick: Callable[[], float],
    ) -> list[Copy]:  # fmt: skip
        orders: list[Copy] = []
        looked_at = 0
        self._walk_over(tuple(sorted(givers)))
        while self._credit > 0 and looked_at < CHUNKS_PER_PLAN and not self._moves.is_full:
            chunk_id = self._next_chunk()
            if chunk_id is None:
                break
            looked_at += 1
            copy = self._move(chunk_id, givers, takers, now_ms, pick)
            if copy is not None:
                orders.append(copy)
                self._credit -= copy.length
                self._ordered_in_walk += 1
        return orders

    def _move(
        self, chunk_id: int, givers: dict[str, int], takers: dict[str, int], now_ms: int,
        pick: Callable[[], float],
    ) -> Copy | None:  # fmt: skip
        wanted = self._replicas.wanted(chunk_id)
        if wanted is None or self._moves.of_chunk(chunk_id) is not None:
            return None
        good, length = self._replicas.good(chunk_id), wanted[1]
        if len(good) != wanted[2] or self._replicas.bad(chunk_id):
            return None  # repair and trimming come first
        targets = [
            server for server in self._moves.targets(chunk_id, length)
            if takers.get(server.node_id, 0) >= length > 0
        ]  # fmt: skip
        sources = [node for node in good if targets and givers.get(node, 0) >= length]
        for source in sorted(sources, key=lambda node: (-givers[node], node)):
            best = self._moves.well_placed(chunk_id, source, targets, strictly=True)
            copy = self._moves.order(chunk_id, source, best, now_ms, pick)
            if copy is None:
                continue
            givers[source] -= length
            takers[copy.node_id] -= length
            begun = self._moves.of_chunk(chunk_id)
            assert begun is not None
            self._own[chunk_id] = begun
            return copy
        return None

    def _walk_over(self, givers: tuple[str, ...]) -> None:
        if self._walk is None or not set(givers) <= set(self._walked):
            self._walk, self._walked, self._found = self._replicas.sweep_of(givers), givers, []
            self._ordered_in_walk = 0

    def _next_chunk(self) -> int | None:
        walk = self._walk
        assert walk is not None
        if not self._found and not walk.is_done:
            self._found = walk.step()
        if self._found:
            return self._found.pop()
        if walk.is_done:
            self._walks_in_vain = 0 if self._ordered_in_walk else self._walks_in_vain + 1
            self._walk = None
        return None

    def _earn(self, now_ms: int) -> None:
        if self._credited_ms is None:
            self._credited_ms = now_ms - 1000
        earned = self._bytes_per_s * (now_ms - self._credited_ms) / 1000
        self._credit = min(float(self._bytes_per_s), self._credit + earned)
        self._credited_ms = now_ms

    def _forget_ended(self) -> None:
        for chunk_id, move in list(self._own.items()):
            if self._moves.of_chunk(chunk_id) is not move:
                del self._own[chunk_id]
