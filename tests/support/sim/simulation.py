"""One seed: a cluster of real masters in virtual time, its faults, clients and recovery."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pydfsnode import limits
from pydfsnode.errors import NotLeader
from pydfsnode.meta import history, tree
from pydfsnode.raft.configuration import Configuration
from pydfsnode.roles.master import upkeep
from pydfsnode.runtime import snapshot_send
from tests.support.linearizability import Undecided, is_linearizable
from tests.support.sim.calls import Call
from tests.support.sim.clients import Client, History, Service
from tests.support.sim.directory_model import Directory
from tests.support.sim.loop import Scheduler
from tests.support.sim.membership import Operator
from tests.support.sim.monitor import Monitor, Violation
from tests.support.sim.nemesis import Nemesis
from tests.support.sim.network import Network, Weather
from tests.support.sim.node import Process, SimNode
from tests.support.sim.plan import SPARES, Plan, plan

RECOVERY_S = 30.0
"""Within this much virtual time after the last fault a cluster must serve and converge."""
PENDING_S_MAX = 60.0
"""No caller waits longer for an answer of a process that runs."""
SWEEP_S = 5.0
PATCHED: tuple[tuple[Any, str, int], ...] = (
    (snapshot_send, "FRAME_ROWS_BYTES", 400),
    (snapshot_send, "FRAME_ROWS_BYTES_MIN", 400),
    (tree, "RECLAIMED_AT_ONCE_MAX", 12),
    (history, "PURGED_AT_ONCE_MAX", 4),
    (upkeep, "RECLAIM_INODES", 5),
)
"""The state is small here: its snapshots should have many frames, what is deleted many parts."""


@dataclass(frozen=True)
class Report:
    """What one seed did. `trace` is equal for equal runs."""

    seed: int
    line: str
    quiet: bool
    simulated_s: float
    events: int
    messages: int
    committed: int
    answered: int
    unknown: int
    elections: int
    crashes: int
    refused_disks: int
    promises: int
    undecided: int
    changes: int
    transfers: int
    wipes: int
    snapshots: int
    compactions: int
    installed: int
    trace: str


class Simulation:
    """See the module; `run` returns the report or raises `Violation`."""

    def __init__(self, wanted: Plan) -> None:
        self.plan = wanted
        self.scheduler = Scheduler()
        self.monitor = Monitor()
        self.history = History()
        seed = wanted.seed
        self.net_rng = random.Random(f"{seed}/network")
        self.nemesis_rng = random.Random(f"{seed}/nemesis")
        self.network = Network(self.scheduler, self.net_rng, wanted.weather, self._deliver)
        self.fsync_s = wanted.fsync_s
        self.think_s = wanted.think_s
        self.load_on = True
        self.healing = False
        self.crashes = 0
        self.counts = Counter[str]()
        spares = SPARES if wanted.has("membership") else 0
        self.names = [f"m{i + 1}" for i in range(wanted.size + spares)]
        self.addresses = {name: f"{name}:7001" for name in self.names}
        self.configurations: dict[str, Configuration] = {}
        self._buried: list[Process] = []
        for name in wanted.old:
            self.network.old[name] = None
        self.nodes = [SimNode(self, name) for name in self.names]
        self._by_name = {node.name: node for node in self.nodes}
        first = [node.member for node in self.nodes[: wanted.size]]
        self.first_configuration = Configuration(
            tuple(sorted(first)),
            addresses={m: f"{m.partition('#')[0]}:7001" for m in sorted(first)},
        )
        self.clients = [Client(self, i + 1) for i in range(wanted.clients)]

    # ---- what the parts ask for

    def _deliver(self, member: str, data: bytes) -> None:
        self._by_name[member.partition("#")[0]].deliver(member, data)

    def process_of(self, member: str) -> Process | None:
        """The process that is *member*, when it runs."""
        process = self._by_name[member.partition("#")[0]].process
        return process if process is not None and process.member == member else None

    def leader(self) -> Process | None:
        """The running process that leads in the highest term."""
        leaders = [process for process in self._running() if process.core.role == "leader"]
        return max(leaders, key=lambda process: process.core.term, default=None)

    def configured(self, member: str, configuration: Configuration) -> None:
        """*member* goes by *configuration* from now on."""
        self.configurations[member] = configuration

    def is_gone(self, member: str) -> bool:
        """Whether the disk of *member* is lost or cannot be trusted."""
        node = self._by_name[member.partition("#")[0]]
        return node.member != member or node.disk.damaged

    def wiped(self, node: SimNode) -> None:
        """Give *node* an empty disk."""
        self.configurations.pop(node.member, None)
        node.new_disk()
        self.counts["wipes"] += 1

    def request(
        self, target: str, client: Client, attempt: int, directory: str, call: Call, seq: int
    ) -> None:
        """A client's request arrives at *target*."""
        process = self._by_name[target].process
        if process is not None:
            service = Service(process, client, attempt, directory, call, seq)
            process.loop.call_in(service.begin)
        elif self.healing or self.net_rng.random() < 0.5:  # refused at once, or never answered
            refusal = NotLeader(f"{target} does not run")
            self.scheduler.after(self.network.delay_s(), client.receive, attempt, refusal)

    def client_loses(self, rng: random.Random) -> bool:
        """Whether a message from or to a client is lost."""
        return (
            bool(self.plan.client_loss)
            and not self.healing
            and (rng.random() < self.plan.client_loss)
        )

    def ended(self, process: Process) -> None:
        """Count what *process* did in its life; its tasks must not be collected before the end."""
        self._buried.append(process)
        status = process.driver.status()
        self.counts["compactions"] += status.compactions
        self.counts["installed"] += status.snapshots_installed

    def crashed(self, node: SimNode) -> None:
        """*node* has no process any more: somebody starts it again."""
        self.crashes += 1
        delay_s = 0.2 if self.healing else self.nemesis_rng.uniform(0.05, 8.0)
        self.scheduler.after(delay_s, self._restart, node)

    def _restart(self, node: SimNode) -> None:
        if node.process is None:
            node.start()

    def _sweep(self) -> None:
        """Nobody waits for ever."""
        now_s = self.scheduler.now_s
        for process in self._running():
            if process.waiting and not process.loop.paused:
                since_s = next(iter(process.waiting.values()))
                self.monitor.require(
                    now_s - since_s < PENDING_S_MAX,
                    f"{process.member}: a caller waits since {since_s:.1f} s (D7)",
                )
        self.scheduler.after(SWEEP_S, self._sweep)

    def _rest(self) -> None:
        """The workload pauses and goes on, so that idle clusters are seen too."""
        if self.healing:
            return
        self.load_on = not self.load_on
        self.scheduler.after(self.nemesis_rng.expovariate(1 / 15.0), self._rest)

    def _running(self) -> list[Process]:
        return [node.process for node in self.nodes if node.process is not None]

    # ---- the run

    def run(self) -> Report:
        """Live through the plan, heal, and check everything."""
        scheduler, wanted = self.scheduler, self.plan
        for node in self.nodes:
            node.start()
        for client in self.clients:
            scheduler.after(0.5, client.act)
        scheduler.after(2.0, Nemesis(self).strike)
        if wanted.has("membership") or wanted.has("transfer"):
            scheduler.after(2.0, Operator(self).act)
        scheduler.after(SWEEP_S, self._sweep)
        scheduler.after(20.0, self._rest)
        scheduler.run_until(wanted.duration_s)
        self._heal()
        self._recover()
        undecided = self._check_history()
        return self._report(undecided)

    def _heal(self) -> None:
        """All faults end; disks that cannot be trusted stay out."""
        self.healing = True
        self.load_on = True
        self.network.weather = Weather()
        self.network.heal()
        self.network.old.clear()  # the last one was upgraded
        self.fsync_s = (0.0005, 0.003)
        self.think_s = min(self.think_s, 0.5)
        for node in self.nodes:
            node.disk.write_failure = node.disk.read_failure = None
            process = node.process
            if process is None:
                node.start()
                continue
            process.boundaries_left = 0
            process.executor.stall(0.0)
            process.loop.wake()
            if node.disk.damaged:  # it may still run on what it holds in memory
                node.crash(False)
        for client in self.clients:
            client.act()

    def _recover(self) -> None:
        """Serve and converge within RECOVERY_S."""
        scheduler = self.scheduler
        began_s = scheduler.now_s
        answered = [client.answered for client in self.clients]
        while not all(c.answered > a + 1 for c, a in zip(self.clients, answered, strict=True)):
            self._require_in_time(began_s, "clients are not served")
            scheduler.run_until(scheduler.now_s + 0.2)
        self.load_on = False
        while not self._converged():
            self._require_in_time(began_s, "masters do not converge")
            scheduler.run_until(scheduler.now_s + 0.2)
        for process in self._running():
            self.monitor.state(
                process.member, process.machine.applied_index, process.namespace.state_hash()
            )
            process.require_contents()
        while any(process.executor.jobs for process in self._running()):
            self._require_in_time(began_s, "writes are under way")
            scheduler.run_until(scheduler.now_s + 0.05)
        for process in self._running():
            process.require_no_strays()

    def _require_in_time(self, began_s: float, what: str) -> None:
        if self.scheduler.now_s - began_s > RECOVERY_S:
            views = ", ".join(
                f"{p.member} {p.core.role} term {p.core.term} commit {p.core.commit_index} "
                f"last {p.core.last_index} applied {p.machine.applied_index}"
                for p in self._running()
            )
            raise Violation(f"{RECOVERY_S:.0f} s after the last fault {what}: {views}")

    def _converged(self) -> bool:
        """One leader, nobody waits, all members that can run hold the same state."""
        leader = self.leader()
        if leader is None:
            return False
        now = leader.core.configuration
        if now.is_joint or not leader.core.configuration_settled:
            return False
        members = [m for m in now.members if not self.is_gone(m)]
        processes = [self.process_of(member) for member in members]
        return all(
            process is not None
            and not process.waiting
            and process.machine.applied_index == len(self.monitor.committed)
            and process.core.configuration == now
            for process in processes
        )

    def _check_history(self) -> int:
        undecided = 0
        self.history.resolve(self.monitor.first_outcomes)
        for directory, operations in self.history.by_directory.items():
            try:
                good = is_linearizable(operations, Directory())
            except Undecided:
                undecided += 1
                continue
            self.monitor.require(good, f"INV-LIN: the history of {directory} is not linearizable")
        return undecided

    def _report(self, undecided: int) -> Report:
        monitor = self.monitor
        for process in self._running():
            self.ended(process)
        trace = zlib.crc32(repr(monitor.committed).encode(), self.network.trace)
        trace = zlib.crc32(repr(sorted(monitor.leaders.items())).encode(), trace)
        for process in self._running():
            trace = zlib.crc32(process.namespace.state_hash(), trace)
        return Report(
            seed=self.plan.seed,
            line=self.plan.line,
            quiet=self.plan.quiet,
            simulated_s=self.scheduler.now_s,
            events=self.scheduler.event_count,
            messages=self.network.message_count,
            committed=len(monitor.committed),
            answered=sum(client.answered for client in self.clients),
            unknown=sum(client.unknown for client in self.clients),
            elections=len(monitor.leaders),
            crashes=self.crashes,
            refused_disks=self.counts["refused_disks"],
            promises=monitor.promises_checked,
            undecided=undecided,
            changes=self.counts["changes"],
            transfers=self.counts["transfers"],
            wipes=self.counts["wipes"],
            snapshots=self.counts["snapshots"],
            compactions=self.counts["compactions"],
            installed=self.counts["installed"],
            trace=f"{trace:08x}-{self.scheduler.event_count}",
        )


def run(seed: int) -> Report:
    """Run *seed*. Raises `Violation`, or what a defect raises."""
    wanted = plan(seed)
    patched = (*PATCHED, (limits, "APPEND_ENTRIES_MAX", wanted.append_entries_max))
    usual = [getattr(module, name) for module, name, _ in patched]
    try:
        for module, name, value in patched:
            setattr(module, name, value)
        return Simulation(wanted).run()
    finally:
        for (module, name, _), value in zip(patched, usual, strict=True):
            setattr(module, name, value)
