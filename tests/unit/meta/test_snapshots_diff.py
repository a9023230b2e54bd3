"""What changed between two snapshots, or since one."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument, NotADirectory, NotFound
from pydfsnode.meta import ops, snapshot_diff
from pydfsnode.meta.caller import NOBODY_ASKS, Caller
from pydfsnode.meta.snapshot_queries import diff

from .harness import Harness


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    harness.mkdirs("/d/a")
    harness.mkdirs("/d/b")
    harness.write("/d/a/f", 10)
    harness.write("/d/g", 5)
    harness.run(ops.CreateSnapshot, "/d", "s1")
    harness.now_ms = 2_000
    return harness


def told(harness: Harness, begin: str, end: str = "") -> list[str]:
    found = diff(harness.namespace, "/d", begin, end, NOBODY_ASKS)
    return [" ".join([d.kind, d.path, d.target]).rstrip() for d in found]


def test_nothing(harness: Harness) -> None:
    assert told(harness, "s1") == []
    assert told(harness, "s1", "s1") == []
    assert told(harness, "", "") == []


def test_made_deleted_and_modified(harness: Harness) -> None:
    harness.mkdirs("/d/new/deep")
    harness.delete("/d/a", recursive=True)
    harness.run(ops.SetMode, "/d/g", 0o600)
    assert told(harness, "s1") == ["M .", "- ./a", "M ./g", "+ ./new"]
    assert told(harness, "", "s1") == ["M .", "+ ./a", "M ./g", "- ./new"]


def test_a_replaced_file_is_deleted_and_made(harness: Harness) -> None:
    harness.write("/d/g", 6, overwrite=True)
    assert told(harness, "s1") == ["M .", "+ ./g", "- ./g"]


def test_renamed_within(harness: Harness) -> None:
    harness.rename("/d/a/f", "/d/b/h")
    harness.rename("/d/b", "/d/c")
    assert told(harness, "s1") == ["M .", "M ./a", "R ./a/f ./c/h", "M ./b", "R ./b ./c"]
    assert told(harness, "", "s1") == ["M .", "M ./a", "M ./c", "R ./c ./b", "R ./c/h ./a/f"]


def test_renamed_out_and_in(harness: Harness) -> None:
    harness.mkdirs("/o")
    harness.rename("/d/a", "/o/a")
    harness.rename("/o", "/d/o")
    assert told(harness, "s1") == ["M .", "R ./a ./o/a", "+ ./o"]
    harness.rename("/d/o", "/o")
    assert told(harness, "s1") == ["M .", "- ./a"]


def test_what_moves_away_and_back_did_not_move(harness: Harness) -> None:
    harness.rename("/d/a", "/d/x")
    harness.run(ops.CreateSnapshot, "/d", "s2")
    harness.rename("/d/x", "/d/a")
    assert told(harness, "s1") == ["M ."]
    assert told(harness, "s2") == ["R ./x ./a"]


def test_what_leaves_a_directory_before_it_is_deleted(harness: Harness) -> None:
    harness.rename("/d/a/f", "/d/f")
    harness.delete("/d/a")
    assert told(harness, "s1") == ["M .", "- ./a", "R ./a/f ./f"]


def test_only_between_the_two(harness: Harness) -> None:
    harness.run(ops.SetMode, "/d/g", 0o600)
    harness.run(ops.CreateSnapshot, "/d", "s2")
    harness.run(ops.SetMode, "/d/a/f", 0o600)
    harness.run(ops.CreateSnapshot, "/d", "s3")
    harness.delete("/d/g")
    assert told(harness, "s1", "s2") == ["M ./g"]
    assert told(harness, "s2", "s3") == ["M ./a/f"]
    assert told(harness, "s1", "s3") == ["M ./a/f", "M ./g"]
    assert told(harness, "s3") == ["M .", "- ./g"]


def test_refusals(harness: Harness) -> None:
    namespace = harness.namespace
    for path, begin, error in (("/d", "x", NotFound), ("/x", "s1", NotFound)):
        with pytest.raises(error):
            diff(namespace, path, begin, "", NOBODY_ASKS)
    with pytest.raises(NotADirectory):
        diff(namespace, "/d/g", "s1", "", NOBODY_ASKS)
    with pytest.raises(AccessDenied):
        diff(namespace, "/d", "s1", "", Caller("bob"))
    assert diff(namespace, "/d", "s1", "", Caller("alice")) == []


@pytest.mark.parametrize("bound", ["DIFFERENCES_MAX", "ENTRIES_SCANNED_MAX"])
def test_it_is_bounded(harness: Harness, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    for number in range(4):
        harness.mkdirs(f"/d/n{number}")
    monkeypatch.setattr(snapshot_diff, bound, 4)
    with pytest.raises(InvalidArgument):
        told(harness, "s1")
