"""What masters tell of sealing: keys to chunkservers, the choice with each chunk and each copy."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pydfsnode.fleet.orders import Copy
from pydfsnode.meta.sealing import SEAL_XATTR
from pydfsnode.roles.master.service.fleet import FleetService
from pydfsnode.rpc.methods import METHODS, may_call
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.support.masters import Master

from .test_master import SERVERS, master, written

__all__ = ["master"]

CHUNK_KEYS = "/pydfs.v1.Fleet/ChunkKeys"


async def test_a_chunkserver_learns_of_the_key_and_gets_it(master: Master) -> None:
    await master.role._upkeep.step()
    answer = await master.heartbeat("c1")
    assert (answer.chunk_key_epoch, answer.seal_chunks) == (1, True)
    found = await master.call(CHUNK_KEYS, pb.ChunkKeysRequest(), "chunkserver", "c1")
    tree = master.role._store.namespace.tree
    assert {key.epoch: key.key for key in found.keys} == tree.administration.chunk_keys
    assert len(found.keys[0].key) == 32


def test_only_chunkservers_get_keys() -> None:
    roles = ("master", "chunkserver", "gateway", "user", "admin")
    assert [role for role in roles if may_call(CHUNK_KEYS, role)] == ["chunkserver"]
    assert METHODS[CHUNK_KEYS].served_by == {"master"}


@pytest.mark.parametrize(
    ("value", "told"), [(b"on", pb.SEAL_ON), (b"off", pb.SEAL_OFF), (None, pb.SEAL_DEFAULT)]
)
async def test_writers_and_copies_are_told_what_the_directory_says(
    master: Master, value: bytes | None, told: int
) -> None:
    for server in SERVERS:
        await master.heartbeat(server)
    await master.namespace("Mkdirs", pb.MkdirsRequest(op=master.op(), path="/d"))
    if value is not None:
        request = pb.SetXattrRequest(op=master.op(), path="/d", name=SEAL_XATTR, value=value)
        await master.namespace("SetXattr", request)
    created = await master.namespace("Create", pb.CreateRequest(op=master.op(), path="/d/f"))
    allocated = await master.namespace(
        "AllocateChunk",
        pb.AllocateChunkRequest(op=master.op(), inode_id=created.status.inode_id),
    )
    assert allocated.seal == told
    _, chunk_id = await written(master, "/d/g")
    service = FleetService(
        cast(Any, None), master.role._fleet, master.role._store.namespace, master.clock,
        seal_chunks=True,
    )  # fmt: skip
    order = service._command(Copy("c2", chunk_id, 1, 5, ("c1",)), "c2")
    assert (order.kind, order.seal) == (pb.Command.REPLICATE, told)
    gone = service._command(Copy("c2", 999, 1, 5, ("c1",)), "c2")
    assert gone.seal == pb.SEAL_DEFAULT
