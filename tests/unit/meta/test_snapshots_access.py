"""Who may make a snapshot and read in it."""

from __future__ import annotations

import pytest

from pydfsnode.errors import (
    AccessDenied,
    NotFound,
)
from pydfsnode.meta import ops, queries
from pydfsnode.meta.caller import Caller, parse_caller

from .harness import Harness
from .snapshot_asking import create, delete, prepared

BOB = "bob"


@pytest.fixture
def harness() -> Harness:
    return prepared()


def test_permissions_are_those_of_that_time(harness: Harness) -> None:
    bob = parse_caller(BOB)
    harness.run(ops.SetMode, "/d/sub", 0o700)
    create(harness, "/d", "closed")
    harness.run(ops.SetMode, "/d/sub", 0o755)
    create(harness, "/d", "open")
    harness.run(ops.SetMode, "/d/sub", 0o700)
    harness.run(ops.SetMode, "/d/g", 0o600)
    namespace = harness.namespace
    assert queries.stat(namespace, "/d/.snapshot/open/sub/f", bob).size == 30
    assert len(queries.list_directory(namespace, "/d/.snapshot/open/sub", bob).entries) == 1
    queries.locate(namespace, "/d/.snapshot/open/g", bob)
    with pytest.raises(AccessDenied):
        queries.stat(namespace, "/d/.snapshot/closed/sub/f", bob)
    with pytest.raises(AccessDenied):
        queries.list_directory(namespace, "/d/.snapshot/closed/sub", bob)
    with pytest.raises(AccessDenied):
        queries.summary(namespace, "/d/.snapshot/closed/sub", bob)
    harness.run(ops.SetMode, "/d/g", 0o600)
    create(harness, "/d", "late")
    with pytest.raises(AccessDenied):
        queries.locate(namespace, "/d/.snapshot/late/g", bob)


def test_an_acl_is_that_of_that_time(harness: Harness) -> None:
    bob = Caller(BOB)
    harness.run(ops.SetMode, "/d/g", 0o600)
    harness.run(ops.SetAcl, "/d/g", ("user:bob:r--",), "modify")
    create(harness, "/d", "s")
    harness.run(ops.SetAcl, "/d/g", (), "remove_all")
    queries.locate(harness.namespace, "/d/.snapshot/s/g", bob)
    with pytest.raises(AccessDenied):
        queries.locate(harness.namespace, "/d/g", bob)


def test_only_the_owner_makes_and_deletes_snapshots(harness: Harness) -> None:
    create(harness, "/d", "s")
    for kind, fields in (
        (ops.CreateSnapshot, ("/d", "t")),
        (ops.RenameSnapshot, ("/d", "s", "t")),
        (ops.DeleteSnapshot, ("/d", "s")),
    ):
        assert type(harness.refusal(kind, *fields, user=BOB)) is AccessDenied
        harness.run(kind, *fields, user="alice")
        if kind is ops.CreateSnapshot:
            delete(harness, "/d", "t")
        if kind is ops.RenameSnapshot:
            harness.run(ops.RenameSnapshot, "/d", "t", "s")
    assert type(harness.refusal(ops.DeleteSnapshot, "/d", "s")) is NotFound
