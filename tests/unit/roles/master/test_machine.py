"""The namespace as the driver's state machine: loading, replacing, digests."""

from __future__ import annotations

import pytest

from pydfsnode._fast import encode_entry
from pydfsnode.errors import CorruptionError, InvariantViolation
from pydfsnode.fleet.bounds import WARM_UP_MS
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import ops
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.rolling_digest import WINDOW_MS
from pydfsnode.meta.state import DIGEST_EVERY, Namespace
from pydfsnode.raft.types import KIND_NOOP, KIND_OPERATION
from pydfsnode.roles.master.fleet import Fleet, Heartbeat
from pydfsnode.roles.master.machine import NamespaceMachine
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.ports import Row

USER = "u:supergroup"


def entries(count: int, planted: int = 0) -> list[bytes]:
    """*count* encoded entries, every tenth of no operation; *planted* has another mode."""
    made = []
    for index in range(1, count + 1):
        if index % 10 == 0:
            made.append(encode_entry(index, 1, KIND_NOOP, b""))
            continue
        mode = 0o700 if index == planted else 0o755
        op = ops.Mkdirs(1 + index % 5, index, index, index, USER, f"/d{index % 300}/{index}", mode)
        made.append(encode_entry(index, 1, KIND_OPERATION, encode_op(op)))
    return made


def state_of(machine: NamespaceMachine) -> list[Row]:
    """The state table of a machine that was never drained."""
    return [row for row in machine.drain_rows() if row[2] is not None]


class Machine:
    """A machine that counts what it is told."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.applied = self.replaced = 0
        self.machine = NamespaceMachine(self.namespace, self._on_applied, self._on_replaced)

    def _on_applied(self) -> None:
        self.applied += 1

    def _on_replaced(self) -> None:
        self.replaced += 1

    def apply(self, some: list[bytes], batch: int, drain_every: int) -> list[tuple[int, bytes]]:
        for number, start in enumerate(range(0, len(some), batch)):
            self.machine.apply(start + 1, some[start : start + batch])
            if number % drain_every == 0:
                self.machine.drain_rows()
        return self.machine.take_digests()


SOME = entries(2 * DIGEST_EVERY + 10)


INTERVALS = [DIGEST_EVERY, 2 * DIGEST_EVERY]
SLICES = [WINDOW_MS + 1, 2 * WINDOW_MS + 1]
"""Where the time, which is the index, comes into another window: before it is no operation."""


def test_digests_are_those_of_the_entries_not_of_the_batches() -> None:
    expected = Machine().apply(SOME, batch=1, drain_every=1)
    assert [index for index, _ in expected] == sorted(INTERVALS + SLICES)
    for batch, drain_every in ((100, 5), (350, 1), (512, 2)):
        other = Machine()
        assert other.apply(SOME, batch, drain_every) == expected
        assert other.machine.take_digests() == []


def test_who_is_behind_digests_one_slice_of_a_batch() -> None:
    expected = Machine().apply(SOME, batch=1, drain_every=1)
    found = Machine().apply(SOME, batch=len(SOME), drain_every=1)
    assert [index for index, _ in found] == sorted([*INTERVALS, SLICES[0]])
    assert set(found) < set(expected)


def test_an_interval_that_ends_where_a_slice_has_its_turn_keeps_its_digest_alone() -> None:
    late = DIGEST_EVERY + WINDOW_MS
    ops_ = [ops.RenewLease(1, i, i, i if i < DIGEST_EVERY else late, USER) for i in range(1, 1026)]
    some = [encode_entry(op.seq, 1, KIND_OPERATION, encode_op(op)) for op in ops_]
    for batch in (1, 1023, 1024, 1025):
        found = Machine().apply(some, batch, drain_every=1)
        assert [index for index, _ in found] == [WINDOW_MS, DIGEST_EVERY]
        assert {len(digest) for _, digest in found} == {16}


def test_a_row_that_was_changed_behind_its_back_changes_a_slice() -> None:
    expected, changed = Machine(), Machine()
    for each in (expected, changed):
        each.machine.apply(1, SOME[:900])
    inode = changed.namespace.tree.table.get(ROOT_INODE_ID + 1)
    assert inode is not None
    inode.mode ^= 1
    found = []
    for each in (expected, changed):
        each.machine.apply(901, SOME[900:1020])
        found.append(each.machine.take_digests())
    assert [index for index, _ in found[0]] == SLICES[:1]
    assert found[0] != found[1]


def test_a_planted_divergence_changes_the_digest_of_its_interval() -> None:
    expected = Machine().apply(SOME, 100, 1)
    planted = Machine().apply(entries(len(SOME), planted=1501), 100, 1)
    differ = [one[0] for one, other in zip(expected, planted, strict=True) if one != other]
    assert differ == [SLICES[1], INTERVALS[1]]


def test_a_replaced_namespace_goes_on_as_the_other() -> None:
    ahead, behind = Machine(), Machine()
    ahead.machine.apply(1, SOME[:1500])
    rows = state_of(ahead.machine)
    behind.machine.apply(1, SOME[:10])
    held = behind.machine.namespace
    loaded = behind.machine.load(rows)
    assert behind.machine.applied_index == 10
    behind.machine.replace(loaded)
    assert behind.machine.namespace is held
    assert (behind.machine.applied_index, behind.replaced) == (1500, 1)
    assert behind.machine.drain_rows() == []
    for each in (ahead, behind):
        each.machine.apply(1501, SOME[1500:])
    assert held.state_hash() == ahead.namespace.state_hash()
    # The first interval after the load was not seen whole: nothing is claimed about it.
    *_, slices, interval = ahead.machine.take_digests()
    assert interval[0] == 2 * DIGEST_EVERY
    assert behind.machine.take_digests() == [slices]


def test_rows_with_a_hole_are_refused_and_nothing_changes() -> None:
    ahead, behind = Machine(), Machine()
    ahead.machine.apply(1, SOME[:310])  # /d4 lies in block 1, the later /d4/304 does not
    rows = state_of(ahead.machine)
    with pytest.raises(CorruptionError):
        behind.machine.load([row for row in rows if row[1] != (1).to_bytes(8, "big")])
    assert behind.machine.applied_index == 0
    with pytest.raises(InvariantViolation):
        behind.machine.replace("something")


def machine_with_file(name: str, chunks: int) -> NamespaceMachine:
    namespace = Namespace()
    seqs = iter(range(1, 100))

    def apply(kind: type, *fields: object) -> object:
        seq = next(seqs)
        outcome = namespace.apply(kind(9, seq, seq, 1, USER, *fields), seq)
        return outcome.result  # type: ignore[union-attr]

    inode_id = apply(ops.Create, name, 2, 1 << 20).inode_id  # type: ignore[attr-defined]
    done = None
    for _ in range(chunks):
        made = apply(ops.AllocateChunk, inode_id, done, 0, ("c1", "c2"))
        done = ops.ChunkDone(made.chunk_id, 1, 5, 7)  # type: ignore[attr-defined]
    apply(ops.Complete, inode_id, done)
    return NamespaceMachine(namespace, lambda: None)


def test_the_fleet_wants_what_the_new_namespace_wants() -> None:
    before, after = machine_with_file("/a", 3), machine_with_file("/b", 2)
    namespace = before.namespace
    clock = ManualClock(monotonic_ms=1000)
    fleet = Fleet(namespace, clock, 10_000, lambda: 0.5)
    machine = NamespaceMachine(namespace, fleet.namespace_changed, fleet.namespace_replaced)
    replicas = [(chunk_id, 1, 5) for chunk_id in (1, 2, 3)]
    for name in ("c1", "c2"):
        fleet.heartbeat(
            Heartbeat(name, name, "r", 0, 1 << 40, 0, 0, 1, 0, 1, list(replicas), [], [], []), None
        )
    fleet.namespace_changed()
    assert sorted(fleet.readable(3)) == ["c1", "c2"]
    machine.replace(machine.load(state_of(after)))
    assert [sorted(fleet.readable(chunk_id)) for chunk_id in (1, 2, 3)] == [
        ["c1", "c2"], ["c1", "c2"], [],
    ]  # fmt: skip
    assert fleet.holds(3, "c1")  # reported, wanted by nobody any more
    assert fleet.under_replicated == fleet.missing == 0
    assert clock.monotonic_ms() < WARM_UP_MS
