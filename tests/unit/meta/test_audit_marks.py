"""The newest checkpoint of each audit trail is kept, and no master can be told an older one."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument
from pydfsnode.meta import ops
from pydfsnode.meta.audit_marks import MARKS_MAX, MARKS_PER_NODE_MAX, AuditMark
from tests.unit.meta.harness import Harness

NODE, TRAIL, SHA, SIGNATURE = "spiffe://c/master/m1", "a" * 16, "b" * 64, "c" * 142


@pytest.fixture
def harness() -> Harness:
    return Harness()


def mark(harness: Harness, seq: int, trail: str = TRAIL, sha: str = SHA, node: str = NODE) -> None:
    harness.run(ops.MarkAudit, node, trail, seq, sha, seq * 10, SIGNATURE, "pem")


def test_a_mark_only_goes_forward(harness: Harness) -> None:
    mark(harness, 5)
    mark(harness, 9)
    mark(harness, 7, sha="d" * 64)
    newest = harness.namespace.tree.audit_marks.newest
    assert newest == {(NODE, TRAIL): AuditMark(NODE, TRAIL, 9, SHA, 90, SIGNATURE, "pem")}


def test_each_trail_has_its_own_and_the_oldest_is_forgotten(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydfsnode.meta.audit_marks.MARKS_MAX", 40)
    for number in range(41):
        mark(harness, number + 1, node=f"spiffe://c/chunkserver/c{number}")
    nodes = {node for node, _ in harness.namespace.tree.audit_marks.newest}
    assert len(nodes) == 40 < MARKS_MAX
    assert "spiffe://c/chunkserver/c0" not in nodes
    assert "spiffe://c/chunkserver/c40" in nodes


def test_a_node_with_many_trails_has_only_its_own_forgotten(harness: Harness) -> None:
    mark(harness, 1, node="spiffe://c/chunkserver/c1")
    for number in range(MARKS_PER_NODE_MAX + 1):
        mark(harness, number + 2, trail=f"{number:016x}")
    newest = harness.namespace.tree.audit_marks.newest
    assert len(newest) == MARKS_PER_NODE_MAX + 1
    assert ("spiffe://c/chunkserver/c1", TRAIL) in newest
    assert (NODE, "0" * 16) not in newest
    assert (NODE, f"{MARKS_PER_NODE_MAX:016x}") in newest


def test_only_the_masters_record_and_only_what_is_one(harness: Harness) -> None:
    fields = [NODE, TRAIL, 1, SHA, 1, SIGNATURE, "pem"]
    assert isinstance(harness.refusal(ops.MarkAudit, *fields, user="eve"), AccessDenied)
    for position, wrong in ((0, ""), (1, "x"), (2, 0), (3, "B" * 64), (5, ""), (6, "p" * 20_000)):
        broken = [*fields[:position], wrong, *fields[position + 1 :]]
        assert isinstance(harness.refusal(ops.MarkAudit, *broken), InvalidArgument)
    assert harness.namespace.tree.audit_marks.newest == {}


def test_it_is_recorded_in_safe_mode(harness: Harness) -> None:
    harness.run(ops.SetSafeMode, True)
    mark(harness, 1)
    assert harness.namespace.tree.audit_marks.newest
