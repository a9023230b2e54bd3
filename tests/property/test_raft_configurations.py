"""The stack of configurations against a plain list of entries (traps B6, E1, E7, F3)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.configurations import Configurations

NUMBERS = st.integers(0, 10_000)


def configuration(number: int) -> Configuration:
    return Configuration((f"m{number}",))


class ConfigurationsMachine(RuleBasedStateMachine):
    """The model is the log: for each index from `first` on, a configuration or None."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.first = 1
        self.base, self.base_index = configuration(0), 0
        self.log: list[Configuration | None] = []
        self.real = Configurations(self.base)

    def next_configuration(self) -> Configuration:
        self.made += 1
        return configuration(self.made)

    @property
    def last(self) -> int:
        return self.first + len(self.log) - 1

    def at(self, index: int) -> tuple[int, Configuration]:
        """In force at *index*: the entry's index and the configuration."""
        for position in range(index - self.first, -1, -1):
            found = self.log[position]
            if found is not None:
                return self.first + position, found
        return self.base_index, self.base

    @rule()
    def append_configuration(self) -> None:
        self.log.append(self.next_configuration())
        found = self.log[-1]
        assert found is not None
        self.real.append(self.last, found)

    @rule(count=st.integers(1, 3))
    def append_operations(self, count: int) -> None:
        self.log += [None] * count

    @rule(number=NUMBERS)
    def truncate(self, number: int) -> None:
        index = self.first + number % (len(self.log) + 1)
        before = self.at(self.last)
        del self.log[index - self.first :]
        assert self.real.truncate_from(index) == (before != self.at(self.last))

    @rule(number=NUMBERS)
    def compact(self, number: int) -> None:
        through = self.first - 1 + number % (len(self.log) + 1)
        self.base_index, self.base = self.at(through)
        del self.log[: through + 1 - self.first]
        self.first = through + 1
        assert self.real.compact(through) == self.base

    @rule(ahead=st.integers(0, 4))
    def install_snapshot(self, ahead: int) -> None:
        index = self.last + ahead
        self.log, self.first = [], index + 1
        self.base_index, self.base = index, self.next_configuration()
        self.real.reset(index, self.base)

    @rule()
    def restart(self) -> None:
        later = [(i, c) for i, c in enumerate(self.log, self.first) if c is not None]
        self.base_index = 0  # where the base came from is forgotten
        self.real = Configurations(self.base, later)

    @invariant()
    def same(self) -> None:
        assert (self.real.index, self.real.current) == self.at(self.last)
        for index in range(self.first - 1, self.last + 1):
            assert self.real.at(index) == self.at(index)[1]


TestConfigurations = ConfigurationsMachine.TestCase
TestConfigurations.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
