"""find looks at everything once, in order, step by step, and never at much at a time."""

from __future__ import annotations

import fnmatch
import random

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument, NotFound
from pydfsnode.meta import find as find_module
from pydfsnode.meta import find_places, ops
from pydfsnode.meta.caller import NOBODY_ASKS, Caller, parse_caller
from pydfsnode.meta.find import find
from tests.unit.meta.harness import Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


def everything(
    harness: Harness, path: str, pattern: str = "", kind: str = "", limit: int = 0,
    caller: Caller = NOBODY_ASKS,
) -> tuple[list[str], int]:  # fmt: skip
    """All paths that the steps give, and how many steps it took."""
    paths: list[str] = []
    after, steps = "", 0
    while True:
        found = find(harness.namespace, path, caller, pattern, kind, after, limit)
        steps += 1
        assert not limit or len(found.entries) <= limit
        paths += [view.path for view in found.entries]
        if not found.more:
            return paths, steps
        assert found.next != after, "a step that goes nowhere"
        after = found.next


def random_tree(harness: Harness, seed: int) -> list[str]:
    """Paths of a tree below /t, in the order in which find must give them."""
    random_ = random.Random(seed)
    directories, parts = ["/t"], [("t",)]
    harness.mkdirs("/t")
    for number in range(60):
        above = random_.choice(directories)
        path = f"{above}/{random_.choice('abcd')}{number}"
        if random_.random() < 0.4:
            harness.mkdirs(path)
            directories.append(path)
        else:
            harness.complete(harness.create(path).inode_id)
        parts.append(tuple(path.split("/")[1:]))
    return ["/" + "/".join(names) for names in sorted(parts)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("limit", [1, 3, 0])
def test_everything_is_given_once_in_order(harness: Harness, seed: int, limit: int) -> None:
    paths = random_tree(harness, seed)
    assert everything(harness, "/t", limit=limit)[0] == paths
    assert everything(harness, "/", limit=limit)[0] == ["/", *paths]


@pytest.mark.parametrize("looked_at_max", [1, 2, 7])
def test_a_step_looks_at_little_and_may_find_nothing(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, looked_at_max: int
) -> None:
    paths = random_tree(harness, 3)
    monkeypatch.setattr(find_module, "LOOKED_AT_MAX", looked_at_max)
    found, steps = everything(harness, "/t", pattern="a*")
    assert found == [path for path in paths if fnmatch.fnmatchcase(path.split("/")[-1], "a*")]
    assert steps >= len(paths) // looked_at_max


def test_directories_larger_than_a_page(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_places, "_PAGE_MIN", 3)
    monkeypatch.setattr(find_places, "_PAGE_MAX", 4)
    paths = random_tree(harness, 4)
    for number in range(30):
        harness.mkdirs(f"/t/z{number:02d}/below")
        paths += [f"/t/z{number:02d}", f"/t/z{number:02d}/below"]
    assert everything(harness, "/t")[0] == paths
    assert everything(harness, "/t", limit=5)[0] == paths


def test_patterns_and_kinds(harness: Harness) -> None:
    harness.mkdirs("/a/logs")
    for name in ("x.log", "y.log", "z.txt"):
        harness.complete(harness.create(f"/a/{name}").inode_id)
    assert everything(harness, "/a", "*.log")[0] == ["/a/x.log", "/a/y.log"]
    assert everything(harness, "/a", "?.t[wx]t")[0] == ["/a/z.txt"]
    assert everything(harness, "/a", "", "directory")[0] == ["/a", "/a/logs"]
    assert everything(harness, "/a", "l*", "file")[0] == []
    assert everything(harness, "/a/x.log")[0] == ["/a/x.log"]


def test_a_tree_that_changes_between_steps_is_walked_on(harness: Harness) -> None:
    for name in "abcdef":
        harness.mkdirs(f"/t/{name}/below")
    first = find(harness.namespace, "/t", NOBODY_ASKS, limit=4)  # /t a a/below b
    assert first.next == "/t/b"
    harness.delete("/t/b", recursive=True)
    harness.delete("/t/c", recursive=True)
    rest = find(harness.namespace, "/t", NOBODY_ASKS, start_after=first.next)
    assert [view.path for view in rest.entries][:2] == ["/t/d", "/t/d/below"]
    assert not rest.more


def test_what_a_caller_may_not_list_is_passed_over(harness: Harness) -> None:
    harness.mkdirs("/open/inside")
    harness.mkdirs("/closed/inside")
    harness.run(ops.SetMode, "/closed", 0o700)
    bob = parse_caller("bob")
    found = everything(harness, "/", caller=bob)[0]
    assert "/closed" in found
    assert "/closed/inside" not in found
    assert "/open/inside" in found
    with pytest.raises(AccessDenied):
        find(harness.namespace, "/closed/inside", bob)


def test_refusals(harness: Harness) -> None:
    harness.mkdirs("/t")
    with pytest.raises(NotFound):
        find(harness.namespace, "/missing", NOBODY_ASKS)
    with pytest.raises(InvalidArgument, match="cannot go on"):
        find(harness.namespace, "/t", NOBODY_ASKS, start_after="/elsewhere")
    with pytest.raises(InvalidArgument, match="pattern"):
        find(harness.namespace, "/t", NOBODY_ASKS, "x" * 300)
