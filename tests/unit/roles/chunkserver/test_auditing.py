"""Who was refused at a chunk is in the chunkserver's trail; who was let in, as configured."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pydfsnode.client import wire_chunks
from pydfsnode.client.chunk_writer import ChunkWriter
from pydfsnode.errors import CapabilityRefused, KeyUnavailable, Unavailable
from pydfsnode.roles.chunkserver.auditing import CMDS, Chunks
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import METHODS
from pydfsnode.security.audit.record import Record
from pydfsnode.security.capability import CLOCKS_MS, LIFE_MS, Operation
from pydfsnode.security.identity import Identity
from tests.support.capabilities import CHUNK_KEY, token
from tests.support.chunk_audit import ChunkTrail
from tests.support.chunkservers import ChunkCluster, chunk_cluster

READ = "/pydfs.v1.Chunk/ReadChunk"
SEAL = "/pydfs.v1.Chunk/SealChunk"
WRITE = "/pydfs.v1.Chunk/WriteChunk"
CONTENT = b"content of a chunk"
MakeTrails = Callable[[Chunks], dict[str, ChunkTrail]]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[ChunkCluster]:
    async with chunk_cluster(tmp_path, count=2) as cluster:
        for server in cluster.servers.values():
            server.keys.learn({1: CHUNK_KEY})
        yield cluster


@pytest.fixture
def trails(cluster: ChunkCluster) -> Any:
    made: list[ChunkTrail] = []

    def make(chunks: Chunks) -> dict[str, ChunkTrail]:
        found = {name: ChunkTrail(server, chunks) for name, server in cluster.servers.items()}
        made.extend(found.values())
        return found

    yield make
    for each in made:
        each.stop()


def test_every_chunk_call_has_a_name_in_the_trail() -> None:
    assert set(CMDS) == {path for path in METHODS if path.startswith("/pydfs.v1.Chunk/")}


def call_of(path: str, role: str = "user", name: str = "alice") -> CallContext:
    identity = Identity("testcluster", role, name)
    return CallContext(identity, METHODS[path], "request-7", "", "10.0.0.9:77")


def shown(cluster: ChunkCluster, chunk_id: int, **other: Any) -> bytes:
    return token("alice", chunk_id, now_ms=cluster["c1"].clock.wall_ms(), **other)


async def write(cluster: ChunkCluster, chunk_id: int) -> None:
    chunk = replace(cluster.allocated(chunk_id), capability=shown(cluster, chunk_id))
    writer = await ChunkWriter.open(chunk, cluster.connect)
    await writer.write(CONTENT)
    await writer.finish()


def bad(cluster: ChunkCluster) -> dict[str, bytes]:
    """Reason to a token that is not good for reading chunk 7."""
    good, now_ms = shown(cluster, 7), cluster["c1"].clock.wall_ms()
    return {
        "missing": b"",
        "forged": good[:-1] + bytes([good[-1] ^ 1]),
        "expired": token("alice", 7, now_ms=now_ms - LIFE_MS - CLOCKS_MS - 1),
        "chunk": shown(cluster, 8),
        "user": token("bob", 7, now_ms=now_ms),
        "operation": shown(cluster, 7, operations=int(Operation.END)),
        "key": shown(cluster, 7, epoch=9),
    }


async def test_each_refusal_is_recorded_with_its_reason_and_without_the_token(
    cluster: ChunkCluster, trails: MakeTrails
) -> None:
    trail = trails("none")["c1"]
    for capability in bad(cluster).values():
        with pytest.raises((CapabilityRefused, KeyUnavailable)):
            await trail.admission.require(call_of(READ), capability, 7, 1, Operation.READ)
    found = trail.records()
    told = [json.loads(record.detail) for record in found]
    assert [detail["reason"] for detail in told] == list(bad(cluster))
    assert {(d["version"], d["operation"]) for d in told} == {(1, "READ")}
    assert {(r.kind, r.cmd, r.src, r.allowed) for r in found} == {
        ("chunk", "readBlock", "chunk:7", False)
    }
    assert [r.outcome for r in found] == ["CapabilityRefused"] * 6 + ["KeyUnavailable"]
    assert {(r.user, r.role, r.ip, r.request_id) for r in found} == {
        ("alice", "user", "10.0.0.9", "request-7")
    }
    whole = b"".join(trail.rig.lines())
    for capability in filter(None, bad(cluster).values()):
        assert capability[-16:].hex().encode() not in whole
        assert capability[-16:] not in whole


async def test_a_copy_of_anothers_chunk_names_the_chunk_that_was_wanted(
    cluster: ChunkCluster, trails: MakeTrails
) -> None:
    trail = trails("none")["c1"]
    call = call_of(WRITE)
    await trail.admission.require(call, shown(cluster, 8), 8, 1, Operation.WRITE)
    with pytest.raises(CapabilityRefused):
        await trail.admission.require(call, b"", 7, 3, Operation.READ)
    (refused,) = trail.records()
    assert (refused.cmd, refused.src) == ("writeBlock", "chunk:7")


@pytest.mark.parametrize(
    ("chunks", "cmds"),
    [("none", []), ("writes", ["writeBlock"]), ("all", ["writeBlock", "getReplicaVisibleLength"])],
)
async def test_as_much_of_what_was_allowed_is_recorded_as_is_asked_for(
    cluster: ChunkCluster, trails: MakeTrails, chunks: Chunks, cmds: list[str]
) -> None:
    trail = trails(chunks)["c1"]
    await write(cluster, 7)
    peer = cluster.connect("c1", cluster["c1"].listen)
    await wire_chunks.chunk_state(peer, 7, 5000, shown(cluster, 7))
    trail.auditing.carried_out("delete", 9, True, "")
    found = trail.records()
    orders = [("delete", "chunk:9", "ok")] if chunks != "none" else []
    assert [(r.cmd, r.src, r.outcome) for r in found] == [
        *((cmd, "chunk:7", "ok") for cmd in cmds), *orders,
    ]  # fmt: skip


async def test_who_hands_on_a_capability_acts_for_its_user(
    cluster: ChunkCluster, trails: MakeTrails
) -> None:
    made = trails("all")
    await write(cluster, 7)
    await made["c1"].admission.require(
        call_of(READ, "gateway", "g1"), shown(cluster, 7), 7, 1, Operation.READ
    )
    first, second = made["c1"].records()
    assert (first.user, first.role, first.via) == ("alice", "user", "")
    assert (second.user, second.role, second.via) == ("alice", "", "gateway/g1")
    (forwarded,) = made["c2"].records()
    assert (forwarded.user, forwarded.via, forwarded.cmd) == (
        "alice", "chunkserver/c1", "writeBlock",
    )  # fmt: skip


async def test_who_ends_a_chunk_is_always_recorded(
    cluster: ChunkCluster, trails: MakeTrails
) -> None:
    trail = trails("none")["c1"]
    for role, name in (("master", "m1"), ("user", "alice")):
        call = call_of(SEAL, role, name)
        await trail.admission.require(call, shown(cluster, 7), 7, 1, Operation.END)
    found = trail.records()
    assert [(r.cmd, r.user, r.role, r.src) for r in found] == [
        ("recoverBlock", "m1", "master", "chunk:7"),
        ("recoverBlock", "alice", "user", "chunk:7"),
    ]


async def test_what_must_be_recorded_and_cannot_be_is_not_allowed(
    cluster: ChunkCluster, trails: MakeTrails, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = trails("writes")["c1"]

    def refuse() -> None:
        raise Unavailable("full")

    monkeypatch.setattr(trail.trail, "admit", refuse)
    good = shown(cluster, 7)
    with pytest.raises(Unavailable):
        await trail.admission.require(call_of(WRITE), good, 7, 1, Operation.WRITE)
    await trail.admission.require(call_of(READ), good, 7, 1, Operation.READ)
    assert trail.records() == []


def summary(record: Record) -> tuple[str, Any]:
    return record.cmd, json.loads(record.detail)


async def test_keys_are_recorded_when_they_change(
    cluster: ChunkCluster, trails: MakeTrails
) -> None:
    trail = trails("none")["c1"]
    for epochs in ([], [1], [1], [1, 2], [2]):
        trail.auditing.keys_known(epochs)
    trail.auditing.resealed(2)
    assert [summary(record) for record in trail.records()] == [
        ("chunkKeys", {"epochs": [1]}),
        ("chunkKeys", {"epochs": [1, 2]}),
        ("chunkKeys", {"epochs": [2]}),
        ("chunksResealed", {"epoch": 2}),
    ]
