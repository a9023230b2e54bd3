"""Attributes, ACLs, quotas and names inside a snapshot are those that it saw."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, InvalidArgument, NotFound
from pydfsnode.meta import attributes, find_places, ops, snapshot_queries
from pydfsnode.meta import find as find_module
from pydfsnode.meta.attributes import AclView, QuotaView
from pydfsnode.meta.caller import NOBODY_ASKS, parse_caller
from pydfsnode.meta.find import find

from .harness import Harness
from .snapshot_asking import create, prepared

BOB = parse_caller("bob")
MIB = 1 << 20


@pytest.fixture
def harness() -> Harness:
    return prepared()


def found(harness: Harness, path: str, pattern: str = "", kind: str = "") -> list[str]:
    """The paths that `find` gives, two at a time."""
    paths: list[str] = []
    after, more = "", True
    while more:
        step = find(harness.namespace, path, NOBODY_ASKS, pattern, kind, after, 2)
        paths += [view.path for view in step.entries]
        after, more = step.next, step.more
    return paths


def test_attributes_of_that_time(harness: Harness) -> None:
    harness.run(ops.SetXattr, "/d/g", "user.a", b"old", user="root")
    harness.run(ops.SetXattr, "/d/g", "trusted.t", b"t", user="root")
    create(harness, "/d", "s")
    harness.run(ops.SetXattr, "/d/g", "user.a", b"new", user="root")
    harness.run(ops.RemoveXattr, "/d/g", "trusted.t", user="root")
    harness.delete("/d/sub", recursive=True)
    namespace, past = harness.namespace, "/d/.snapshot/s/g"
    assert attributes.get_xattrs(namespace, past, BOB) == {"user.a": b"old"}
    assert attributes.get_xattrs(namespace, past, NOBODY_ASKS) == {
        "trusted.t": b"t", "user.a": b"old",
    }  # fmt: skip
    assert attributes.get_xattrs(namespace, "/d/.snapshot/s/sub/f", BOB) == {}
    assert attributes.get_xattrs(namespace, "/d/.snapshot", BOB) == {}
    with pytest.raises(NotFound):
        attributes.get_xattrs(namespace, "/d/.snapshot/s/h", BOB)


def test_attributes_need_the_permissions_of_that_time(harness: Harness) -> None:
    harness.run(ops.SetMode, "/d/g", 0o600, user="root")
    create(harness, "/d", "s")
    harness.run(ops.SetMode, "/d/g", 0o644, user="root")
    with pytest.raises(AccessDenied):
        attributes.get_xattrs(harness.namespace, "/d/.snapshot/s/g", BOB)
    assert attributes.get_acl(harness.namespace, "/d/.snapshot/s/g", BOB).mode == 0o600


def test_the_acl_of_that_time(harness: Harness) -> None:
    harness.run(ops.SetAcl, "/d", ("user:bob:rwx", "default:user:bob:r-x"), "modify", user="root")
    before = attributes.get_acl(harness.namespace, "/d", NOBODY_ASKS)
    create(harness, "/d", "s")
    harness.run(ops.SetAcl, "/d", (), "remove_all", user="root")
    harness.run(ops.SetOwner, "/d", "carol", "staff", user="root")
    assert attributes.get_acl(harness.namespace, "/d/.snapshot/s", BOB) == before
    shelf = attributes.get_acl(harness.namespace, "/d/.snapshot", BOB)
    assert shelf == AclView(
        "carol", "staff", 0o755, ("user::rwx", "group::r-x", "other::r-x"), ()
    )  # fmt: skip


def test_the_quota_of_that_time(harness: Harness) -> None:
    harness.run(ops.SetQuota, "/d", 10, 1000 * MIB, user="root")
    harness.run(ops.SetQuota, "/d/sub", 3, 0, user="root")
    create(harness, "/d", "s")
    before = attributes.quota_of(harness.namespace, "/d", NOBODY_ASKS)
    harness.run(ops.SetQuota, "/d", 0, 0, user="root")
    harness.run(ops.SetQuota, "/d/sub", 0, 0, user="root")
    harness.delete("/d/sub/f")
    namespace = harness.namespace
    assert attributes.quota_of(namespace, "/d/.snapshot/s", NOBODY_ASKS) == before
    assert before.names_used == 4
    of_sub = attributes.quota_of(namespace, "/d/.snapshot/s/sub", NOBODY_ASKS)
    assert of_sub == QuotaView(3, 2, 0, 30 * 3)
    assert attributes.quota_of(namespace, "/d/.snapshot/s/g", BOB) == QuotaView(0, 1, 0, 5 * 3)
    assert attributes.quota_of(namespace, "/d/.snapshot", BOB) == QuotaView(0, 1, 0, 0)
    sums = snapshot_queries.summary(namespace, "/d/.snapshot/s", NOBODY_ASKS)
    assert (sums.names_max, sums.bytes_max) == (10, 1000 * MIB)


def test_names_are_found_as_they_were(harness: Harness) -> None:
    create(harness, "/d", "s")
    harness.rename("/d/sub/f", "/d/moved")
    harness.delete("/d/g")
    harness.write("/d/g", 1)
    harness.mkdirs("/d/new")
    top = "/d/.snapshot/s"
    assert found(harness, top) == [top, f"{top}/g", f"{top}/sub", f"{top}/sub/f"]
    assert found(harness, top, "[fm]*") == [f"{top}/sub/f"]
    assert found(harness, top, "", "directory") == [top, f"{top}/sub"]
    assert found(harness, f"{top}/g") == [f"{top}/g"]
    assert find(harness.namespace, top, NOBODY_ASKS, "g").entries[0].size == 5
    assert "/d/.snapshot" not in found(harness, "/d")


def test_the_snapshots_themselves_are_found(harness: Harness) -> None:
    for name in ("s2", "s1"):
        create(harness, "/d", name)
    harness.delete("/d/sub", recursive=True)
    shelf = "/d/.snapshot"
    below = ["", "/g", "/sub", "/sub/f"]
    expected = [shelf] + [f"{shelf}/{name}{path}" for name in ("s1", "s2") for path in below]
    assert found(harness, shelf) == expected
    assert found(harness, shelf, "s?") == [f"{shelf}/s1", f"{shelf}/s2"]


def test_what_could_not_be_listed_is_passed_over(harness: Harness) -> None:
    harness.run(ops.SetMode, "/d/sub", 0o711, user="root")
    create(harness, "/d", "s")
    harness.run(ops.SetMode, "/d/sub", 0o755, user="root")
    paths = [view.path for view in find(harness.namespace, "/d/.snapshot/s", BOB).entries]
    assert paths == ["/d/.snapshot/s", "/d/.snapshot/s/g", "/d/.snapshot/s/sub"]


def test_a_step_counts_what_the_snapshot_does_not_see(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(harness, "/d", "s")
    for number in range(50):
        harness.write(f"/d/e{number:02d}", 1)
    monkeypatch.setattr(find_module, "LOOKED_AT_MAX", 7)
    steps, more, after = 0, True, ""
    paths: list[str] = []
    while more:
        step = find(harness.namespace, "/d/.snapshot/s", NOBODY_ASKS, start_after=after)
        more, after, steps = step.more, step.next, steps + 1
        paths += [view.path.removeprefix("/d/.snapshot/s") for view in step.entries]
    assert paths == ["", "/g", "/sub", "/sub/f"]
    assert steps >= 54 // 7


@pytest.mark.parametrize("looked_at_max", [1, 2])
def test_a_name_that_came_again_is_not_missed_between_steps(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, looked_at_max: int
) -> None:
    create(harness, "/d", "s")
    harness.delete("/d/g")
    for _ in range(3):
        harness.write("/d/g", 1)
        create(harness, "/d", f"t{harness.namespace.applied_index}")
        harness.delete("/d/g")
    harness.write("/d/g", 1)
    monkeypatch.setattr(find_module, "LOOKED_AT_MAX", looked_at_max)
    monkeypatch.setattr(find_places, "_PAGE_MIN", 1)
    assert found(harness, "/d/.snapshot/s", "g") == ["/d/.snapshot/s/g"]


def test_a_search_goes_on_only_below_its_top(harness: Harness) -> None:
    create(harness, "/d", "s")
    with pytest.raises(InvalidArgument, match="cannot go on"):
        find(harness.namespace, "/d/.snapshot/s", NOBODY_ASKS, start_after="/d/g")
