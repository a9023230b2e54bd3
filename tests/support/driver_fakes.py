"""Fakes around the Raft driver whose time, disk and network move on command."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from pydfsnode._fast import encode_entry, entry_payload
from pydfsnode.errors import NotLeader
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects, HardState, Persist
from pydfsnode.raft.messages import Message
from pydfsnode.raft.types import LogStart, PeerView, Timing
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.ports import FsyncMode, Row
from pydfsnode.runtime.raft_driver import RaftDriver
from pydfsnode.runtime.supervisor import Supervisor

ADDRESSES = {"m1": "h1:7001", "m2": "h2:7001", "m3": "h3:7001"}


class ManualExecutor:
    """Jobs wait until `run_next`; after a failure no more of them are run."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Callable[[], None], Callable[[BaseException | None], None]]]
        self.jobs = deque()
        self.failure: Exception | None = None

    def submit(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        self.jobs.append((work, done))

    def run_next(self) -> None:
        work, done = self.jobs.popleft()
        if self.failure is None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - as the real thread does
                self.failure = error
        done(self.failure)

    async def stop(self) -> None:
        assert not self.jobs


class FakeLog:
    """Keeps what is written; `failure` is raised instead."""

    def __init__(self) -> None:
        self.groups: list[tuple[Persist | None, list[Row], bool]] = []
        self.failure: Exception | None = None

    state_index = 0
    log_bytes = 0

    def write(
        self,
        persist: Persist | None,
        rows: Sequence[Row],
        sync: bool,
        state_index: int | None = None,
    ) -> None:
        if self.failure is not None:
            raise self.failure
        self.groups.append((persist, list(rows), sync))

    def compact(self, through: int, base: bytes) -> None:
        self.compacted = through

    def purge_some(self) -> bool:
        return False

    @property
    def batch_sizes(self) -> list[int]:
        return [len(persist.entries) for persist, _, _ in self.groups if persist is not None]


class FakeMachine:
    """Answers each operation with "done <payload>"; `applied` is what it applied."""

    def __init__(self) -> None:
        self.applied_index = 0
        self.applied: list[bytes] = []
        self.digests: list[tuple[int, bytes]] = []

    def apply(self, first_index: int, entries: Sequence[bytes]) -> list[object]:
        assert first_index == self.applied_index + 1, "entries out of order"
        self.applied_index += len(entries)
        payloads = [entry_payload(e) for e in entries]
        self.applied += payloads
        return [f"done {p.decode()}" for p in payloads]

    def drain_rows(self) -> list[Row]:
        return [(16, b"", b"%d" % self.applied_index)]

    def take_digests(self) -> list[tuple[int, bytes]]:
        digests, self.digests = self.digests, []
        return digests

    def replace(self, loaded: object) -> None:
        assert isinstance(loaded, int)
        self.applied_index = loaded


class FakeTransport:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def send(self, to: str, message: Message) -> None:
        self.sent.append((to, message))


class FakeCore:
    """A core under the test's thumb: `effects` is what the next `take_effects` hands out."""

    def __init__(self) -> None:
        self.node_id = "m1"
        self.role = "leader"
        self.term = 1
        self.leader = "m1"
        self.commit_index = 0
        self.last_index = 0
        self.log: list[bytes] = []
        self.effects = Effects()
        self.stepped: list[object] = []
        self.durable: list[int] = []
        self.ticks: list[int] = []
        self.proposed: list[list[bytes]] = []
        self.reads: list[int] = []
        self.applied_to: list[int] = []
        self.turns = 0
        self.elections = 0
        self.io_id = 0

    configuration = Configuration(("m1", "m2", "m3"))
    configuration_settled = True
    configuration_index = 0
    transferring = ""
    first_index = 1
    applied_index = 0
    durable_index = 0

    def advance(self, now_ms: int) -> None:
        pass

    def step(self, message: object) -> None:
        self.stepped.append(message)

    def tick(self, now_ms: int) -> None:
        self.ticks.append(now_ms)

    def propose(
        self, payloads: Sequence[bytes], kind: int = 1, kinds: Sequence[int] | None = None
    ) -> tuple[int, int]:
        if self.role != "leader":
            raise NotLeader("not the leader", leader_hint=self.leader)
        self.proposed.append(list(payloads))
        first = self.last_index + 1
        self.append(payloads)
        return self.term, first

    def append(self, payloads: Sequence[bytes], term: int | None = None) -> None:
        """Add entries to the log and to the group of the next effects."""
        if self.effects.persist is None:
            self.io_id += 1
            self.effects.persist = Persist(self.io_id, first_index=self.last_index + 1)
        for payload in payloads:
            self.last_index += 1
            entry = encode_entry(self.last_index, term or self.term, 1, payload)
            self.log.append(entry)
            self.effects.persist.entries.append(entry)

    def commit(self, index: int) -> None:
        self.commit_index = self.effects.apply_to = index

    def read(self, read_id: int, *, by_lease: bool = False, ask: bool = False) -> None:
        if self.role != "leader":
            raise NotLeader("not the leader", leader_hint=self.leader)
        self.reads.append(read_id)

    def persisted(self, io_id: int) -> None:
        self.durable.append(io_id)

    def applied(self, index: int) -> None:
        self.applied_to.append(index)

    def take_effects(self) -> Effects:
        self.turns += 1
        effects, self.effects = self.effects, Effects()
        return effects

    def entries(self, first: int, last: int, bytes_max: int = 0) -> list[bytes]:
        return self.log[first - 1 : last]

    def counters(self) -> dict[str, int]:
        return {"elections_started": self.elections, "appends_sent": 0, "entries_sent": 0}

    def peers(self) -> list[PeerView]:
        return []

    def lose_leadership(self, leader: str = "m2") -> None:
        self.role, self.leader, self.term = "follower", leader, self.term + 1
        self.effects.role_changed = True


class Bench:
    """A driver with everything around it."""

    def __init__(self, core: FakeCore | RaftCore, fsync: FsyncMode = "always") -> None:
        self.core = core
        self.log = FakeLog()
        self.disk = ManualExecutor()
        self.machine = FakeMachine()
        self.transport = FakeTransport()
        self.clock = ManualClock()
        self.supervisor = Supervisor()
        self.driver = RaftDriver(
            core,  # type: ignore[arg-type]
            self.log,
            self.machine,
            self.transport,
            self.clock,
            self.supervisor,
            ADDRESSES,
            tick_ms=1_000_000,  # ticks come from the tests
            fsync=fsync,
            executor=self.disk,
        )
        self.driver._upkeep._dirty = False  # no job but those of the test

    async def start(self) -> None:
        await self.driver.start()
        await self.settle()

    async def settle(self) -> None:
        """Let everything that is due on the loop happen."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def stop(self) -> None:
        stopping = asyncio.ensure_future(self.driver.stop())
        while not stopping.done():
            await asyncio.sleep(0)
            if self.disk.jobs:
                self.disk.run_next()
        await stopping
        await self.supervisor.stop()


def real_core(voters: tuple[str, ...] = ("m1",), applied_index: int = 0) -> RaftCore:
    return RaftCore("m1", voters, LogStart(), HardState(), Timing(), lambda: 0.0, 0, applied_index)
