"""`EntryLog` against a plain list: appends, truncations, compaction, snapshots and restarts.

Cites the traps B6, B9, B10 and F4.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pydfsnode._fast import encode_entry
from pydfsnode.raft.log import EntryLog
from pydfsnode.raft.types import LogStart

NUMBERS = st.integers(0, 10_000)


@dataclass
class Model:
    """The log as (term, entry) from `first` on."""

    first: int = 1
    prev_term: int = 0
    held: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.first + len(self.held) - 1

    @property
    def last_term(self) -> int:
        return self.held[-1][0] if self.held else self.prev_term

    def term_at(self, index: int) -> int:
        if index == self.first - 1:
            return self.prev_term
        return self.held[index - self.first][0] if self.first <= index <= self.last else -1

    def append(self, term: int) -> bytes:
        entry = encode_entry(self.last + 1, term, 1, b"%d/%d" % (self.last + 1, term))
        self.held.append((term, entry))
        return entry

    def compact(self, through: int) -> None:
        self.prev_term = self.term_at(through)
        del self.held[: through + 1 - self.first]
        self.first = through + 1

    def opened(self) -> EntryLog:
        """As after a restart: nothing in memory, everything on a disk that goes on as it was."""
        runs: list[tuple[int, int]] = []
        for index, (term, _) in enumerate(self.held, self.first):
            if not runs or runs[-1][1] != term:
                runs.append((index, term))
        first, disk = self.first, [entry for _, entry in self.held]

        def read(low: int, high: int, bytes_max: int) -> list[bytes]:
            return disk[low - first : high - first + 1]

        return EntryLog(LogStart(self.first, self.last, runs, self.prev_term, read))

    def conflict(self, index: int, term: int) -> tuple[int, int]:
        """As `find_conflict_by_term`: down from *index* to the first entry of at most *term*."""
        for at in range(min(index, self.last), self.first - 1, -1):
            if self.term_at(at) <= term:
                return at, self.term_at(at)
        return self.first - 1, self.prev_term


class LogMachine(RuleBasedStateMachine):
    """The same is done to both."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.real = self.model.opened()

    @rule(ahead=st.integers(0, 2), count=st.integers(1, 5))
    def append(self, ahead: int, count: int) -> None:
        term = max(1, self.model.last_term + ahead)
        for _ in range(count):
            entry = self.model.append(term)
            assert self.real.append(term, entry) == self.model.last

    @rule(number=NUMBERS)
    def truncate(self, number: int) -> None:
        index = self.model.first + number % (len(self.model.held) + 1)
        del self.model.held[index - self.model.first :]
        self.real.truncate_from(index)

    @rule(number=NUMBERS)
    def compact(self, number: int) -> None:
        through = self.model.first - 1 + number % (len(self.model.held) + 1)
        self.model.compact(through)
        self.real.compact(through)

    @precondition(lambda self: self.model.first > 1)
    @rule(number=NUMBERS)
    def compact_less_than_before(self, number: int) -> None:
        self.real.compact(number % self.model.first)

    @rule(ahead=st.integers(0, 3), term_ahead=st.integers(0, 2))
    def install_snapshot(self, ahead: int, term_ahead: int) -> None:
        index, term = self.model.last + ahead, self.model.last_term + term_ahead
        self.model = Model(index + 1, term)
        self.real.reset(index, term)

    @rule()
    def restart(self) -> None:
        self.real = self.model.opened()

    @invariant()
    def terms(self) -> None:
        model, real = self.model, self.real
        assert (real.first_index, real.last_index) == (model.first, model.last)
        assert real.last_term == model.last_term
        for index in range(model.first - 2, model.last + 3):
            assert real.term_at(index) == model.term_at(index)

    @invariant()
    def entries(self) -> None:
        model, real = self.model, self.real
        got: list[bytes] = []
        while len(got) < len(model.held):
            got += real.entries(model.first + len(got), model.last, 1 << 30)
        assert got == [entry for _, entry in model.held]
        if model.held:
            assert len(real.entries(model.last, model.last, 1)) == 1  # at least one, however large

    @invariant()
    def conflicts(self) -> None:
        model = self.model
        for index in range(model.first - 1, model.last + 2):
            for term in range(model.prev_term, model.last_term + 2):
                assert self.real.find_conflict_by_term(index, term) == model.conflict(index, term)

    @invariant()
    def comparison(self) -> None:
        model = self.model
        for term in range(model.last_term - 1, model.last_term + 2):
            for index in range(model.last - 1, model.last + 2):
                newer = term > model.last_term or (term == model.last_term and index >= model.last)
                assert self.real.is_up_to_date(index, term) == newer


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
