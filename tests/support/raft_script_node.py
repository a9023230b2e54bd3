"""One member of a scripted cluster: a real core, a disk, and the promises that wait for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from pydfsnode._fast import entry_kind, entry_payload, scan_entries
from pydfsnode.errors import InvariantViolation, PydfsError
from pydfsnode.raft.core import RaftCore
from pydfsnode.raft.effects import Effects, HardState, Persist
from pydfsnode.raft.messages import Message, Promise, SnapshotHeader
from pydfsnode.raft.types import KIND_CONFIGURATION, LogStart, Timing
from tests.support.raft_script_text import configuration_text, payload_text, persist_text

Say = Callable[[str], None]
Send = Callable[[str, str, Message], None]


@dataclass
class ScriptDisk:
    """What is durable: the log, and the state machine as of the last snapshot."""

    hard_state: HardState = field(default_factory=HardState)
    first_index: int = 1
    prev_term: int = 0
    entries: list[bytes] = field(default_factory=list)
    base: bytes | None = None
    state: list[str] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        return self.first_index + len(self.entries) - 1

    def term_at(self, index: int) -> int:
        if index == self.first_index - 1:
            return self.prev_term
        return scan_entries(self.entries[index - self.first_index])[0][1]

    def read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        return self.entries[first - self.first_index : last - self.first_index + 1]

    def write(self, persist: Persist) -> None:
        self.hard_state = persist.hard_state or self.hard_state
        self.base = persist.base or self.base
        if persist.truncate_from is not None:
            del self.entries[persist.truncate_from - self.first_index :]
        if persist.entries:
            assert persist.first_index == self.last_index + 1, "a hole in the log"
            self.entries.extend(persist.entries)
        if persist.install is not None:
            install = persist.install
            if install.keep_log:
                self.compact(install.index, install.configuration)
            else:
                self.entries.clear()
                self.first_index, self.prev_term = install.index + 1, install.index_term
                self.base = install.configuration

    def compact(self, through: int, base: bytes) -> None:
        self.prev_term = self.term_at(through)
        del self.entries[: through + 1 - self.first_index]
        self.first_index, self.base = through + 1, base

    def start(self) -> LogStart:
        runs: list[tuple[int, int]] = []
        configurations = []
        for index, term, kind, entry in scan_entries(b"".join(self.entries)):
            if not runs or runs[-1][1] != term:
                runs.append((index, term))
            if kind == KIND_CONFIGURATION:
                configurations.append((index, entry_payload(entry)))
        return LogStart(
            self.first_index, self.last_index, runs, self.prev_term, self.read, self.base,
            configurations,
        )  # fmt: skip


class ScriptNode:
    """See the module. Effects are carried out at once, except the writes of a slow disk."""

    def __init__(
        self, node_id: str, voters: tuple[str, ...], timing: Timing, timeout: float,
        say: Say, send: Send,
    ) -> None:  # fmt: skip
        """
        Args:
            timeout: where in [1x, 2x) of the smallest its election timeouts lie.
        """
        self.node_id = node_id
        self.disk = ScriptDisk()
        self.slow_disk = False
        self.apply_held = False
        self.paused = False
        self.clock_offset_ms = 0
        self.clock_rate = 1.0
        self.alive = False
        self.snapshots: dict[int, list[str]] = {}  # by index, what the machine held
        self.reads_answered: list[str] = []
        self._voters, self._timing, self._timeout = voters, timing, timeout
        self._say, self._send = say, send
        self._starts = 0

    def local_ms(self, now_ms: int) -> int:
        return int(self.clock_offset_ms + now_ms * self.clock_rate)

    def start(self, now_ms: int) -> None:
        """A new process on what the disk holds."""
        self._starts += 1
        drawn = iter([self._starts / 2**44])  # the nonce of this process, first of all
        self.alive = True
        self.paused = False
        self.machine = list(self.disk.state)
        self.unsynced: list[Persist] = []
        self.waiting: list[tuple[int, str, Promise]] = []
        self.read_names: dict[int, str] = {}  # by id, which each process counts anew
        self.io_durable = 0
        self.waits_shown = ""
        self.commit_shown = len(self.machine)
        self.role_shown = ("follower", self.disk.hard_state.term, "")
        self.core = RaftCore(
            self.node_id, self._voters, self.disk.start(), self.disk.hard_state, self._timing,
            lambda: next(drawn, self._timeout), self.local_ms(now_ms), len(self.machine),
        )  # fmt: skip

    def stop(self, why: str) -> None:
        self._say(f"{self.node_id} stops: {why}")
        self.alive = False

    # ---- events

    def event(self, now_ms: int, happens: Callable[[], object]) -> None:
        """Let *happens* happen in the core, and carry out what it wants."""
        self.core.advance(self.local_ms(now_ms))
        try:
            happens()
        except InvariantViolation as error:
            self.stop(str(error).partition(";")[0])
            return
        except PydfsError as error:
            self._say(f"  {self.node_id}: {type(error).__name__}: {error}")
        self.turn()

    def take(self, now_ms: int, message: Message) -> None:
        """A message arrives; a snapshot's whole stream counts as one."""
        if not isinstance(message, SnapshotHeader):
            self.event(now_ms, lambda: self.core.step(message))
            return
        wanted = False

        def offered() -> None:
            nonlocal wanted
            wanted = self.core.snapshot_offered(message)

        self.event(now_ms, offered)
        if not wanted:
            self._say(f"  {self.node_id}: refuses the snapshot")
            return
        self.core.install(message)
        self.staged = self.snapshots.get(message.index, [])
        self.turn()

    def fsync(self) -> None:
        """The oldest write under way becomes durable."""
        self._durable(self.unsynced.pop(0))
        self.turn()

    # ---- effects

    def turn(self) -> None:
        """Take effects and carry them out until there are none."""
        while True:
            effects = self.core.take_effects()
            if effects == Effects():
                return
            self._show_role(effects.role_changed)
            self._carry_out(effects)
            self._show_role(self.core._state.effects.role_changed)

    def _show_role(self, told: bool) -> None:
        core = self.core
        role = (core.role, core.term, core.leader)
        if role == self.role_shown:
            return
        self.role_shown = role
        of = f" of {core.leader}" if core.leader and core.role == "follower" else ""
        untold = "" if told else " (and does not say so)"
        self._say(f"  {self.node_id}: {core.role}{of} t={core.term}{untold}")

    def _carry_out(self, effects: Effects) -> None:
        if effects.configuration_changed:
            members = configuration_text(self.core.configuration)
            self._say(f"  {self.node_id}: members {members} from {self.core.configuration_index}")
        for to, message in effects.send_now:
            self._send(self.node_id, to, cast(Message, message))
        if effects.persist is not None:
            self._say(f"  {self.node_id}: {persist_text(effects.persist)}")
            self.unsynced.append(effects.persist)
        self.waiting.extend(effects.send_after)
        self._release()
        for io_id, to, promise in effects.send_after:
            waits = f"  {self.node_id}: {type(promise).__name__} to {to} waits for io {io_id}"
            if self.slow_disk and io_id > self.io_durable and waits != self.waits_shown:
                self._say(waits)
                self.waits_shown = waits
        if not self.slow_disk:
            while self.unsynced:
                self._durable(self.unsynced.pop(0))
        if self.core.commit_index > self.commit_shown:
            self._say(f"  {self.node_id}: commit {self.core.commit_index}")
            self.commit_shown = self.core.commit_index
        self.apply()
        for ready in effects.reads_ready:
            name = self.read_names[ready.read_id]
            self.reads_answered.append(name)
            self._say(f"  {self.node_id}: read {name} may be answered at {ready.index}")
        for read_id in effects.reads_failed:
            self._say(f"  {self.node_id}: read {self.read_names[read_id]} fails")
        for wanted in effects.snapshot_to:
            self._say(f"  {self.node_id}: a snapshot for {wanted.peer} is wanted")

    def _durable(self, persist: Persist) -> None:
        self.disk.write(persist)
        if persist.install is not None:
            self.machine = list(self.staged)
            self.disk.state = list(self.staged)
            self.core.applied(persist.install.index)
            self.commit_shown = max(self.commit_shown, persist.install.index)
        self.io_durable = persist.io_id
        if self.slow_disk:
            self._say(f"  {self.node_id}: io {persist.io_id} is durable")
        self.core.persisted(persist.io_id)
        self._release()

    def _release(self) -> None:
        ready = [promise for promise in self.waiting if promise[0] <= self.io_durable]
        self.waiting = [promise for promise in self.waiting if promise[0] > self.io_durable]
        for _, to, message in ready:
            self._send(self.node_id, to, cast(Message, message))

    def apply(self) -> None:
        """Apply what is committed, unless that is held."""
        core = self.core
        installing = any(persist.install is not None for persist in self.unsynced)
        if self.apply_held or installing:
            return
        names: list[str] = []
        while len(self.machine) < core.commit_index:
            first = len(self.machine) + 1
            for entry in core.entries(first, core.commit_index):
                self.machine.append(payload_text(entry))
                if entry_kind(entry) != KIND_CONFIGURATION and self.machine[-1] != "-":
                    names.append(self.machine[-1])
        if names:
            shown = names if len(names) <= 6 else [*names[:2], f"..{len(names) - 4}..", *names[-2:]]
            self._say(f"  {self.node_id}: apply {' '.join(shown)}")
        core.applied(len(self.machine))
