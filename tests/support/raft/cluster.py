"""A cluster of real raft cores in virtual time, with network, disks and clocks that misbehave.

Every node is a `RaftCore` and a simulated disk that holds what was persisted, in order; what is
not yet durable at a crash is lost. One seed decides everything, so a failing run can be repeated
exactly. `History` checks the invariants after each event.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass

from pydfsnode._fast import entry_payload
from pydfsnode.errors import ClusterError, InvalidArgument, Overloaded
from pydfsnode.raft.configuration import Configuration, member_id, member_name
from pydfsnode.raft.effects import SnapshotWanted
from pydfsnode.raft.messages import Message, decode_message, encode_message
from pydfsnode.raft.types import Timing
from tests.support.raft.history import History
from tests.support.raft.node import Node
from tests.support.raft.wire import as_old_version

TICK_MS = 20
WRITES_IN_FLIGHT_MAX = 4

Event = tuple[str, str, object, object]
"""(kind, node id, its process's incarnation or None, data)"""


@dataclass
class Faults:
    """Probabilities per message, and ranges in milliseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ms: tuple[int, int] = (1, 5)
    fsync_ms: tuple[int, int] = (1, 5)
    snapshot_ms: tuple[int, int] = (5, 50)
    snapshot_loss: float = 0.0


class Cluster:
    """See the module. `step_time` runs one event; the invariants are checked after each."""

    def __init__(
        self, size: int, seed: int = 1, faults: Faults | None = None, spares: int = 0
    ) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.timing = Timing(heartbeat_ms=60, election_timeout_ms=500)
        self.now_ms = 0
        self.sequence = 0
        self.events: list[tuple[int, int, Event]] = []
        self.voters = tuple(f"m{i}" for i in range(1, size + 1))
        self.cut: set[tuple[str, str]] = set()
        self.clogged_until_ms: dict[tuple[str, str], int] = {}
        self.slow_ms: dict[tuple[str, str], int] = {}
        self.event_count = 0
        self.counts: Counter[str] = Counter()
        self.nodes: dict[str, Node] = {}
        self.history = History(self.nodes, self.timing.clock_drift)
        for node_id in self.voters:
            self.add_node(node_id, self.voters)
        for number in range(size + 1, size + spares + 1):
            self.add_node(f"m{number}", ())

    def add_node(self, node_id: str, voters: tuple[str, ...]) -> Node:
        node = self.nodes[node_id] = Node(self, node_id, voters)
        self.at(len(self.nodes), ("tick", node_id, None, None))
        return node

    @property
    def committed(self) -> list[bytes]:
        return self.history.committed

    @property
    def leaders(self) -> dict[int, str]:
        return self.history.leaders

    # ---- time

    def at(self, delay_ms: int, event: Event) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (self.now_ms + delay_ms, self.sequence, event))

    def step_time(self) -> None:
        self.now_ms, _, event = heapq.heappop(self.events)
        self.event_count += 1
        kind, node_id, incarnation, data = event
        node = self.nodes[node_id]
        if kind == "message":
            if node.alive:
                assert isinstance(data, bytes)
                node.handle(kind, decode_message(data))
        elif kind == "tick":
            if not node.gone:
                self.at(TICK_MS, event)
            if node.alive:
                node.handle(kind, None)
        elif kind == "snapshot":
            self._snapshot_arrives(node, data)
        elif not node.alive or incarnation != node.incarnation:
            return
        elif kind == "fsync":
            node.written()
        elif kind == "wake":
            if not node.is_paused:
                node.wake()
        elif kind == "snapshot_end":
            assert isinstance(data, SnapshotWanted)
            node.core.snapshot_finished(data.peer, data.stream)
            node.run()

    def run_ms(self, duration_ms: int) -> None:
        end = self.now_ms + duration_ms
        while self.events[0][0] <= end:
            self.step_time()

    def run_until(self, condition: object, limit_ms: int = 20_000) -> None:
        assert callable(condition)
        end = self.now_ms + limit_ms
        while not condition():
            assert self.now_ms < end, f"not reached within {limit_ms} ms of virtual time"
            self.step_time()

    # ---- network and disks

    def send(self, node: Node, to: str, message: object) -> None:
        source, chance = node.node_id, self.random.random
        receiver = self.nodes.get(to)
        if receiver is None or (source, to) in self.cut or chance() < self.faults.loss:
            return
        known: Message = message  # type: ignore[assignment]
        data: bytes | None
        if node.old_version or receiver.old_version:
            data = as_old_version(known)
            if data is None:
                return
        else:
            data = encode_message(known)
        copies = 2 if chance() < self.faults.duplicate else 1
        least_ms, most_ms = self.faults.delay_ms
        clogged_ms = 0
        if self.clogged_until_ms:
            clogged_ms = max(0, self.clogged_until_ms.get((source, to), 0) - self.now_ms)
        clogged_ms += self.slow_ms.get((source, to), 0)
        for _ in range(copies):
            delay_ms = least_ms + int(chance() * (most_ms - least_ms + 1))
            self.at(clogged_ms + delay_ms, ("message", to, None, data))

    def fsync(self, node: Node) -> None:
        """Complete in the order of submission, later."""
        done = max(node.disk_free_ms, self.now_ms) + self.random.randint(*self.faults.fsync_ms)
        node.disk_free_ms = done
        self.at(done - self.now_ms, ("fsync", node.node_id, node.incarnation, None))

    def start_snapshot(self, node: Node, wanted: SnapshotWanted) -> None:
        """The transfer of a view of the state: it arrives whole or not at all."""
        lost = self.random.random() < self.faults.snapshot_loss
        header = node.core.snapshot_header(len(node.applied), wanted.stream)
        took_ms = self.random.randint(*self.faults.snapshot_ms)
        if header is not None and not lost and (node.node_id, wanted.peer) not in self.cut:
            data = (header, list(node.applied))
            late_ms = self.random.choice([0, 0, 0, 1_000])  # after the sender gave it up
            self.at(took_ms // 2 + late_ms, ("snapshot", wanted.peer, None, data))
        end: Event = ("snapshot_end", node.node_id, node.incarnation, wanted)
        self.at(took_ms + self.random.randint(*self.faults.delay_ms), end)

    def _snapshot_arrives(self, node: Node, data: object) -> None:
        if not node.alive or node.is_paused:
            return
        assert isinstance(data, tuple)
        header, state = data
        node.core.advance(node.clock_ms())
        wanted = node.core.snapshot_offered(header)
        self.history.check(node)
        node.run()
        if wanted:
            node.install(header, state)

    def partition(self, *groups: set[str]) -> None:
        """Only nodes of one group hear each other."""
        self.cut = {
            (a, b)
            for a in self.nodes
            for b in self.nodes
            if a != b and not any(a in group and b in group for group in groups)
        }

    def heal(self) -> None:
        self.cut = set()
        self.clogged_until_ms = {}
        self.slow_ms = {}

    # ---- use

    def leader(self) -> Node | None:
        """The live leader of the highest term, if a majority could follow it."""
        alive = [n for n in self.nodes.values() if n.alive and n.core.role == "leader"]
        return max(alive, key=lambda n: n.core.term, default=None)

    def elect(self) -> Node:
        self.run_until(lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        return leader

    def propose(self, payload: bytes) -> bool:
        leader = self.leader()
        if leader is None or leader.is_paused or leader.fsyncs_in_flight > WRITES_IN_FLIGHT_MAX:
            return False  # the driver, too, lets proposals gather while the disk is busy
        return self.ask(leader, lambda: leader.core.propose([payload]))

    def ask(self, node: Node, request: object) -> bool:
        """Have the core of *node* do something; False when it refuses or does not run."""
        assert callable(request)
        if not node.alive or node.is_paused:
            return False
        node.core.advance(node.clock_ms())
        try:
            request()
        except (ClusterError, InvalidArgument, Overloaded):
            return False
        node.run()
        return True

    def change(self, voters: set[str], learners: set[str]) -> bool:
        """Begin a change of the members at the leader."""
        leader = self.leader()
        return leader is not None and self.ask(
            leader,
            lambda: leader.core.change_configuration(tuple(voters), tuple(learners), {}),
        )

    def transfer(self, to: str = "") -> bool:
        leader = self.leader()
        return leader is not None and self.ask(leader, lambda: leader.core.transfer_leadership(to))

    def read(self, node: Node, *, by_lease: bool = False, ask: bool = False) -> bool:
        """Register a read at *node*, which may be wrong about leading."""
        self.sequence += 1
        read_id = self.sequence
        node.reads[read_id] = len(self.committed)
        had_lease = by_lease and node.alive and node.core.holds_lease()
        follows = ask and node.alive and node.core.role != "leader"
        begun = self.ask(node, lambda: node.core.read(read_id, by_lease=by_lease, ask=ask))
        self.counts["lease"] += begun and had_lease
        self.counts["ask"] += begun and follows
        if not begun:
            node.reads.pop(read_id, None)
        return begun

    def wipe(self, node: Node) -> Node:
        """The disk of *node* is lost; the master comes back as a member of no cluster."""
        node.crash()
        node.gone = True
        name = member_name(node.node_id)
        lives = sum(member_name(other) == name for other in self.nodes)
        fresh = self.add_node(member_id(name, lives), ())
        fresh.clock_offset_ms, fresh.clock_rate = node.clock_offset_ms, node.clock_rate
        fresh.start()
        return fresh

    def write(self, payload: bytes) -> None:
        """Propose until it is committed somewhere."""
        assert self.propose(payload)
        self.run_until(lambda: payload in self.payloads())

    def payloads(self) -> list[bytes]:
        return [entry_payload(entry) for entry in self.committed]

    def members(self) -> Configuration:
        """The last committed configuration."""
        found = self.history.configurations
        return found[-1][1] if found else Configuration(self.voters)
