"""Leases: who keeps a file that is being written, and how it ends when its writer is silent."""

from __future__ import annotations

import pytest

from pydfsnode.errors import AccessDenied, FileUnderConstruction, IsADirectory, LeaseExpired
from pydfsnode.meta import ops
from pydfsnode.meta.inodes import RECOVERING
from pydfsnode.meta.leases import HARD_LEASE_MS, SOFT_LEASE_MS, LeaseScan
from pydfsnode.meta.results import Done

from .harness import Harness


def half_written(harness: Harness, client: int = 2, user: str = "bob") -> tuple[int, int]:
    """/tmp/f, with one chunk finished and one open: inode id and the open chunk's id."""
    harness.mkdirs("/tmp", 0o777)
    inode_id = harness.create("/tmp/f", client=client, user=user).inode_id
    first = harness.allocate(inode_id, client=client)
    done = ops.ChunkDone(first.chunk_id, 1, 10, 7)
    return inode_id, harness.allocate(inode_id, done, client=client).chunk_id


def recover(harness: Harness, inode_id: int, found: ops.ChunkDone | None = None) -> None:
    """As the leader does it for somebody who wants to write the file."""
    harness.run(ops.ExpireLeases, (inode_id,), True, user="root")
    harness.run(ops.FinishRecovery, inode_id, found, user="root")


def test_within_the_soft_limit_nobody_else_takes_the_file() -> None:
    harness = Harness()
    half_written(harness)
    harness.now_ms += SOFT_LEASE_MS
    for kind, fields in ((ops.Append, ()), (ops.Truncate, (0, None))):
        error = harness.refusal(kind, "/tmp/f", *fields)
        assert isinstance(error, FileUnderConstruction)
        assert error.fields["path"] == "/tmp/f"


def test_after_the_soft_limit_another_client_takes_it_at_the_acknowledged_length() -> None:
    harness = Harness()
    inode_id, open_chunk = half_written(harness)
    harness.now_ms += SOFT_LEASE_MS + 1
    being_recovered = harness.refusal(ops.Append, "/tmp/f")
    assert isinstance(being_recovered, FileUnderConstruction)
    recover(harness, inode_id)
    assert harness.run(ops.Append, "/tmp/f").view.size == 10
    # The abandoned chunk is collected: what was written of it is garbage on the chunkservers.
    assert harness.namespace.drain_freed() == [open_chunk]
    assert harness.namespace.is_garbage(open_chunk)
    for kind, fields in ((ops.Complete, (None, 0)), (ops.AllocateChunk, (None, 0, ("c1",)))):
        error = harness.refusal(kind, inode_id, *fields, client=2)
        assert isinstance(error, FileUnderConstruction)
    harness.complete(inode_id)
    assert isinstance(harness.refusal(ops.Complete, inode_id, None, 0, client=2), LeaseExpired)


def test_truncate_takes_over_too() -> None:
    harness = Harness()
    inode_id, open_chunk = half_written(harness)
    harness.now_ms += SOFT_LEASE_MS + 1
    assert isinstance(harness.refusal(ops.Truncate, "/tmp/f", 0, None), FileUnderConstruction)
    recover(harness, inode_id)
    view = harness.run(ops.Truncate, "/tmp/f", 0, None)
    assert (view.size, view.under_construction) == (0, False)
    assert harness.namespace.drain_freed() == [open_chunk, 1]


@pytest.mark.parametrize("restarted", [False, True])
def test_any_operation_of_the_client_renews_its_leases(restarted: bool) -> None:
    harness = Harness()
    inode_id, _ = half_written(harness)
    for _ in range(3):
        harness.now_ms += SOFT_LEASE_MS
        assert harness.run(ops.RenewLease, client=2) == Done()
        if restarted:
            harness.restart()
    harness.now_ms += SOFT_LEASE_MS
    assert isinstance(harness.refusal(ops.Append, "/tmp/f"), FileUnderConstruction)
    harness.run(ops.ExpireLeases, (inode_id,), True, user="root")
    assert harness.namespace.tree.open_files.rows[inode_id].holder == 2
    harness.now_ms += 1
    recover(harness, inode_id)
    harness.run(ops.Append, "/tmp/f")


def test_a_retry_is_no_sign_of_life_and_gets_the_first_answer() -> None:
    harness = Harness()
    half_written(harness)
    op = ops.RenewLease(2, harness.next_seq(2), 1, harness.now_ms, "bob")
    assert harness.apply(op) == harness.apply(op)


def test_recovering_a_lease_waits_for_the_soft_limit() -> None:
    harness = Harness()
    half_written(harness)
    harness.run(ops.SetMode, "/tmp/f", 0o666)
    error = harness.refusal(ops.RecoverLease, "/tmp/f", user="carol", client=3)
    assert isinstance(error, FileUnderConstruction)
    harness.now_ms += SOFT_LEASE_MS + 1
    view = harness.run(ops.RecoverLease, "/tmp/f", user="carol", client=3)
    assert (view.size, view.under_construction) == (10, True)
    view = harness.run(ops.FinishRecovery, view.inode_id, None)
    assert (view.size, view.under_construction, view.mtime_ms) == (10, False, harness.now_ms)


@pytest.mark.parametrize(("user", "client"), [("bob", 3), ("root", 3), ("carol", 2)])
def test_the_owner_a_superuser_and_the_writer_need_not_wait(user: str, client: int) -> None:
    harness = Harness()
    inode_id, open_chunk = half_written(harness)
    harness.run(ops.SetMode, "/tmp/f", 0o666)
    harness.run(ops.RecoverLease, "/tmp/f", user=user, client=client)
    assert harness.namespace.tree.open_files.rows[inode_id].holder == RECOVERING
    assert not harness.run(ops.FinishRecovery, inode_id, None).under_construction
    assert harness.namespace.drain_freed() == [open_chunk]


def test_recovering_a_closed_file_changes_nothing() -> None:
    harness = Harness()
    view = harness.write("/f", 10)
    harness.now_ms += 500
    assert harness.run(ops.RecoverLease, "/f") == view


def test_recovering_needs_a_file_and_the_right_to_write_it() -> None:
    harness = Harness()
    half_written(harness)
    error = harness.refusal(ops.RecoverLease, "/tmp/f", user="carol", client=3)
    assert isinstance(error, AccessDenied)
    assert isinstance(harness.refusal(ops.RecoverLease, "/tmp"), IsADirectory)


@pytest.mark.parametrize("restarted", [False, True])
def test_after_the_hard_limit_the_masters_close_it(restarted: bool) -> None:
    harness = Harness()
    inode_id, open_chunk = half_written(harness)
    empty_id = harness.create("/empty", client=2).inode_id
    if restarted:
        harness.restart()
    harness.now_ms += HARD_LEASE_MS
    harness.run(ops.ExpireLeases, (inode_id, empty_id), user="root")
    assert harness.stat("/tmp/f").under_construction
    harness.now_ms += 1
    assert harness.run(ops.ExpireLeases, (inode_id, empty_id, 999), user="root") == Done()
    assert (harness.stat("/tmp/f").size, harness.stat("/tmp/f").under_construction) == (10, True)
    assert not harness.run(ops.FinishRecovery, inode_id, None).under_construction
    assert not harness.stat("/empty").under_construction
    assert harness.namespace.drain_freed() == [open_chunk]
    harness.run(ops.ExpireLeases, (inode_id,), user="root")  # closed already: nothing
    before = harness.namespace.state_hash()
    harness.restart()
    assert harness.namespace.state_hash() == before


def test_a_client_that_was_forgotten_holds_nothing() -> None:
    harness = Harness()
    inode_id, _ = half_written(harness)
    sessions = harness.namespace.sessions
    harness.now_ms += sessions.bounds.idle_ms + 1
    harness.mkdirs("/other")  # sends the session to sleep
    assert 2 in sessions.dormant
    harness.run(ops.ExpireLeases, (inode_id,), user="root")
    assert harness.namespace.tree.open_files.rows[inode_id].holder == RECOVERING


def test_only_the_masters_expire_leases() -> None:
    harness = Harness()
    inode_id, _ = half_written(harness)
    harness.now_ms += HARD_LEASE_MS + 1
    error = harness.refusal(ops.ExpireLeases, (inode_id,), user="bob", client=3)
    assert isinstance(error, AccessDenied)


def test_the_scan_finds_every_expired_file_in_bounded_looks() -> None:
    harness = Harness()
    expired = [harness.create(f"/a{n}", client=2).inode_id for n in range(5)]
    harness.now_ms += HARD_LEASE_MS + 1
    fresh = [harness.create(f"/b{n}", client=3).inode_id for n in range(4)]
    scan, tree = LeaseScan(), harness.namespace.tree
    looks = [scan.expired(tree, harness.now_ms, 3) for _ in range(3)]
    assert sorted(found for look in looks for found in look) == expired
    assert all(len(look) <= 3 for look in looks)
    # The next round begins anew, and at a later time finds the others; one was deleted meanwhile.
    later_ms = harness.now_ms + HARD_LEASE_MS + 1
    again = scan.expired(tree, later_ms, 1)
    harness.delete("/b0")
    for _ in range(8):
        again += scan.expired(tree, later_ms, 1)
    assert sorted(again) == [*expired, *fresh[1:]]
    assert LeaseScan().expired(Harness().namespace.tree, later_ms, 3) == []
