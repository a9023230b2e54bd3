"""`RaftLog` over `MemoryKv` against a plain list, through crashes and restarts (B6, C9)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pydfsnode.raft.effects import HardState, Persist
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from tests.support.sealed_log import entries_of, entry, sealed

State = tuple[HardState, list[bytes], dict[bytes, bytes]]


class LogAgainstList(RuleBasedStateMachine):
    """The model is (hard state, entries, rows) after each group since the last sync."""

    def __init__(self) -> None:
        super().__init__()
        self.kv = MemoryKv()
        self.log = RaftLog.open(sealed(self.kv))
        self.term = 0
        self.model: State = (HardState(), [], {})
        self.since_sync: list[State] = [self.model]

    def terms(self) -> list[int]:
        return [int.from_bytes(e[16:24], "little") for e in self.model[1]]

    @rule(
        newer=st.integers(0, 2),
        count=st.integers(0, 4),
        cut=st.integers(0, 6),
        rows=st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.integers(-1, 9)), max_size=2),
        sync=st.booleans(),
    )
    def write(
        self, newer: int, count: int, cut: int, rows: list[tuple[bytes, int]], sync: bool
    ) -> None:
        self.term += newer
        hard_state, entries, state = self.model
        entries, state = list(entries), dict(state)
        persist = Persist(1)
        if newer or not hard_state.term:
            self.term = max(self.term, 1)
            hard_state = persist.hard_state = HardState(self.term, "m2")
        if cut and cut <= len(entries):
            persist.truncate_from = len(entries) - cut + 1
            del entries[-cut:]
        if count:
            persist.first_index = len(entries) + 1
            persist.entries = [entry(len(entries) + 1 + i, self.term) for i in range(count)]
            entries += persist.entries
        drained = []
        for key, value in rows:
            plaintext = None if value < 0 else b"%d" % value
            drained.append((17, key, plaintext))
            if plaintext is None:
                state.pop(key, None)
            else:
                state[key] = plaintext
        self.log.write(persist, drained, sync)
        self.model = (hard_state, entries, state)
        self.since_sync = [self.model] if sync else [*self.since_sync, self.model]

    @rule(choice=st.integers(0, 100))
    def lose_power(self, choice: int) -> None:
        surviving = choice % len(self.since_sync)
        self.kv = self.kv.after_power_loss(surviving)
        self.log = RaftLog.open(sealed(self.kv))
        self.model = self.since_sync[surviving]
        self.since_sync = [self.model]
        self.term = max([self.model[0].term, *self.terms()])

    @precondition(lambda self: self.model[1])
    @rule(first=st.integers(1, 100), last=st.integers(1, 100), bytes_max=st.integers(0, 200))
    def read(self, first: int, last: int, bytes_max: int) -> None:
        count = len(self.model[1])
        first, last = sorted((1 + first % count, 1 + last % count))
        found = self.log.read(first, last, bytes_max)
        assert found == self.model[1][first - 1 : first - 1 + len(found)]
        assert found
        assert len(found) == 1 or sum(map(len, found)) <= bytes_max

    @invariant()
    def reopened_it_equals_the_model(self) -> None:
        again = RaftLog.open(sealed(self.kv))
        hard_state, entries, state = self.model
        assert again.hard_state == hard_state
        assert entries_of(again) == entries
        runs: list[tuple[int, int]] = []
        for index, term in enumerate(self.terms(), 1):
            if not runs or runs[-1][1] != term:
                runs.append((index, term))
        assert again.start.term_runs == runs
        assert {key: value for _, key, value in again.load_rows([17])} == state


LogAgainstList.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLogAgainstList = LogAgainstList.TestCase
