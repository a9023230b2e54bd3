"""The Keys service by a whole master, and when old keys of chunks may be destroyed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pydfsnode.errors import Unavailable
from pydfsnode.fleet.health import ChunkSealing, Load
from pydfsnode.roles.master.service.keys import KeysService, droppable_below
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.support.masters import Master, node_config

KEYS = "/pydfs.v1.Keys/"


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    master = await Master(node_config(tmp_path)).start()
    await master.role._upkeep.step()
    yield master
    await master.stop()


async def state(master: Master) -> pb.KeyStateResponse:
    answer = await master.call(KEYS + "State", pb.KeyStateRequest())
    assert isinstance(answer, pb.KeyStateResponse)
    return answer


async def test_a_rotation_gives_chunks_and_the_master_a_new_key_once(master: Master) -> None:
    request = pb.RotateKeysRequest(op=master.op())
    for _ in range(2):  # the second is a repetition of the first
        answer = await master.call(KEYS + "Rotate", request)
        assert (answer.keys.rotation, list(answer.keys.chunk_key_epochs)) == (2, [1, 2])
    await master.role._keys.step()
    (own,) = (await state(master)).masters
    assert (own.id, own.rotation, list(own.epochs), own.problem) == ("m1", 2, [2], "")


async def test_a_kek_rotation_rewraps_and_names_who_could_not(master: Master) -> None:
    (before,) = (await state(master)).masters
    (after,) = (await master.call(KEYS + "RotateKek", pb.RotateKekRequest())).keys.masters
    assert before.kek_id != after.kek_id
    assert after.epochs == before.epochs
    beside = Path(master.config.data_dir) / "kek.hex.new"
    beside.touch(mode=0o644)
    (failed,) = (await master.call(KEYS + "RotateKek", pb.RotateKekRequest())).keys.masters
    assert "chmod 600" in failed.problem
    assert failed.kek_id == after.kek_id


async def test_masters_that_do_not_answer_are_named(master: Master) -> None:
    async def ask(name: str, path: str, request: Any, timeout_ms: int) -> Any:
        assert path == KEYS + "OwnKeys"
        if name == "m3":
            raise Unavailable("m3 does not answer")
        await asyncio.sleep(0)
        return pb.OwnKeysResponse(keys=pb.MasterKeyState(id=name, rotation=1, epochs=[4]))

    role = master.role
    service = KeysService(
        role._consensus, cast(Any, None), role._keys, role._fleet, lambda: ["m3", "m2"], ask
    )
    await master.heartbeat(
        "c1", load=pb.ServerLoad(sealing=pb.ChunkSealState(verified_epoch=1, key_epoch=1))
    )
    found = await service.state(pb.KeyStateRequest(), cast(Any, None))
    assert [m.id for m in found.masters] == ["m1", "m2", "m3"]
    assert found.masters[2].problem == "m3 does not answer"
    (server,) = found.chunkservers
    assert (server.id, server.live, server.sealing.verified_epoch) == ("c1", True, 1)


async def test_chunkservers_hear_which_keys_were_destroyed(master: Master) -> None:
    await master.call(KEYS + "Rotate", pb.RotateKeysRequest(op=master.op()))
    answer = await master.heartbeat("c1")
    assert (answer.chunk_key_epoch, answer.oldest_chunk_key_epoch) == (2, 1)
    master.role._upkeep._unneeded_keys_below = lambda wall_ms: 2
    master.clock.ahead_ms += 5000
    await master.role._upkeep.step()
    answer = await master.heartbeat("c1")
    assert (answer.chunk_key_epoch, answer.oldest_chunk_key_epoch) == (2, 2)


def fleet(*verified: int, **changes: object) -> Any:
    """Live servers that found nothing older than these."""
    servers = [
        SimpleNamespace(state="live", load=Load(sealing=ChunkSealing(verified_epoch=epoch)))
        for epoch in verified
    ]
    made = SimpleNamespace(
        chunkservers=lambda: servers, under_replicated=0, missing=0, warming_up=False
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


MADE = {1: 1000, 2: 2000, 3: 3000}


@pytest.mark.parametrize(
    ("found", "below"),
    [
        (fleet(3, 3, 3), 3),
        (fleet(3, 2, 3), 2),
        (fleet(3, 1), 0),
        (fleet(3, 0), 0),
        (fleet(), 0),
        (fleet(3, missing=1), 0),
        (fleet(3, under_replicated=1), 0),
        (fleet(3, warming_up=True), 0),
    ],
)
def test_a_key_goes_when_every_chunkserver_found_nothing_that_needs_it(
    found: Any, below: int
) -> None:
    assert droppable_below(MADE, found, 9_000, 500) == below


def test_a_key_stays_while_a_server_is_away_or_what_it_signed_lives() -> None:
    away = fleet(3, 3)
    away.chunkservers()[0].state = "dead"
    assert droppable_below(MADE, away, 9_000, 500) == 0
    assert droppable_below(MADE, fleet(3), 3_499, 500) == 0
    assert droppable_below(MADE, fleet(3), 3_500, 500) == 3
    assert droppable_below({3: 3000}, fleet(3), 9_000, 500) == 0
    assert droppable_below({}, fleet(3), 9_000, 500) == 0
