"""What is done to a cluster while a client works: kills, a cut link, a paused process, in turn.

One master and one chunkserver are in trouble at a time, so that a majority and two of three
replicas are always left; that both are at once is part of it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP

from tests.support.proxied_cluster import ProxiedCluster

MASTERS = ("m1", "m2", "m3")


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between faults of a kind, and how long each lasts."""

    kill_leader_every: float = 20.0
    kill_chunkserver_every: float = 30.0
    cut_every: float = 50.0
    pause_every: float = 70.0
    down: float = 4.0
    """How long a killed process stays dead, a link cut and a process paused."""


class Chaos:
    """Does to *cluster* what is due; `step` often, from one thread."""

    def __init__(self, cluster: ProxiedCluster, pace: Pace, seed: int) -> None:
        self.done: list[str] = []
        """In order, with the second since the beginning."""
        self._cluster = cluster
        self._pace = pace
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._due = {
            self._kill_leader: pace.kill_leader_every / 4,
            self._kill_chunkserver: pace.kill_chunkserver_every / 2,
            self._cut_link: pace.cut_every / 2,
            self._pause_process: pace.pause_every / 2,
        }
        self._every = {
            self._kill_leader: pace.kill_leader_every,
            self._kill_chunkserver: pace.kill_chunkserver_every,
            self._cut_link: pace.cut_every,
            self._pause_process: pace.pause_every,
        }
        self._ends: dict[str, tuple[float, Callable[[], None]]] = {}  # by role, what is in trouble

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def step(self) -> None:
        """End the faults that lasted long enough, and begin what is due."""
        for role, (until, end) in list(self._ends.items()):
            if self.elapsed_s >= until:
                end()
                del self._ends[role]
        for fault, due in self._due.items():
            if self.elapsed_s >= due and fault():
                self._due[fault] = self.elapsed_s + self._every[fault]

    def end(self) -> None:
        """Undo every fault and wait until all run."""
        for _, end in self._ends.values():
            end()
        self._ends.clear()
        self._cluster.up()

    def count(self, what: str) -> int:
        """How many faults whose name begins so there were."""
        return sum(text.partition(" s ")[2].startswith(what) for text in self.done)

    # ---- faults; each says whether it could begin

    def _kill_leader(self) -> bool:
        return self._free("master") and self._kill("master", self._cluster.leading(), "kill leader")

    def _kill_chunkserver(self) -> bool:
        victim = self._random.choice(self._cluster.chunkservers)
        return self._free("chunkserver") and self._kill("chunkserver", victim, "kill chunkserver")

    def _kill(self, role: str, victim: str, what: str) -> bool:
        self._cluster.kill(victim)
        self._begun(role, what, victim, lambda: self._cluster.start(victim))
        return True

    def _cut_link(self) -> bool:
        """Nobody reaches a master any more, which reaches the others."""
        if not self._free("master"):
            return False
        victim = self._random.choice(MASTERS)
        address = self._cluster.addresses[victim]
        self._cluster.proxy.block(address)
        self._begun("master", "cut link to", victim, lambda: self._cluster.proxy.heal(address))
        return True

    def _pause_process(self) -> bool:
        role = self._random.choice(("master", "chunkserver"))
        if not self._free(role):
            return False
        names = MASTERS if role == "master" else self._cluster.chunkservers
        victim = self._random.choice(names)
        self._cluster.signal(victim, SIGSTOP)
        self._begun(role, "pause", victim, lambda: self._cluster.signal(victim, SIGCONT))
        return True

    def _free(self, role: str) -> bool:
        return role not in self._ends

    def _begun(self, role: str, what: str, victim: str, end: Callable[[], None]) -> None:
        self.done.append(f"{self.elapsed_s:.0f} s {what} {victim}")
        self._ends[role] = self.elapsed_s + self._pace.down, end
