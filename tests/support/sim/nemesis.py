"""Does to a simulated cluster what its seed asks for.

Nothing is done that no cluster could survive: the disks that are damaged for good stay a minority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.support.sim.disk import disk_full, io_error
from tests.support.sim.membership import may_lose
from tests.support.sim.node import Process, SimNode

if TYPE_CHECKING:
    from tests.support.sim.simulation import Simulation

DOWN_S_MAX = 8.0
DWELL_S = (1.0, 12.0)
BOUNDARIES_MAX = 60


class Nemesis:
    """See the module. `strike` does one thing; `rest` takes all back."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self._rng = sim.nemesis_rng
        every: dict[str, Callable[[], None]] = {
            "partition": self._partition,
            "one_way": self._one_way,
            "bridge": self._bridge,
            "isolate_leader": self._isolate_leader,
            "clog": self._clog,
            "storm": self._storm,
            "kill": lambda: self._crash(False),
            "power": lambda: self._crash(True),
            "boundary": self._boundary,
            "pause": self._pause,
            "stall": self._stall,
            "eio_write": lambda: self._write_failure(False),
            "enospc": lambda: self._write_failure(True),
            "eio_read": self._read_failure,
            "rot": lambda: self._damage("rot"),
            "misdirect": lambda: self._damage("misdirect"),
            "lost_tail": lambda: self._damage("lost_tail"),
            "wipe": self._wipe,
            "wall_jump": self._wall_jump,
        }
        self._acts = [act for name, act in every.items() if sim.plan.has(name)]

    def strike(self) -> None:
        """Do one thing that this seed has, or let the network heal."""
        sim = self.sim
        if sim.healing:
            return
        if self._rng.random() < 0.2:
            sim.network.heal()
        elif self._acts:
            self._rng.choice(self._acts)()
        sim.scheduler.after(self._rng.expovariate(1 / sim.plan.fault_every_s), self.strike)

    def _running(self) -> list[Process]:
        return [node.process for node in self.sim.nodes if node.process is not None]

    def _any(self) -> Process | None:
        running = self._running()
        return self._rng.choice(running) if running else None

    def _victim(self) -> Process | None:
        """Mostly anybody, often the leader: that is where most can go wrong."""
        leader = self.sim.leader()
        return leader if leader is not None and self._rng.random() < 0.4 else self._any()

    # ---- network

    def _partition(self) -> None:
        names = list(self.sim.names)
        side = [name for name in names if self._rng.random() < 0.5]
        self._cut(side, [name for name in names if name not in side])

    def _cut(self, side: list[str], other: list[str], one_way: bool = False) -> None:
        network = self.sim.network
        network.partition(side, other, one_way)
        self.sim.scheduler.after(self._rng.uniform(*DWELL_S), network.heal)

    def _one_way(self) -> None:
        if len(self.sim.names) > 1:
            source, to = self._rng.sample(self.sim.names, 2)
            self._cut([source], [to], one_way=True)

    def _bridge(self) -> None:
        """Two halves that see each other only through one node."""
        names = list(self.sim.names)
        self._rng.shuffle(names)
        half = (len(names) - 1) // 2
        self._cut(names[1 : 1 + half], names[1 + half :])

    def _isolate_leader(self) -> None:
        leader = self.sim.leader()
        if leader is not None:
            others = [name for name in self.sim.names if name != leader.name]
            self._cut([leader.name], others, one_way=self._rng.random() < 0.3)

    def _storm(self) -> None:
        """Leaders fall one after the other, each while a few of the others lag behind."""
        names = list(self.sim.names)
        self._rng.shuffle(names)
        lagging = names[: self._rng.randrange(1, 1 + (len(names) + 1) // 2)]
        rounds = self._rng.randrange(1, 5)

        def strike(left: int) -> None:
            leader = self.sim.leader()
            if self.sim.healing or leader is None:
                return
            self.sim.network.heal()
            others = [name for name in names if name != leader.name]
            if self._rng.random() < 0.5:
                leader.node.crash(self._rng.random() < 0.5)
            else:
                self.sim.network.partition([leader.name], others)
            if left:
                self.sim.scheduler.after(self._rng.uniform(0.5, 3.0), strike, left - 1)
            else:
                self.sim.scheduler.after(2.0, self.sim.network.heal)

        leader = self.sim.leader()
        if leader is not None and len(names) > 1:
            behind = [name for name in lagging if name != leader.name]
            self.sim.network.partition([leader.name], behind, one_way=True)
            self.sim.scheduler.after(self._rng.uniform(0.05, 0.6), strike, rounds)

    def _clog(self) -> None:
        if len(self.sim.names) > 1:
            source, to = self._rng.sample(self.sim.names, 2)
            until_s = self.sim.scheduler.now_s + self._rng.uniform(0.1, 5.0)
            self.sim.network.clog(source, to, until_s)

    # ---- processes

    def _crash(self, power: bool) -> None:
        if power and self._rng.random() < 0.2:
            for process in self._running():  # the whole room goes dark
                process.node.crash(True)
            return
        victim = self._victim()
        if victim is not None:
            victim.node.crash(power)

    def _boundary(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.boundaries_left = self._rng.randrange(1, BOUNDARIES_MAX)

    def _pause(self) -> None:
        victim = self._victim()
        if victim is not None and not victim.loop.paused:
            victim.loop.pause()
            longest = 30.0 if self.sim.plan.quiet else 5.0
            self.sim.scheduler.after(self._rng.uniform(0.1, longest), victim.loop.wake)

    def _wall_jump(self) -> None:
        victim = self._any()
        if victim is not None:
            jump_ms = self._rng.randrange(-10_000, 10_000)
            victim.loop.wall_offset_ms += jump_ms
            victim.node.wall_offset_ms += jump_ms

    # ---- disks

    def _stall(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.executor.stall(self.sim.scheduler.now_s + self._rng.uniform(0.1, 8.0))

    def _write_failure(self, full: bool) -> None:
        victim = self._victim()
        if victim is not None:
            victim.node.disk.write_failure = disk_full() if full else io_error()

    def _read_failure(self) -> None:
        victim = self._any()
        if victim is not None:
            victim.node.disk.read_failure = io_error()

    def _damage(self, how: str) -> None:
        """Damage a disk for good; its node is found out at the latest when it starts again."""
        node = self._expendable()
        if node is None:
            return
        if how == "lost_tail":
            if node.process is not None:
                node.crash(False)
            done = node.disk.lose_tail()
        elif how == "rot":
            done = node.disk.rot(self._rng) is not None
        else:
            done = node.disk.misdirect(self._rng) is not None
        if done and node.process is not None and self._rng.random() < 0.7:
            node.crash(False)

    def _wipe(self) -> None:
        """A disk is replaced by an empty one: the node comes back as another member (E6)."""
        node = self._expendable()
        if node is not None:
            if node.process is not None:
                node.crash(False)
            self.sim.wiped(node)

    def _expendable(self) -> SimNode | None:
        whole = [n for n in self.sim.nodes if not n.disk.damaged and may_lose(self.sim, n)]
        return self._rng.choice(whole) if whole else None
