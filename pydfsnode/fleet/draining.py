"""Emptying servers that leave, and finding what depends on one that is maintained.

    decommissioning   every replica is moved elsewhere; nothing held is left: decommissioned
    maintenance       its replicas count while it is away (`ReplicaMap.set_maintained`), so only
                      chunks without a live replica elsewhere are moved before it may go

What the servers hold is walked through in bounded steps, again and again: chunks come and go
meanwhile. A walk counts what is left, and finds the candidates of the moves until the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice

from pydfsnode.fleet.duty import LEAVING, admin_state
from pydfsnode.fleet.orders import Copy
from pydfsnode.fleet.relocation import Relocations
from pydfsnode.fleet.replicas import ReplicaMap
from pydfsnode.fleet.servers import IN_SERVICE, ServerTable
from pydfsnode.fleet.sweep import Sweep

CHUNKS_PER_STEP = 512
"""Chunks that one step looks at: a few milliseconds."""
CANDIDATES_MAX = 8192
PLANNED_MAX = 256
"""Candidates that one plan looks at."""
WALK_PAUSE_MS = 1000
WALK_PAUSES = 4
"""The pause after a long walk, in lengths of it."""
ALL_HOLD_IT = "every other chunkserver in service holds a replica already"
NO_ROOM = "no other chunkserver in service has room"
AWAY = "the chunkserver is silent and repair has not copied the other replicas yet"


@dataclass(slots=True)
class Count:
    """What a walk found on one server: `held` wanted chunks, `left` of them depend on it."""

    held: int = 0
    left: int = 0
    stuck: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """For people; `counted`: a walk went through all that the server holds since it is out."""

    node_id: str
    counted: bool
    held: int
    left: int
    stuck: int
    stuck_because: str
    moving: int


class Draining:
    """See the module; `step` often, `plan` about twice a second."""

    def __init__(self, servers: ServerTable, replicas: ReplicaMap, moves: Relocations) -> None:
        self._servers = servers
        self._replicas = replicas
        self._moves = moves
        self._states: dict[str, str] = {}
        self._walk: Sweep | None = None
        self._found: list[int] = []
        self._counting: dict[str, Count] = {}
        self._counts: dict[str, Count] = {}
        self._candidates: dict[tuple[int, str], None] = {}
        self._next_walk_ms = 0
        self._walk_began_ms: int | None = None
        self._left_out = False  # candidates that there was no room for

    def set_states(self, states: dict[str, str]) -> None:
        """Who is out of service, and how; a change begins a new walk."""
        if states == self._states:
            return
        before, self._states = self._states, dict(states)
        self._counts = {
            node: count for node, count in self._counts.items() if before[node] == states.get(node)
        }
        self._candidates.clear()
        self._walk, self._found, self._next_walk_ms = None, [], 0
        self._walk_began_ms = None

    @property
    def is_walking(self) -> bool:
        """Whether `step` has something to look at."""
        return self._walk is not None

    def step(self) -> None:
        """Look at a few more chunks of the running walk."""
        if self._walk is None:
            return
        if not self._found and not self._walk.is_done:
            self._found = self._walk.step()
        chunks, self._found = self._found[:CHUNKS_PER_STEP], self._found[CHUNKS_PER_STEP:]
        for chunk_id in chunks:
            self._look(chunk_id)
        if self._walk.is_done and not self._found:
            self._walk = None
            self._counts, self._counting = self._counting, {}

    def plan(self, now_ms: int, pick: Callable[[], float]) -> list[Copy]:
        """Begin a walk when it is time, and moves as far as the servers can take them."""
        self._begin_when_due(now_ms)
        orders: list[Copy] = []
        for chunk_id, node_id in list(islice(self._candidates, PLANNED_MAX)):
            if self._moves.is_full:
                break
            del self._candidates[chunk_id, node_id]
            if self._depends(chunk_id, node_id) and not self._moves.of_chunk(chunk_id):
                orders += self._move(chunk_id, node_id, now_ms, pick)
        return orders

    def _move(
        self, chunk_id: int, node_id: str, now_ms: int, pick: Callable[[], float]
    ) -> list[Copy]:
        wanted = self._replicas.wanted(chunk_id)
        assert wanted is not None
        targets = list(self._moves.targets(chunk_id, wanted[1]))
        best = self._moves.well_placed(chunk_id, node_id, targets, strictly=False)
        copy = self._moves.order(chunk_id, node_id, best, now_ms, pick)
        if copy is None and targets:
            self._candidates[chunk_id, node_id] = None  # they are busy: behind the others
        return [] if copy is None else [copy]

    def clear(self) -> None:
        """A new term: everything is counted anew."""
        states, self._states = self._states, {}
        self._counts = {}
        self.set_states(states)

    def drained(self) -> list[str]:
        """Who is leaving and not needed any more, in name order."""
        return [
            node for node, count in sorted(self._counts.items())
            if self._states.get(node) in LEAVING and not self._left_of(node, count)
        ]  # fmt: skip

    def _left_of(self, node: str, count: Count) -> int:
        return count.held if self._servers.is_live(node) else count.left

    def progress(self) -> list[DrainProgress]:
        """How it stands, by name; moves of since the last walk are counted off."""
        moving = Counter(move.source for move in self._moves.running)
        found = []
        for node in sorted(self._states):
            count = self._counts.get(node, Count())
            because = count.stuck.most_common(1)
            found.append(
                DrainProgress(
                    node, node in self._counts, count.held, count.left, count.stuck.total(),
                    because[0][0] if because else "", moving[node],
                )
            )  # fmt: skip
        return found

    def moved(self, node_id: str) -> None:
        """A replica of *node_id* has gone: count it off until the next walk counts anew."""
        count = self._counts.get(node_id)
        if count is not None:
            stuck = count.stuck.total()
            self._counts[node_id] = replace(
                count, held=max(1, count.held - 1), left=max(stuck, count.left - 1)
            )

    # ---- the walk

    def _begin_when_due(self, now_ms: int) -> None:
        """The next walk comes after a pause of some times its length, or when it is needed."""
        if self._walk is not None or not self._states:
            return
        if self._walk_began_ms is not None:  # it has ended since
            length_ms = now_ms - self._walk_began_ms
            self._next_walk_ms = now_ms + max(WALK_PAUSE_MS, WALK_PAUSES * length_ms)
            self._walk_began_ms = None
        is_needed = self._left_out and not self._candidates
        if now_ms < self._next_walk_ms and not is_needed:
            return
        self._walk_began_ms = now_ms
        self._left_out = False
        self._walk = self._replicas.sweep_of(self._states)
        self._counting = {node: Count() for node in self._states}
        self.step()

    def _look(self, chunk_id: int) -> None:
        wanted = self._replicas.wanted(chunk_id)
        if wanted is None:
            return
        for node in self._replicas.holders(chunk_id):
            count = self._counting.get(node)
            if count is None:
                continue
            count.held += 1
            if not self._depends(chunk_id, node):
                continue
            count.left += 1
            why = self._stuck_because(chunk_id, node, wanted[1])
            if why:
                count.stuck[why] += 1
            elif len(self._candidates) < CANDIDATES_MAX:
                self._candidates.setdefault((chunk_id, node))
            else:
                self._left_out = True

    def _depends(self, chunk_id: int, node_id: str) -> bool:
        """Whether too few replicas lie on servers in service beside *node_id*."""
        wanted, state = self._replicas.wanted(chunk_id), self._states.get(node_id)
        if wanted is None or state is None:
            return False
        if self._replicas.replica(node_id, chunk_id) is None:
            return False
        there = (*self._replicas.good(chunk_id), *self._replicas.expected(chunk_id))
        others = [
            node for node in there
            if node != node_id and admin_state(self._servers, node) == IN_SERVICE
        ]  # fmt: skip
        if state in LEAVING:
            return len(others) < wanted[2]
        return not others

    def _stuck_because(self, chunk_id: int, node_id: str, length: int) -> str:
        if not self._replicas.good(chunk_id):
            return AWAY
        if any(self._moves.targets(chunk_id, length)):
            return ""
        return ALL_HOLD_IT if self._moves.all_hold(chunk_id) else NO_ROOM
