"""Spans of ids that hold inodes, as they come, go and are loaded."""

from __future__ import annotations

from pydfsnode.meta.id_spans import IDS_PER_SPAN, IdSpans

from .harness import Harness


def places(spans: IdSpans) -> list[int | None]:
    return [spans.first_id(place) for place in range(len(spans) + 1)]


def test_spans_come_with_their_first_inode_and_go_with_their_last() -> None:
    spans = IdSpans((1, 2, 5 * IDS_PER_SPAN))
    spans.add(5 * IDS_PER_SPAN + 1)
    spans.add(9 * IDS_PER_SPAN - 1)
    assert places(spans) == [0, 5 * IDS_PER_SPAN, 8 * IDS_PER_SPAN, None]
    spans.drop(5 * IDS_PER_SPAN)
    assert len(spans) == 3
    spans.drop(5 * IDS_PER_SPAN + 1)
    assert places(spans) == [0, 8 * IDS_PER_SPAN, None]


def test_those_of_a_namespace_are_of_its_inodes_also_far_ahead_and_after_a_restart() -> None:
    harness = Harness()
    harness.mkdirs("/here/below")
    harness.namespace.tree.next_inode_id = 1 << 47  # as after a restore
    harness.write("/there", 1)
    harness.mkdirs("/far")
    for _ in range(2):
        assert places(harness.namespace.tree.spans) == [0, 1 << 47, None]
        harness.restart()
    harness.delete("/there")
    assert places(harness.namespace.tree.spans) == [0, 1 << 47, None]
    harness.delete("/far")
    harness.delete("/here", recursive=True)
    for _ in range(2):
        assert places(harness.namespace.tree.spans) == [0, None]
        harness.restart()
