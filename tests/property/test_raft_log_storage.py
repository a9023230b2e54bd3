"""`RaftLog` over `MemoryKv` against a plain model, reopened after each prefix of its batches.

Whatever a crash leaves of the batches, the log that opens is the model after the last of them; and
what was said to be durable is. Cites INV-DUR and the traps B6, C5, C6, C9, F4, F7, S6, S7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pydfsnode._fast import encode_entry
from pydfsnode.raft.effects import HardState, Install, Persist
from pydfsnode.storage import dead_state, raft_log
from pydfsnode.storage.kv import Batch
from pydfsnode.storage.memory_kv import MemoryKv
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import Row, numbered_key
from pydfsnode.storage.snapshot_stage import SnapshotStage
from tests.support.sealed_log import entries_of, sealed, state_of

TABLES = [16, 17, 79]
INCARNATION = 7

StateRow = tuple[int, bytes, bytes]


@dataclass(frozen=True)
class Staged:
    index: int
    term: int
    rows: tuple[StateRow, ...] = ()


@dataclass(frozen=True)
class Model:
    hard_state: HardState = field(default_factory=HardState)
    first: int = 1
    prev_term: int = 0
    entries: tuple[bytes, ...] = ()
    base: bytes | None = None
    rows: tuple[StateRow, ...] = ()
    state_index: int = 0
    staged: Staged | None = None

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    def term_at(self, index: int) -> int:
        if index < self.first:
            return self.prev_term
        return int.from_bytes(self.entries[index - self.first][16:24], "little")

    def compacted(self, through: int, base: bytes) -> Model:
        return replace(
            self,
            first=through + 1,
            prev_term=self.term_at(through),
            entries=self.entries[through + 1 - self.first :],
            base=base,
        )

    def holds(self, index: int, term: int) -> bool:
        return self.first - 1 <= index <= self.last and self.term_at(index) == term

    def installed(self, base: bytes) -> Model:
        assert self.staged is not None
        index, term = self.staged.index, self.staged.term
        kept = replace(self, first=index + 1, prev_term=term, entries=(), base=base)
        if self.holds(index, term):
            kept = self.compacted(index, base)
        return replace(kept, rows=self.staged.rows, state_index=index, staged=None)


class JournalKv(MemoryKv):
    """Keeps the rows as they were after each batch; `expected` gives the model for each."""

    def __init__(self, rows: dict[bytes, bytes], model: Model) -> None:
        super().__init__(rows)
        self.expected: Iterator[Model] = iter(())
        self.journal = [(dict(rows), model)]
        self.unchecked = 0
        """Positions in the journal from here on were not reopened yet."""
        self.synced = 0
        """The position that a crash keeps at least."""

    def write(self, batch: Batch, sync: bool) -> None:
        super().write(batch, sync)
        model = next(self.expected, self.journal[-1][1])
        self.journal.append((dict(self._rows), model))
        if sync:
            self.synced = len(self.journal) - 1


class LogAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patches = [
            mock.patch.object(raft_log, "COMPACT_ENTRIES_MAX", 2),
            mock.patch.object(dead_state, "PURGE_ROWS_MAX", 2),
        ]
        for patch in self.patches:
            patch.start()
        self.serial = 0
        self.restart({}, Model())

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()

    def restart(self, rows: dict[bytes, bytes], model: Model) -> None:
        self.kv = JournalKv(rows, model)
        self.log = RaftLog.open(sealed(self.kv), None, lambda: INCARNATION)
        self.model = model
        self.stage: SnapshotStage | None = None

    def expect(self, *models: Model) -> None:
        """What each batch of the next call leads to; the last is where it ends."""
        self.kv.expected = iter(models)
        self.model = models[-1]

    def happened(self, durable: bool) -> None:
        """After a call: all its batches are as expected; with *durable* no crash undoes it."""
        assert self.kv.journal[-1][1] == self.model
        assert not durable or self.kv.synced == len(self.kv.journal) - 1
        for position in range(self.kv.unchecked, len(self.kv.journal)):
            self.check(*self.kv.journal[position])
        self.kv.unchecked = len(self.kv.journal)
        self.check_open(self.log, self.model)

    def check(self, rows: dict[bytes, bytes], model: Model) -> None:
        log = RaftLog.open(sealed(MemoryKv(rows)), None, lambda: INCARNATION)
        assert log.hard_state == model.hard_state
        assert (log.start.first_index, log.start.last_index) == (model.first, model.last)
        assert (log.start.prev_term, log.start.base) == (model.prev_term, model.base)
        assert log.incarnation == INCARNATION
        assert entries_of(log) == list(model.entries)
        runs: list[tuple[int, int]] = []
        term = -1  # the first run is told also where it goes on with the term before it
        for index in range(model.first, model.last + 1):
            if model.term_at(index) != term:
                term = model.term_at(index)
                runs.append((index, term))
        assert log.start.term_runs == runs
        assert log.start.configurations == [
            (index, b"%d" % index)
            for index, entry in enumerate(model.entries, model.first)
            if entry[24] == 2
        ]
        self.check_open(log, model)
        assert list(log.load_rows(TABLES)) == list(model.rows)
        if model.staged is not None:
            stage = log.stage(model.staged.index, model.staged.term)
            self.check_stage(stage, model.staged)

    def check_open(self, log: RaftLog, model: Model) -> None:
        assert log.log_bytes == sum(map(len, model.entries))
        assert log.bounds[1:3] == (model.first, model.last)
        assert state_of(log) == (model.state_index, list(model.rows))

    def check_stage(self, stage: SnapshotStage, staged: Staged) -> None:
        count = len(staged.rows)
        assert (stage.row_count, stage.crc) == (count, 31 * count)
        assert stage.after == (staged.rows[-1][:2] if staged.rows else None)

    # ---- what the driver does

    @rule(
        newer=st.integers(0, 2),
        count=st.integers(0, 5),
        cut=st.integers(0, 4),
        kinds=st.integers(0, 31),
        rows=st.lists(
            st.tuples(st.sampled_from(TABLES), st.integers(0, 5), st.booleans()), max_size=3
        ),
        applied=st.integers(0, 4),
        sync=st.booleans(),
    )
    def write(
        self,
        newer: int,
        count: int,
        cut: int,
        kinds: int,
        rows: list[tuple[int, int, bool]],
        applied: int,
        sync: bool,
    ) -> None:
        model, persist = self.model, Persist(1)
        term = max(1, model.hard_state.term + newer)
        if term != model.hard_state.term:
            persist.hard_state = HardState(term, "m2")
            model = replace(model, hard_state=persist.hard_state)
        cut = min(cut, model.last - model.state_index, len(model.entries))
        if cut:
            persist.truncate_from = model.last - cut + 1
            model = replace(model, entries=model.entries[:-cut])
        if count:
            persist.first_index = model.last + 1
            indexes = range(model.last + 1, model.last + 1 + count)
            persist.entries = [
                encode_entry(i, term, 1 + (kinds >> (i - model.last - 1) & 1), b"%d" % i)
                for i in indexes
            ]
            model = replace(model, entries=model.entries + tuple(persist.entries))
        state_index = min(model.last, model.state_index + applied)
        changed: list[Row] = []
        state = {row[:2]: row[2] for row in model.rows}
        if state_index:
            changed.append((16, b"", b"%d" % state_index))
            state[16, b""] = b"%d" % state_index
        for table, key, is_put in rows if state_index else ():
            self.serial += 1
            place, value = (table, numbered_key(key)), b"%d" % self.serial
            changed.append((*place, value if is_put else None))
            state.pop(place, None)
            if is_put:
                state[place] = value
        live = tuple((*place, state[place]) for place in sorted(state))
        self.expect(replace(model, rows=live, state_index=state_index))
        self.log.write(persist, changed, sync, state_index)
        self.happened(durable=sync)

    @precondition(lambda self: self.model.state_index >= self.model.first)
    @rule(choice=st.integers(0, 20))
    def compact(self, choice: int) -> None:
        model = self.model
        through = model.state_index - choice % (model.state_index - model.first + 1)
        base = b"members of %d" % through
        models = [] if self.kv.synced == len(self.kv.journal) - 1 else [model]
        for last in range(model.first + 1, through, 2):
            models.append(model.compacted(last, base))
        models.append(model.compacted(through, base))
        if self.log.state_index == model.state_index and models[0] is model:
            # A sync of its own comes first only when the state may not be durable so far.
            models = models if through > self.log._durable_state_index else models[1:]
        self.expect(*models)
        self.log.compact(through, base)
        self.happened(durable=True)

    # ---- a snapshot comes in

    @precondition(lambda self: self.model.hard_state.term)
    @rule(ahead=st.integers(0, 6), same_term=st.booleans())
    def begin_snapshot(self, ahead: int, same_term: bool) -> None:
        if ahead == 0 and self.model.staged is not None:
            index = self.model.staged.index
        else:
            index = self.model.state_index + ahead + 1
        term = self.model.hard_state.term
        if same_term and index <= self.model.last:
            term = self.model.term_at(index)
        staged = self.model.staged
        if staged is None or (staged.index, staged.term) != (index, term):
            self.expect(replace(self.model, staged=None))
            self.stage = self.log.stage(index, term)
            self.happened(durable=False)
            self.model = replace(self.model, staged=Staged(index, term))
        else:
            self.stage = self.log.stage(index, term)
        assert self.model.staged is not None
        self.check_stage(self.stage, self.model.staged)

    @precondition(lambda self: self.model.staged is not None)
    @rule(count=st.integers(0, 5), again=st.booleans(), step=st.sampled_from([1, 40]))
    def add_rows(self, count: int, again: bool, step: int) -> None:
        staged = self.model.staged
        assert staged is not None
        if self.stage is None or again:
            self.stage = self.log.stage(staged.index, staged.term)
        self.check_stage(self.stage, staged)
        rows = list(staged.rows)
        for _ in range(count):
            table, number = 16, 0
            if rows:
                table, number = rows[-1][0], int.from_bytes(rows[-1][1], "big") + step
            table, number = (79, number) if number > 90 else (table, number)
            self.serial += 1
            rows.append((table, numbered_key(number), b"%d" % self.serial))
        self.expect(replace(self.model, staged=replace(staged, rows=tuple(rows))))
        self.stage.add(rows[len(staged.rows) :], len(rows), 31 * len(rows))
        self.happened(durable=False)

    @precondition(
        lambda self: (
            self.model.staged is not None
            and self.model.staged.index >= self.model.state_index
            and self.model.staged.rows
        )
    )
    @rule(newer=st.integers(0, 1), sync=st.booleans())
    def install(self, newer: int, sync: bool) -> None:
        staged = self.model.staged
        assert staged is not None
        if self.stage is None:
            self.stage = self.log.stage(staged.index, staged.term)
        self.expect(self.model)
        self.stage.finish(len(staged.rows), 31 * len(staged.rows))
        self.happened(durable=True)
        base = b"members at %d" % staged.index
        keep = self.model.holds(staged.index, staged.term)
        persist = Persist(1, install=Install(staged.index, staged.term, base, keep))
        model = self.model.installed(base)
        if newer:
            persist.hard_state = HardState(model.hard_state.term + 1, "")
            model = replace(model, hard_state=persist.hard_state)
        self.expect(model)
        self.log.write(persist, [], sync)
        self.happened(durable=True)
        self.stage = None

    @precondition(lambda self: self.model.hard_state.term)
    @rule(
        ahead=st.integers(1, 9),
        same_term=st.booleans(),
        count=st.integers(1, 5),
        crash_choice=st.integers(0, 100),
        newer=st.integers(0, 1),
    )
    def whole_snapshot(
        self, ahead: int, same_term: bool, count: int, crash_choice: int, newer: int
    ) -> None:
        """All of a transfer, interrupted by a crash; else few runs would get as far."""
        self.begin_snapshot(ahead, same_term)
        self.add_rows(count, False, 1)
        self.crash(crash_choice)
        staged = self.model.staged
        if staged is not None and staged.index >= self.model.state_index:
            self.add_rows(count, True, 40)
            self.install(newer, False)

    @rule()
    def purge(self) -> None:
        model = self.model
        if model.staged is not None and model.staged.index <= model.state_index:
            model = replace(model, staged=None)
            self.stage = None
        self.expect(model)
        self.log.purge_some()
        assert self.kv.journal[-1][1].rows == model.rows
        for position in range(self.kv.unchecked, len(self.kv.journal)):
            self.check(*self.kv.journal[position])
        self.kv.unchecked = len(self.kv.journal)

    # ---- crashes

    @rule(choice=st.integers(0, 100))
    def crash(self, choice: int) -> None:
        position = self.kv.synced + choice % (len(self.kv.journal) - self.kv.synced)
        self.restart(*self.kv.journal[position])

    @precondition(lambda self: self.model.entries)
    @rule(first=st.integers(0, 100), last=st.integers(0, 100), bytes_max=st.integers(0, 200))
    def read(self, first: int, last: int, bytes_max: int) -> None:
        model = self.model
        first, last = sorted((first % len(model.entries), last % len(model.entries)))
        found = self.log.read(model.first + first, model.first + last, bytes_max)
        assert found == list(model.entries[first : first + len(found)])
        assert found
        assert len(found) == 1 or sum(map(len, found)) <= bytes_max


LogAgainstModel.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None
)
TestLogAgainstModel = LogAgainstModel.TestCase
