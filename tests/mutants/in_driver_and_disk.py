"""Planted bugs: what runs the core, what it writes to, and the sessions above it."""

from __future__ import annotations

from tests.mutants.mutant import planted_in

RUNTIME = [
    *planted_in(
        "runtime/group_commit.py",
        (
            "durable is told when the write begins", "C1",
            "        self._executor.submit(work, done)\n",
            "        self._executor.submit(work, done)\n        self._on_durable(io_id)\n",
        ),
        (
            "a merge loses the older hard state", "A1",
            "hard_state=second.hard_state or first.hard_state,",
            "hard_state=second.hard_state,",
        ),
        (
            "a merge keeps entries that were cut off", "C4",
            "        del entries[max(0, second.truncate_from - first_index) :]\n",
            "",
        ),
        (
            "a merge tells of the first group only", "C1",
            "io_id=second.io_id,",
            "io_id=first.io_id,",
        ),
        (
            "an installation is merged", "F7",
            "if held and held[-1].install is None and persist.install is None:",
            "if held:",
        ),
        (
            "writing goes on after a failure", "C11",
            "        if self._failed:\n            return\n        rows",
            "        rows",
        ),
        (
            "groups are not synced", "C1",
            'self._sync = fsync == "always"',
            "self._sync = False",
        ),
    ),
    *planted_in(
        "runtime/raft_turn.py",
        (
            "promises leave at once", "A2",
            "            if io_id <= self._durable_io:\n                send(to, promise)",
            "            if True:\n                send(to, promise)",
        ),
        (
            "one durable group releases all promises", "C2",
            "while unsent and unsent[0][0] <= self._durable_io:",
            "while unsent:",
        ),
        (
            "who lost leadership leaves its callers waiting", "I1",
            "            self._proposals.leadership_lost(self._core.commit_index)",
            "            pass",
        ),
        (
            "entries are applied while the state is replaced", "F7",
            "if not self._applier.behind or self._installations.under_way:",
            "if not self._applier.behind:",
        ),
        (
            "rows of the old state are written into the new", "F7",
            "                self._commits.forget_rows()\n",
            "                pass\n",
        ),
        (
            "the clock ticks before messages are seen", "A7",
            "        if self._inbox:\n            inbox",
            "        if self._tick_due:\n            core.tick(self._clock.monotonic_ms())\n"
            "        if self._inbox:\n            inbox",
        ),
        (
            "callers wait for entries that a snapshot replaced", "I2",
            "            self._proposals.superseded(index)\n",
            "",
        ),
    ),
    *planted_in(
        "runtime/raft_driver.py",
        (
            "the lease is looked up by an old clock", "D6",
            "        self._core.advance(self._clock.monotonic_ms())\n"
            "        return self._running and self._core.holds_lease()",
            "        return self._running and self._core.holds_lease()",
        ),
    ),
    *planted_in(
        "runtime/proposals.py",
        (
            "an outcome is matched by index only", "I2",
            "if _TERM.unpack_from(entries[position], _TERM_OFFSET)[0] == term:",
            "if True:",
        ),
        (
            "who lost leadership refuses what is committed", "I2",
            "keep = max(0, commit_index + 1 - group.first_index)",
            "keep = 0",
        ),
    ),
    *planted_in(
        "runtime/applier.py",
        (
            "all is applied again after a restart", "I4",
            "self.applied_index = self.target = machine.applied_index",
            "self.applied_index = self.target = 0",
        ),
        (
            "entries are applied twice after a snapshot", "F7",
            "        self.applied_index = index\n        self.target",
            "        self.target",
        ),
    ),
    *planted_in(
        "runtime/installation.py",
        (
            "a snapshot is loaded before it is durable", "F7",
            "if current is None or current.loading or current.io_id > durable_io:",
            "if current is None or current.loading:",
        ),
        (
            "two snapshots are installed at once", "F7",
            "return bool(self._waiting) and self._current is None",
            "return bool(self._waiting)",
        ),
    ),
]  # fmt: skip

STORAGE = [
    *planted_in(
        "storage/raft_log.py",
        (
            "a failed write is tried again", "C11",
            "            self._failure = _failure_of(error)\n"
            "            raise self._failure from error",
            "            raise _failure_of(error) from error",
        ),
        (
            "a group is not synced", "C1",
            "            self._store.kv.write(batch, sync)",
            "            self._store.kv.write(batch, False)",
        ),
        (
            "unsynced groups are marked as durable", "C5",
            "if sync and group and self._mark is not None:",
            "if group and self._mark is not None:",
        ),
        (
            "cut entries stay on the disk", "C4",
            "            changed += removed(range(bounds.last_index + 1, "
            "self._bounds.last_index + 1))\n",
            "",
        ),
        (
            "entries go before the state is durable", "F6",
            "        if through > self._durable_state_index:\n",
            "        if False:\n",
        ),
        (
            "compaction forgets the members", "E5",
            'rows: list[Row] = [(TABLE_MEMBERSHIP, b"", base), *removed(range(first, last + 1))]',
            "rows: list[Row] = [*removed(range(first, last + 1))]",
        ),
        (
            "an installed snapshot keeps the members of before", "F3",
            '        rows.append((TABLE_MEMBERSHIP, b"", install.configuration))\n',
            "",
        ),
        (
            "an installation is not synced", "F7",
            "        self._write_group([], rows, bounds, sync=True)\n        dropped",
            "        self._write_group([], rows, bounds, sync=False)\n        dropped",
        ),
        (
            "an installation leaves the old log on the disk", "F4",
            "        rows += removed(index for index in gone if index not in kept)\n",
            "",
        ),
        (
            "another snapshot's rows are gone on with", "F7",
            "            or not progress.is_of(index, index_term)\n",
            "",
        ),
    ),
    *planted_in(
        "storage/log_recovery.py",
        (
            "a shorter log is the end of the log", "C6",
            "    if expected != bounds.last_index + 1:\n",
            "    if False:\n",
        ),
        (
            "a hole is skipped", "C6",
            "        if first != expected:\n",
            "        if False:\n",
        ),
        (
            "lost groups are not missed", "C5",
            "if marked_group is not None and marked_group > bounds.group:",
            "if False:",
        ),
        (
            "a lost hard state is not missed", "A1",
            "    if bounds.last_term > hard_state.term:\n",
            "    if False:\n",
        ),
        (
            "a replaced last entry is not missed", "C6",
            "    if bounds.last_index >= bounds.first_index and (term, crc) != (",
            "    if False and (term, crc) != (",
        ),
        (
            "configurations of the log are not found", "E5",
            "            if kind == KIND_CONFIGURATION:\n",
            "            if False:\n",
        ),
    ),
    *planted_in(
        "storage/snapshot_stage.py",
        (
            "a snapshot that is not whole is installed", "F7",
            "        if (row_count, crc) != (self.row_count, self.crc):\n",
            "        if False:\n",
        ),
        (
            "a staged snapshot is not synced", "F7",
            "        self._store_progress(self.progress, [], sync=True)\n",
            "        self._store_progress(self.progress, [], sync=False)\n",
        ),
        (
            "rows out of order are staged", "F7",
            "            if last is not None and (table, key) <= last:\n",
            "            if False:\n",
        ),
    ),
]  # fmt: skip

SESSIONS = [
    *planted_in(
        "_fast/sessions.pyx",
        (
            "outcomes are not in the snapshot", "I3",
            "        if is_new:\n            self.change(session.client_id, seq, True)\n",
            "",
        ),
        (
            "a retry is executed again", "I3",
            "            if place >= 0:\n"
            "                return <object>session.outcomes.kept[place].outcome\n",
            "",
        ),
        (
            "a forgotten operation is a plain case", "I3",
            "                session.floor <= seq <= SEQ_MAX\n",
            "                seq <= SEQ_MAX\n",
        ),
        (
            "a sleeping session forgets its floor", "I3",
            "floor = max(session.floor, highest(&session.outcomes) + 1)",
            "floor = session.floor",
        ),
        (
            "a client says what it holds and nobody listens", "I3",
            "            session.floor = first_unacked\n",
            "",
        ),
        (
            "what came and went is written", "I3",
            "            if place < 0 and self.changes[number].is_new:\n                continue\n",
            "",
        ),
    ),
    *planted_in(
        "meta/sessions.py",
        (
            "a forgotten operation is executed again", "I3",
            "        if op.seq < floor:\n",
            "        if False:\n",
        ),
        (
            "an unknown client may be an old one", "I3",
            "        if self.forgotten_count and op.first_unacked > 1:\n",
            "        if False:\n",
        ),
        (
            "the order of use is lost with a restart", "I3",
            "        self.order_by_use()\n",
            "",
        ),
    ),
]  # fmt: skip
