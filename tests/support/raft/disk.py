"""The simulated disk of one master: what survives a crash, written in order, a group at a time."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from pydfsnode._fast import entry_payload
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.raft.types import KIND_CONFIGURATION, LogStart

_HEAD = struct.Struct("<8xQQB")


def head(entry: bytes) -> tuple[int, int, int]:
    """(index, term, kind) in an encoded entry."""
    index, term, kind = _HEAD.unpack_from(entry)
    return index, term, kind


@dataclass
class Disk:
    """The log from `first_index` on, and the state after its first `len(state)` entries.

    `configurations` are (index, configuration), the base first; its index is 0 or that of the
    entry it came from, or of the snapshot.
    """

    configurations: list[tuple[int, Configuration]]
    hard_state: HardState = field(default_factory=HardState)
    entries: list[bytes] = field(default_factory=list)
    first_index: int = 1
    prev_term: int = 0
    state: list[bytes] = field(default_factory=list)

    @property
    def last_index(self) -> int:
        return self.first_index + len(self.entries) - 1

    @property
    def configuration(self) -> Configuration:
        return self.configurations[-1][1]

    def holds(self, index: int, entry: bytes) -> bool:
        """Whether *entry* is at *index*, or was and is part of the state."""
        offset = index - self.first_index
        if offset < 0:
            return index <= len(self.state) and self.state[index - 1] == entry
        return offset < len(self.entries) and self.entries[offset] == entry

    def term_at(self, index: int) -> int:
        if index == self.first_index - 1:
            return self.prev_term
        if not self.first_index <= index <= self.last_index:
            return -1
        return head(self.entries[index - self.first_index])[1]

    def write(self, persist: Persist, staged: list[bytes] | None = None) -> None:
        """One atomic group; *staged* is the state that an installation takes."""
        if persist.hard_state is not None:
            self.hard_state = persist.hard_state
        if persist.install is not None:
            assert staged is not None
            self._install(persist, staged)
            return
        if persist.truncate_from is not None:
            assert persist.truncate_from >= self.first_index, "a truncation below the log"
            assert persist.truncate_from > len(self.state), "a truncation of what was applied"
            del self.entries[persist.truncate_from - self.first_index :]
            while self.configurations[-1][0] > self.last_index:
                self.configurations.pop()
        if persist.entries:
            assert persist.first_index == self.last_index + 1, "a hole in the log"
        for entry in persist.entries:
            self.entries.append(entry)
            index, _, kind = head(entry)
            assert index == self.last_index, "an entry at another's place"
            if kind == KIND_CONFIGURATION:
                self.configurations.append((index, Configuration.decode(entry_payload(entry))))

    def _install(self, persist: Persist, staged: list[bytes]) -> None:
        install = persist.install
        assert install is not None
        assert not persist.entries
        assert persist.truncate_from is None
        assert install.index >= len(self.state), "a snapshot older than the state"
        base = Configuration.decode(install.configuration)
        if install.keep_log:
            assert self.term_at(install.index) == install.index_term, (
                "a kept log of another history"
            )
            self._drop(install.index, install.index_term, base)
        else:
            self.entries, self.configurations = [], [(install.index, base)]
            self.first_index, self.prev_term = install.index + 1, install.index_term
        self.state = staged

    def compact(self, through: int, base: Configuration, state: list[bytes]) -> None:
        """Drop what is up to *through*; *state* holds it."""
        if len(state) > len(self.state):
            self.state = state
        if through < self.first_index:
            return
        assert through <= min(self.last_index, len(self.state)), "compacted and nowhere else"
        self._drop(through, self.term_at(through), base)

    def _drop(self, through: int, term: int, base: Configuration) -> None:
        kept_from = max(0, through + 1 - self.first_index)
        del self.entries[:kept_from]
        if kept_from:
            self.first_index, self.prev_term = through + 1, term
        below = max((at for at, _ in self.configurations if at <= through), default=0)
        later = [(at, found) for at, found in self.configurations if at > through]
        self.configurations = [(below, base), *later]

    def start(self) -> LogStart:
        runs: list[tuple[int, int]] = []
        for entry in self.entries:
            index, term, _ = head(entry)
            if not runs or runs[-1][1] != term:
                runs.append((index, term))
        base = self.configurations[0][1]
        return LogStart(
            self.first_index, self.last_index, runs, self.prev_term, self._read,
            base.encode() if base.members else None,
            [(at, found.encode()) for at, found in self.configurations[1:]],
        )  # fmt: skip

    def _read(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        assert first >= self.first_index, "read below the log"
        found: list[bytes] = []
        size = 0
        for entry in self.entries[first - self.first_index : last + 1 - self.first_index]:
            size += len(entry)
            if found and size > bytes_max:
                break
            found.append(entry)
        return found
