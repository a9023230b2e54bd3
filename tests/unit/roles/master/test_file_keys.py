"""A master gives files their keys and chunkservers the keys of files."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.fleet.orders import Copy
from pydfsnode.meta.sealing import SEAL_XATTR, wants_key
from pydfsnode.roles.master.service.file_keys import FILE_KEYS
from pydfsnode.roles.master.service.fleet import FleetService
from pydfsnode.rpc.methods import METHODS, may_call
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.support.masters import Master

from .test_master import SERVERS, master, written

__all__ = ["master"]


@pytest.fixture
async def keyed(master: Master) -> Master:
    """Chunkservers are there, and /d gives each file a key."""
    for server in SERVERS:
        await master.heartbeat(server)
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/d/e"))
    request = pb.SetXattrRequest(op=master.op(), path="/d", name=SEAL_XATTR, value=b"file")
    await master.namespace("SetXattr", request)
    return master


def keys(master: Master) -> dict[int, bytes]:
    rows = master.role._store.namespace.tree.file_keys.keys.rows
    return {inode_id: row.key for inode_id, row in rows.items()}


async def asked(master: Master, *chunk_ids: int) -> dict[int, bytes]:
    request = pb.FileKeysRequest(chunk_ids=chunk_ids)
    found = await master.call(FILE_KEYS, request, "chunkserver", "c1")
    return {each.chunk_id: each.key for each in found.keys}


def test_only_chunkservers_get_keys_of_files() -> None:
    roles = ("master", "chunkserver", "gateway", "user", "admin")
    assert [role for role in roles if may_call(FILE_KEYS, role)] == ["chunkserver"]
    assert METHODS[FILE_KEYS].served_by == {"master"}


@pytest.mark.parametrize("more", [{}, {"content": b"in"}, {"allocate": True}])
async def test_every_way_to_create_a_file_gives_it_a_key_of_its_own(
    keyed: Master, more: dict[str, Any]
) -> None:
    for path in ("/d/a", "/d/e/b", "/d/new/c"):
        request = pb.CreateRequest(op=keyed.op(), path=path, create_parents=True, **more)
        created = await keyed.namespace("Create", request)
        again = await keyed.namespace("Create", request)  # a retry
        assert again.status.inode_id == created.status.inode_id
    found = keys(keyed)
    assert len(set(found.values())) == len(found) == 3
    assert all(len(key) == 32 for key in found.values())
    request = pb.CreateRequest(op=keyed.op(), path="/plain", **more)
    await keyed.namespace("Create", request)
    assert len(keys(keyed)) == 3


async def test_files_of_a_batch_get_keys_too(keyed: Master) -> None:
    item = pb.CreateRequest(op=keyed.op(), path="/d/a", content=b"x")
    batch = pb.BatchRequest(items=[pb.BatchItem(method="Create", request=item.SerializeToString())])
    answer = await keyed.namespace("Batch", batch)
    raw = answer if isinstance(answer, bytes) else answer.SerializeToString()
    assert b"error" not in raw
    assert len(keys(keyed)) == 1


async def test_chunkservers_get_the_keys_of_their_chunks(keyed: Master) -> None:
    status, chunk_id = await written(keyed, "/d/f")
    _, plain_id = await written(keyed, "/plain")
    assert await asked(keyed, chunk_id, plain_id, 999) == {chunk_id: keys(keyed)[status.inode_id]}
    many = range(limits.FILE_KEYS_PER_ASK_MAX + 1)
    with pytest.raises(InvalidArgument):
        await asked(keyed, *many)


async def test_copies_are_sealed_as_the_file_is_wherever_it_lies_now(keyed: Master) -> None:
    _, chunk_id = await written(keyed, "/d/f")
    rename = pb.RenameRequest(op=keyed.op(), source="/d/f", destination="/f")
    await keyed.namespace("Rename", rename)
    service = FleetService(
        cast(Any, None), keyed.role._fleet, keyed.role._store.namespace, keyed.clock,
    )  # fmt: skip
    assert service._command(Copy("c2", chunk_id, 1, 5, ("c1",)), "c2").seal == pb.SEAL_FILE


async def test_writers_are_told_that_the_key_is_needed(keyed: Master) -> None:
    created = await keyed.namespace("Create", pb.CreateRequest(op=keyed.op(), path="/d/f"))
    request = pb.AllocateChunkRequest(op=keyed.op(), inode_id=created.status.inode_id)
    assert (await keyed.namespace("AllocateChunk", request)).seal == pb.SEAL_FILE


async def test_the_state_of_keys_says_how_many_there_are_and_what_waits(keyed: Master) -> None:
    for name in "ab":
        request = pb.CreateRequest(op=keyed.op(), path=f"/d/{name}", content=b"x")
        await keyed.namespace("Create", request)
    await keyed.namespace("Delete", pb.DeleteRequest(op=keyed.op(), path="/d/a"))
    files = (await keyed.call("/pydfs.v1.Keys/State", pb.KeyStateRequest())).files
    assert (files.held, files.removed, files.waiting, files.orders) == (1, 1, 1, 0)
    due_ms = files.due_ms
    assert 0 < due_ms - keyed.clock.wall_ms() <= keyed.config.forget_keys_after_ms
    await keyed.role._upkeep.step()
    assert keyed.role._store.namespace.tree.file_keys.forgetting.orders == 0
    keyed.role._upkeep._forget_keys_after_ms = 4_000
    keyed.clock.ahead_ms += 5_000
    await keyed.role._upkeep.step()
    files = (await keyed.call("/pydfs.v1.Keys/State", pb.KeyStateRequest())).files
    assert (files.held, files.removed, files.waiting, files.orders) == (1, 1, 0, 1)
    assert files.due_ms == 0


def test_a_path_is_looked_at_as_far_as_it_exists(keyed_tree: Any) -> None:
    for path, wanted in (
        ("/d/f", True), ("/d/e/f", True), ("/d/no/such/f", True), ("/f", False), ("/e/f", False),
        ("", False), ("/", False), ("//", False), ("/d", False), ("/d/off/f", False),
    ):  # fmt: skip
        assert wants_key(keyed_tree, path) is wanted, path


@pytest.fixture
def keyed_tree() -> Any:
    from pydfsnode.meta import ops
    from tests.unit.meta.harness import Harness

    harness = Harness()
    harness.run(ops.Mkdirs, "/d/e")
    harness.run(ops.Mkdirs, "/d/off")
    assert not wants_key(harness.namespace.tree, "/d/f")
    harness.run(ops.SetXattr, "/d", SEAL_XATTR, b"file")
    harness.run(ops.SetXattr, "/d/off", SEAL_XATTR, b"off")
    return harness.namespace.tree
