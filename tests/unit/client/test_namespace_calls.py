"""Every call of the file system becomes the operation it is meant to be, field by field."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.filesystem_base import Creation
from pydfsnode.client.model import Acl, Difference, SnapshotInfo
from pydfsnode.client.sync import FileSystem
from pydfsnode.errors import (
    AccessDenied,
    InvalidArgument,
    NotFound,
    NotSupported,
    QuotaExceeded,
)
from pydfsnode.meta import ops
from pydfsnode.meta.results import Appended, ChunkAllocated, Done, FileView, Removed
from pydfsnode.roles.master.service.namespace import NamespaceService
from tests.unit.client.fakes import BOB, FakeCluster

VIEW = FileView(
    "/there", "file", 5, 2, "ann", "staff", 0o640, 1, 2, 99, limits.MIB, False, 0,
    "crc32c:00000001", 3, True, True,
)  # fmt: skip
RESULTS: dict[type, Any] = {
    FileView: VIEW,
    Removed: Removed(7),
    Done: Done(),
    Appended: Appended(VIEW, 0),
    ChunkAllocated: ChunkAllocated(1, 1, ("c1",)),
}
Call = Callable[[AsyncFileSystem], Awaitable[Any]]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(limits.CHUNK_BYTES_MIN)


class Told:
    """Answers every operation with what is expected of it, and keeps them."""

    def __init__(self, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ops: list[Any] = []

        async def propose(op: Any, result: type) -> Any:
            self.ops.append(op)
            return RESULTS[result]

        monkeypatch.setattr(cluster.consensus, "propose", propose)
        # Handlers have bound the real one already.
        cluster.router._handlers = dict(
            NamespaceService(
                cluster.consensus,  # type: ignore[arg-type]
                cluster.allocation,
                cluster.fleet,  # type: ignore[arg-type]
                cluster.defaults,
            ).handlers()
        )


CASES: list[tuple[Call, str, dict[str, Any]]] = [
    (lambda fs: fs.makedirs("/d", exist_ok=True), "Mkdirs", {"path": "/d", "mode": 0o755}),
    (lambda fs: fs.makedirs("/d", exist_ok=True, mode=0o1777), "Mkdirs", {"mode": 0o1755}),
    (lambda fs: fs.rm("/d", recursive=True), "Delete", {"path": "/d", "recursive": True}),
    (lambda fs: fs.mv("/a", "/b", overwrite=True), "Rename",
     {"source": "/a", "destination": "/b", "overwrite": True}),
    (lambda fs: fs.concat("/t", ["/a", "b"]), "Concat",
     {"target": "/t", "sources": ("/a", "/b")}),
    (lambda fs: fs.pipe_file("/f", b"x", overwrite=False), "CreateInline",
     {"path": "/f", "content": b"x", "overwrite": False, "mode": 0o644, "replication": 3,
      "chunk_bytes": limits.CHUNK_BYTES_MIN, "create_parents": True}),
    (lambda fs: fs.open_writer("/f", replication=2, chunk_bytes=3 * limits.MIB, mode=0o777,
                               at_once=True),
     "Create", {"replication": 2, "chunk_bytes": 3 * limits.MIB, "mode": 0o755}),
    (lambda fs: fs.append("/f"), "Append", {"path": "/f"}),
    (lambda fs: fs.recover_lease("/f"), "RecoverLease", {"path": "/f"}),
    (lambda fs: fs.set_replication("/f", 4), "SetReplication", {"path": "/f", "replication": 4}),
    (lambda fs: fs.chown("/f", "bob"), "SetOwner", {"path": "/f", "owner": "bob", "group": ""}),
    (lambda fs: fs.chown("/f", group="eng"), "SetOwner", {"owner": "", "group": "eng"}),
    (lambda fs: fs.chmod("/f", 0o1700), "SetMode", {"path": "/f", "mode": 0o1700}),
    (lambda fs: fs.chmod("/f", 0), "SetMode", {"mode": 0}),
    (lambda fs: fs.set_times("/f", mtime_ms=5), "SetTimes",
     {"path": "/f", "mtime_ms": 5, "atime_ms": -1}),
    (lambda fs: fs.set_times("/f", atime_ms=0), "SetTimes", {"mtime_ms": -1, "atime_ms": 0}),
    (lambda fs: fs.set_xattr("/f", "user.a", b"\0\xff"), "SetXattr",
     {"path": "/f", "name": "user.a", "value": b"\0\xff", "create": False, "replace": False}),
    (lambda fs: fs.set_xattr("/f", "user.a", b"", create=True), "SetXattr", {"create": True}),
    (lambda fs: fs.set_xattr("/f", "user.a", b"", replace=True), "SetXattr", {"replace": True}),
    (lambda fs: fs.remove_xattr("/f", "user.a"), "RemoveXattr", {"path": "/f", "name": "user.a"}),
    (lambda fs: fs.set_acl("/f", ["user:bob:r--", "mask::rwx"]), "SetAcl",
     {"path": "/f", "entries": ("user:bob:r--", "mask::rwx"), "change": "modify"}),
    (lambda fs: fs.set_acl("/f", [], "remove_all"), "SetAcl",
     {"entries": (), "change": "remove_all"}),
    (lambda fs: fs.set_quota("/d", names=10), "SetQuota",
     {"path": "/d", "names_max": 10, "bytes_max": -1}),
    (lambda fs: fs.set_quota("/d", names=0, space_bytes=1 << 40), "SetQuota",
     {"names_max": 0, "bytes_max": 1 << 40}),
    (lambda fs: fs.trash("/f"), "MoveToTrash", {"path": "/f"}),
    (lambda fs: fs.restore("/f"), "RestoreTrash", {"path": "/f"}),
    (lambda fs: fs.empty_trash(), "EmptyTrash", {}),
    (lambda fs: fs.create_snapshot("/d", "s1"), "CreateSnapshot", {"path": "/d", "name": "s1"}),
    (lambda fs: fs.delete_snapshot("/d", "s1"), "DeleteSnapshot", {"path": "/d", "name": "s1"}),
    (lambda fs: fs.rename_snapshot("/d", "s1", "s2"), "RenameSnapshot",
     {"path": "/d", "old": "s1", "new": "s2"}),
    (lambda fs: fs._calls.renew_lease(), "RenewLease", {}),
    (lambda fs: fs._calls.complete_inline(9, b"x"), "CompleteInline",
     {"inode_id": 9, "content": b"x"}),
    (lambda fs: fs._calls.truncate("/f", 6), "Truncate", {"path": "/f", "size": 6, "tail": None}),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name", "fields"), CASES)
async def test_a_call_is_one_operation_with_these_fields(
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
    name: str,
    fields: dict[str, Any],
) -> None:
    told = Told(cluster, monkeypatch)
    await call(cluster.connect())
    op = told.ops[-1]
    assert type(op) is getattr(ops, name)
    assert {field: getattr(op, field) for field in fields} == fields
    assert (op.user, op.seq, op.first_unacked) == ("ann:supergroup", 1, 1)
    assert op.at_ms == cluster.consensus.wall_ms()


async def test_every_field_of_a_status_arrives(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Told(cluster, monkeypatch)
    status = await cluster.connect().chmod("/f", 0o640)
    for field in FileView.__struct_fields__:
        assert getattr(status, field) == getattr(VIEW, field), field


async def test_paths_are_normal_before_they_travel(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, fs = Told(cluster, monkeypatch), cluster.connect()
    assert await fs.trash("a//b/") == "/there"
    assert await fs.create_snapshot("a/", "s") == "/there"
    assert await fs.empty_trash() == 7
    assert {op.path for op in told.ops[:2]} == {"/a/b", "/a"}


# ---- through the real namespace


async def test_attributes_are_set_and_read_back(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/f", b"x")
    assert (await fs.chmod("/f", 0o600)).mode == 0o600
    assert (await fs.chown("/f", "bob", "eng")).owner == "bob"
    status = await fs.set_times("/f", mtime_ms=1000, atime_ms=2000)
    assert (status.mtime_ms, status.atime_ms) == (1000, 2000)
    assert (await fs.set_replication("/f", 2)).replication == 2
    await fs.set_xattr("/f", "user.b", b"2")
    await fs.set_xattr("/f", "user.a", b"\0")
    assert await fs.xattrs("/f") == {"user.a": b"\0", "user.b": b"2"}
    await fs.remove_xattr("/f", "user.a")
    with pytest.raises(NotFound):
        await fs.remove_xattr("/f", "user.a")
    assert list(await fs.xattrs("/f")) == ["user.b"]


async def test_an_acl_is_set_and_read_back(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.mkdir("/d")
    status = await fs.set_acl("/d", ["user:bob:r-x", "default:user:bob:rwx"])
    assert status.has_acl
    found = await fs.acl("/d")
    assert isinstance(found, Acl)
    assert (found.owner, found.group) == ("ann", "supergroup")
    assert "user:bob:r-x" in found.entries
    assert "default:user:bob:rwx" in found.default_entries


async def test_a_quota_is_told_with_the_totals_and_kept(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"12345")
    await fs.set_quota("/d", names=2, space_bytes=1000)
    found = await fs.summary("/d")
    assert (found.files, found.directories, found.bytes, found.bytes_replicated) == (1, 1, 5, 15)
    assert (found.names_quota, found.space_quota) == (2, 1000)
    assert await fs.du("/d") == found
    with pytest.raises(QuotaExceeded):
        await fs.pipe_file("/d/g", b"")
    await fs.set_quota("/d", names=0)
    assert (await fs.summary("/d")).names_quota == 0
    assert (await fs.summary("/d")).space_quota == 1000


async def test_find_by_name_and_type_step_by_step(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pydfsnode.meta.find.LOOKED_AT_MAX", 4)
    fs = cluster.connect()
    for number in range(20):
        await fs.pipe_file(f"/t/{number:02}/f{number}.txt", b"")
    cluster.router.calls.clear()
    assert [e.path async for e in fs.find("/t", "f1?.*", "file")] == [
        f"/t/{number}/f{number}.txt" for number in range(10, 20)
    ]
    assert cluster.router.calls.count("Find") >= 10
    assert [e.path async for e in fs.find("/t", "0?", "directory")] == [
        f"/t/{number:02}" for number in range(10)
    ]
    assert len([e async for e in fs.find("/t")]) == 41
    with pytest.raises(InvalidArgument, match="socket"):
        await anext(fs.find("/t", type="socket"))
    with pytest.raises(NotFound):
        await anext(fs.find("/nothing"))


async def test_the_trash_gives_back_what_it_took(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"x")
    moved = await fs.trash("/d")
    assert moved == "/user/ann/.Trash/Current/d"
    assert not await fs.exists("/d")
    assert (await fs.restore(moved)).path == "/d"
    assert await fs.cat_file("/d/f") == b"x"
    await fs.trash("/d")
    assert await fs.empty_trash() >= 2


async def test_snapshots_are_made_listed_compared_renamed_and_deleted(
    cluster: FakeCluster,
) -> None:
    fs = cluster.connect()
    await fs.pipe_file("/d/f", b"old")
    assert await fs.create_snapshot("/d", "s1") == "/d/.snapshot/s1"
    await fs.pipe_file("/d/f", b"new")
    await fs.pipe_file("/d/g", b"g")
    assert await fs.cat_file("/d/.snapshot/s1/f") == b"old"
    assert await fs.snapshots("/d") == [SnapshotInfo("s1", cluster.consensus.wall_ms())]
    changes = await fs.snapshot_diff("/d", "s1")
    assert Difference("+", "./g") in changes
    await fs.rename_snapshot("/d", "s1", "s2")
    assert [found.name for found in await fs.snapshots("/d")] == ["s2"]
    await fs.delete_snapshot("/d", "s2")
    assert await fs.snapshots("/d") == []


async def test_every_new_read_takes_a_consistency(cluster: FakeCluster) -> None:
    fs = cluster.connect()
    await fs.mkdir("/d")
    await fs.create_snapshot("/d", "s")
    cluster.router.calls.clear()
    await fs.xattrs("/d", consistency="stale")
    await fs.acl("/d", consistency="stale")
    await fs.summary("/d", consistency="stale")
    await fs.snapshots("/d", consistency="stale")
    await fs.snapshot_diff("/d", "s", consistency="stale")
    assert all([e.freshness async for e in fs.find("/d", consistency="stale")])
    assert cluster.router.any_master == cluster.router.calls
    assert len(cluster.router.calls) == 6
    assert fs.stalest is not None


async def test_who_may_not_is_refused_and_groups_count() -> None:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN, groups={"eng": ["bob"]})
    ann, bob = cluster.connect(), cluster.connect(identity=BOB)
    with pytest.raises(AccessDenied, match="user=bob"):
        await bob.pipe_file("/f", b"x")
    await ann.mkdir("/d")
    await ann.chown("/d", group="eng")
    await ann.chmod("/d", 0o770)
    await bob.pipe_file("/d/f", b"x")
    assert (await bob.info("/d/f")).owner == "bob"
    await ann.chmod("/d", 0o700)
    with pytest.raises(AccessDenied):
        await bob.info("/d/f")
    with pytest.raises(AccessDenied):
        await bob.summary("/d")


async def test_symbolic_links_are_refused_with_what_to_do(cluster: FakeCluster) -> None:
    with pytest.raises(NotSupported, match="/link: symbolic links are not supported"):
        await cluster.connect().symlink("/f", "/link")


@pytest.mark.parametrize(
    ("umask", "file_mode", "directory_mode"),
    [(0, 0o666, 0o777), (0o022, 0o644, 0o755), (0o077, 0o600, 0o700)],
)
async def test_the_umask_takes_bits_away(
    cluster: FakeCluster, umask: int, file_mode: int, directory_mode: int
) -> None:
    fs = cluster.connect(creation=Creation(umask=umask))
    assert (await fs.pipe_file("/f", b"")).mode == file_mode
    assert (await fs.mkdir("/d")).mode == directory_mode
    assert (await fs.mkdir("/e", mode=0o1777)).mode == 0o1777 & ~umask
    async with await fs.open_writer("/g", mode=0o640) as writer:
        await writer.write(b"x")
    assert writer.status.mode == 0o640 & ~umask
    with pytest.raises(InvalidArgument, match="umask"):
        await fs.mkdir("/none", mode=0)


# ---- the blocking twin

ONLY_ASYNC = {
    "append",
    "connect",
    "open_reader",
    "open_writer",
    "require_directory",
    "waiting_because",
}
OF_FILE_OBJECTS = {"buffering", "encoding", "errors", "newline"}
"""Arguments of `open` alone: an asynchronous file is no object of Python's `io`."""


def parameters(method: Callable[..., Any]) -> list[tuple[Any, ...]]:
    # on_bytes is called in the loop: blocking callers have watchers for that.
    found = inspect.signature(method).parameters.values()
    left_out = {"on_bytes"} | (OF_FILE_OBJECTS if method.__name__ == "open" else set())
    return [(p.name, p.kind, p.default) for p in found if p.name not in left_out]


def test_the_blocking_file_system_has_every_method_with_the_same_arguments() -> None:
    for name, method in inspect.getmembers(AsyncFileSystem, inspect.isfunction):
        if name.startswith("_") or name in ONLY_ASYNC:
            continue
        blocking = getattr(FileSystem, name)
        assert parameters(blocking) == parameters(method), name


def test_the_blocking_file_system_passes_everything_on() -> None:
    cluster = FakeCluster(limits.CHUNK_BYTES_MIN)

    async def make() -> AsyncFileSystem:
        return cluster.connect()

    with FileSystem(make) as fs:
        fs.pipe_file("/d/f", b"0123456789")
        assert fs.truncate("/d/f", 5).size == 5
        with fs.open("/d/f", "ab") as file:
            file.write(b"more")
        assert fs.cat_file("/d/f") == b"01234more"
        with fs.open("/d/new", "a") as file:
            file.write("text")
        assert fs.chmod("/d/f", 0o600).mode == 0o600
        assert fs.chown("/d/f", "bob", "eng").group == "eng"
        assert fs.set_times("/d/f", atime_ms=4).atime_ms == 4
        assert fs.set_replication("/d/f", 2).replication == 2
        fs.set_xattr("/d/f", "user.a", b"1", create=True)
        assert fs.xattrs("/d/f") == {"user.a": b"1"}
        fs.remove_xattr("/d/f", "user.a")
        fs.set_acl("/d/f", ["user:bob:rwx"])
        assert "user:bob:rwx" in fs.acl("/d/f").entries
        fs.set_quota("/d", names=9)
        assert fs.summary("/d").names_quota == 9
        assert [entry.name for entry in fs.find("/d", "f*", "file")] == ["f"]
        assert fs.recover_lease("/d/f").size == 9
        assert fs.restore(fs.trash("/d/new")).path == "/d/new"
        assert fs.empty_trash() >= 0
        assert fs.create_snapshot("/d", "s") == "/d/.snapshot/s"
        fs.rename_snapshot("/d", "s", "t")
        assert [found.name for found in fs.snapshots("/d")] == ["t"]
        assert fs.snapshot_diff("/d", "t") == []
        fs.delete_snapshot("/d", "t")
        with pytest.raises(InvalidArgument):
            fs.concat("/d/f", [])
        with pytest.raises(NotSupported):
            fs.symlink("/d", "/e")
