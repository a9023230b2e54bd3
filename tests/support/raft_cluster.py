"""A cluster of real raft cores in virtual time, with a network and disks that can misbehave.

Every node is a `RaftCore` and a simulated disk that holds what was persisted, in order; what is
not yet durable at a crash is lost. One seed decides everything, so a failing run can be repeated
exactly.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from pydfsnode._fast import entry_payload, scan_entries
from pydfsnode.errors import ClusterError
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects, HardState, Persist
from pydfsnode.raft.messages import Append, Promise, decode_message, encode_message
from pydfsnode.raft.types import LogStart, Timing

TICK_MS = 20


@dataclass
class Faults:
    """Probabilities per message, and ranges in milliseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_ms: tuple[int, int] = (1, 5)
    fsync_ms: tuple[int, int] = (1, 5)


@dataclass
class Disk:
    """The durable log of one node."""

    hard_state: HardState = field(default_factory=HardState)
    entries: list[bytes] = field(default_factory=list)

    def write(self, persist: Persist) -> None:
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.truncate_from is not None:
            del self.entries[persist.truncate_from - 1 :]
        if persist.entries:
            assert persist.first_index == len(self.entries) + 1, "a hole in the log"
            self.entries.extend(persist.entries)

    def start(self) -> LogStart:
        runs: list[tuple[int, int]] = []
        for index, term, _, _ in scan_entries(b"".join(self.entries)):
            if not runs or runs[-1][1] != term:
                runs.append((index, term))
        held = list(self.entries)
        return LogStart(1, len(held), runs, 0, lambda first, last, size: held[first - 1 : last])


class Node:
    """One voter: core, disk, the promises that wait for the disk, and what it applied."""

    def __init__(self, cluster: Cluster, node_id: str) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.disk = Disk()
        self.alive = False
        self.incarnation = 0
        self.start()

    def start(self) -> None:
        cluster = self.cluster
        self.alive = True
        self.incarnation += 1
        self.core = RaftCore(
            self.node_id, cluster.voters, self.disk.start(), self.disk.hard_state,
            cluster.timing, cluster.random.random, cluster.now_ms,
        )  # fmt: skip
        self.applied: list[bytes] = []
        self.waiting: list[tuple[int, str, Promise]] = []
        self.io_durable = 0
        self.disk_free_ms = cluster.now_ms
        self.reads: dict[int, int] = {}  # read id: entries committed anywhere when it began
        self.reads_done: list[tuple[int, int]] = []
        self.last_commit = 0
        self.fsyncs_in_flight = 0

    def crash(self) -> None:
        self.alive = False

    def run(self) -> None:
        """Take and execute effects until there are none."""
        effects = self.core.take_effects()
        self.execute(effects)

    def execute(self, effects: Effects) -> None:
        for to, message in effects.send_now:
            self.cluster.send(self.node_id, to, message)
        self.waiting.extend(effects.send_after)
        if effects.persist is not None:
            self.cluster.fsync(self, effects.persist)
        self.release()
        if effects.apply_to:
            self.apply(effects.apply_to)
        for ready in effects.reads_ready:
            assert ready.index <= self.core.commit_index
            seen = self.reads.pop(ready.read_id)
            assert ready.index >= seen, "a read misses what was committed before it (INV-LIN)"
            self.reads_done.append((ready.read_id, ready.index))

    def release(self) -> None:
        keep = []
        for io_id, to, message in self.waiting:
            if io_id <= self.io_durable:
                self.cluster.send(self.node_id, to, message)
            else:
                keep.append((io_id, to, message))
        self.waiting = keep

    def apply(self, index: int) -> None:
        while len(self.applied) < index:
            first = len(self.applied) + 1
            self.applied.extend(self.core.entries(first, index))
        self.core.applied(index)


class Cluster:
    """See the module. `step_time` runs one event; the invariants are checked after each."""

    def __init__(self, size: int, seed: int = 1, faults: Faults | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.timing = Timing(heartbeat_ms=60, election_timeout_ms=500)
        self.now_ms = 0
        self.sequence = 0
        self.events: list[tuple[int, int, tuple[object, ...]]] = []
        self.voters = tuple(f"m{i}" for i in range(1, size + 1))
        self.cut: set[tuple[str, str]] = set()
        self.leaders: dict[int, str] = {}
        self.votes: dict[tuple[str, int], str] = {}
        self.committed: list[bytes] = []
        self.event_count = 0
        self.nodes = {node_id: Node(self, node_id) for node_id in self.voters}
        for position, node_id in enumerate(self.voters):
            self.at(position + 1, ("tick", node_id))

    # ---- time

    def at(self, delay_ms: int, event: tuple[object, ...]) -> None:
        self.sequence += 1
        heapq.heappush(self.events, (self.now_ms + delay_ms, self.sequence, event))

    def step_time(self) -> None:
        self.now_ms, _, event = heapq.heappop(self.events)
        self.event_count += 1
        kind, node_id = str(event[0]), str(event[1])
        node = self.nodes[node_id]
        if kind == "tick":
            self.at(TICK_MS, event)
            if node.alive:
                node.core.tick(self.now_ms)
                node.run()
        elif node.alive and event[2] == node.incarnation and kind == "fsync":
            persist = event[3]
            assert isinstance(persist, Persist)
            node.disk.write(persist)
            node.io_durable = persist.io_id
            node.fsyncs_in_flight -= 1
            node.core.persisted(persist.io_id)
            node.release()
            node.run()
        elif node.alive and kind == "message":
            data = event[2]
            assert isinstance(data, bytes)
            node.core.step(decode_message(data))
            node.run()
        self.check(node)

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

    def send(self, source: str, to: str, message: object) -> None:
        if isinstance(message, Promise):
            self.check_promise(source, to, message)
        if (source, to) in self.cut or self.random.random() < self.faults.loss:
            return
        data = encode_message(message)  # type: ignore[arg-type]
        copies = 2 if self.random.random() < self.faults.duplicate else 1
        for _ in range(copies):
            self.at(self.random.randint(*self.faults.delay_ms), ("message", to, data))

    def fsync(self, node: Node, persist: Persist) -> None:
        """Complete in the order of submission, later."""
        done = max(node.disk_free_ms, self.now_ms) + self.random.randint(*self.faults.fsync_ms)
        node.disk_free_ms = done
        node.fsyncs_in_flight += 1
        self.at(done - self.now_ms, ("fsync", node.node_id, node.incarnation, persist))

    def partition(self, *groups: set[str]) -> None:
        """Only nodes of one group hear each other."""
        self.cut = {
            (a, b)
            for a in self.voters
            for b in self.voters
            if a != b and not any(a in group and b in group for group in groups)
        }

    def heal(self) -> None:
        self.cut = set()

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
        if leader is None or leader.fsyncs_in_flight > 4:
            return False  # the driver, too, lets proposals gather while the disk is busy
        try:
            leader.core.propose([payload])
        except ClusterError:
            return False
        leader.run()
        return True

    def read(self, node: Node) -> bool:
        """Register a read at *node*, which may be wrong about leading."""
        self.sequence += 1
        try:
            node.core.read(self.sequence)
        except ClusterError:
            return False
        node.reads[self.sequence] = len(self.committed)
        node.run()
        return True

    def write(self, payload: bytes) -> None:
        """Propose until it is committed somewhere."""
        assert self.propose(payload)
        self.run_until(lambda: payload in self.payloads())

    def payloads(self) -> list[bytes]:
        return [entry_payload(entry) for entry in self.committed]

    # ---- invariants

    def check_promise(self, source: str, to: str, message: Promise) -> None:
        """Acks behind durability: what a promise says is on the sender's disk now."""
        disk = self.nodes[source].disk
        assert disk.hard_state.term >= message.term or message.term == 0, "promise before its term"
        match_index = getattr(message, "match_index", 0)
        assert match_index <= len(disk.entries), "an append was acknowledged before it was durable"
        name = type(message).__name__
        if name in ("VoteGrant", "VoteRequest"):
            candidate = to if name == "VoteGrant" else source
            first = self.votes.setdefault((source, message.term), candidate)
            assert first == candidate, f"{source} voted twice in term {message.term}"

    def check(self, node: Node) -> None:
        if not node.alive:
            return
        core = node.core
        if core.role == "leader":
            other = self.leaders.setdefault(core.term, node.node_id)
            assert other == node.node_id, f"two leaders in term {core.term}"
        assert core.commit_index >= node.last_commit, "the commit index went back"
        if core.commit_index > node.last_commit:
            self.check_commit(node, node.last_commit + 1, core.commit_index)
            node.last_commit = core.commit_index

    def check_commit(self, node: Node, first: int, last: int) -> None:
        """State machine safety, and every committed entry durable at a majority."""
        held: list[bytes] = []
        while len(held) < last - first + 1:  # older entries come from the disk, in parts
            held.extend(node.core.entries(first + len(held), last, 1 << 40))
        for index, entry in enumerate(held, first):
            if index <= len(self.committed):
                assert self.committed[index - 1] == entry, f"entry {index} committed twice"
                continue
            copies = sum(
                len(n.disk.entries) >= index and n.disk.entries[index - 1] == entry
                for n in self.nodes.values()
            )
            assert copies > len(self.voters) // 2, f"entry {index} committed without a majority"
            self.committed.append(entry)


def is_bulk(message: object) -> bool:
    """Whether *message* is an append that carries entries."""
    return isinstance(message, Append) and message.count > 0
