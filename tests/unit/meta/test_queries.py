"""What can be asked of the namespace."""

from __future__ import annotations

import pytest

from pydfsnode import limits
from pydfsnode.errors import AccessDenied, InvalidPath, IsADirectory, NotADirectory, NotFound
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS, parse_caller
from pydfsnode.meta.results import Listing

from .harness import MIB, Harness


def names(listing: Listing) -> list[str]:
    return [entry.path.rpartition("/")[2] for entry in listing.entries]


def test_the_root_is_there_from_the_start() -> None:
    view = queries.stat(Harness().namespace, "/", NOBODY_ASKS)
    assert (view.path, view.type, view.inode_id, view.child_count) == ("/", "directory", 1, 0)


@pytest.mark.parametrize(
    ("path", "error"),
    [("/x", NotFound), ("/d/x", NotFound), ("/f/x", NotADirectory), ("f", InvalidPath)],
)
def test_asking_for_what_is_not_there_says_so(path: str, error: type[Exception]) -> None:
    harness = Harness()
    harness.mkdirs("/d")
    harness.write("/f")
    for question in (queries.stat, queries.list_directory, queries.locate, queries.summary):
        with pytest.raises(error):
            question(harness.namespace, path, NOBODY_ASKS)


def test_a_directory_is_not_located() -> None:
    with pytest.raises(IsADirectory):
        queries.locate(Harness().namespace, "/", NOBODY_ASKS)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 2500])
def test_pages_together_give_every_name_once_in_order(count: int) -> None:
    harness = Harness()
    expected = sorted(f"n{number * 7919 % 100_003}" for number in range(count))
    for name in expected:
        harness.mkdirs(f"/d/{name}")
    harness.mkdirs("/d")
    seen: list[str] = []
    cursor = ""
    more = True
    while more:
        page = queries.list_directory(harness.namespace, "/d", NOBODY_ASKS, cursor, 100)
        seen += names(page)
        more = page.more
        cursor = seen[-1] if seen else ""
    assert seen == expected


def test_a_listing_stays_in_step_with_changes_between_pages() -> None:
    harness = Harness()
    for number in range(600):
        harness.mkdirs(f"/d/{number:04}")
    first = queries.list_directory(harness.namespace, "/d", NOBODY_ASKS, "", 100)
    harness.delete(f"/d/{names(first)[-1]}")
    harness.mkdirs("/d/0100a")
    harness.rename("/d/0101", "/d/zz")
    second = queries.list_directory(harness.namespace, "/d", NOBODY_ASKS, names(first)[-1], 3)
    assert names(second) == ["0100", "0100a", "0102"]
    assert names(queries.list_directory(harness.namespace, "/d", NOBODY_ASKS, "0599", 9)) == ["zz"]
    harness.rename("/d", "/e")
    assert names(queries.list_directory(harness.namespace, "/e", NOBODY_ASKS, "0598", 2)) == [
        "0599",
        "zz",
    ]


def test_a_page_has_at_most_the_limit() -> None:
    harness = Harness()
    for number in range(limits.LIST_ENTRIES_MAX + 1):
        harness.mkdirs(f"/{number}")
    for asked in (0, 10**9, -1):
        page = queries.list_directory(harness.namespace, "/", NOBODY_ASKS, "", asked)
        assert len(page.entries) == limits.LIST_ENTRIES_MAX
        assert page.more


def test_a_file_lists_as_itself() -> None:
    harness = Harness()
    view = harness.write("/f", 3)
    assert queries.list_directory(harness.namespace, "/f", NOBODY_ASKS).entries == [view]
    assert queries.list_directory(harness.namespace, "/f", NOBODY_ASKS, "f").entries == []


def test_a_summary_counts_what_is_below() -> None:
    harness = Harness()
    harness.write("/a/b/f", 10, 20, create_parents=True)
    harness.write("/a/g", 5, replication=1)
    found = queries.summary(harness.namespace, "/a", NOBODY_ASKS)
    assert (found.directories, found.files, found.bytes, found.bytes_replicated) == (2, 2, 35, 95)
    one = queries.summary(harness.namespace, "/a/g", NOBODY_ASKS)
    assert (one.directories, one.files, one.bytes) == (0, 1, 5)


def test_a_question_is_answered_as_far_as_its_caller_may_see() -> None:
    harness = Harness()
    harness.write("/d/f", 5, create_parents=True)
    harness.run(ops.SetMode, "/d/f", 0o600)
    bob = parse_caller("bob")
    assert queries.stat(harness.namespace, "/d/f", bob).size == 5, "who passes may stat"
    with pytest.raises(AccessDenied):
        queries.locate(harness.namespace, "/d/f", bob)
    harness.run(ops.SetMode, "/d", 0o711)
    for question in (queries.list_directory, queries.summary):
        with pytest.raises(AccessDenied):
            question(harness.namespace, "/d", bob)
        question(harness.namespace, "/d", NOBODY_ASKS)
    harness.run(ops.SetMode, "/d", 0o744)
    for path in ("/d/f", "/d/nothing"):
        with pytest.raises(AccessDenied):
            queries.stat(harness.namespace, path, bob)


def test_a_summary_tells_the_quotas() -> None:
    harness = Harness()
    harness.mkdirs("/d")
    harness.run(ops.SetQuota, "/d", 5, 7 * MIB)
    found = queries.summary(harness.namespace, "/d", NOBODY_ASKS)
    assert (found.names_max, found.bytes_max) == (5, 7 * MIB)
