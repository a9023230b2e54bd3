"""When new chunks are sealed: what the leader says, what the directory says, and which keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import pytest

from pydfsnode.errors import KeyUnavailable, MalformedMessage, NotLeader, Unavailable
from pydfsnode.meta import sealing as meta
from pydfsnode.roles.chunkserver import file_keys
from pydfsnode.roles.chunkserver import sealing as module
from pydfsnode.roles.chunkserver.file_keys import FILE_KEYS, FileKeyAsker
from pydfsnode.roles.chunkserver.heartbeat import CHUNK_KEYS, HEARTBEAT, MasterLink, NodeState
from pydfsnode.roles.chunkserver.sealing import Sealing, Word
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_index import ChunkIndex

DEFAULT, ON, OFF = pb.SEAL_DEFAULT, pb.SEAL_ON, pb.SEAL_OFF


class FakeMaster:
    """Hands out keys by epoch."""

    def __init__(self, *keys: bytes) -> None:
        self.keys = keys
        self.asked = 0
        self.failure: Exception | None = None

    async def fetch(self) -> Mapping[int, bytes]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return dict(enumerate(self.keys, 1))


def beat(epoch: int = 1, *, seals: bool = True, leads: bool = True) -> Word:
    """A master's answer."""
    return Word(leads, epoch, seals)


@pytest.fixture
def sealing(monkeypatch: pytest.MonkeyPatch) -> Sealing:
    monkeypatch.setattr(module, "WAIT_S", 0.02)
    return Sealing(ChunkKeys())


@pytest.mark.parametrize("seals", [False, True])
async def test_a_directory_decides_and_the_leader_where_none_does(
    sealing: Sealing, seals: bool
) -> None:
    await sealing.heard(beat(seals=seals), FakeMaster(b"k" * 32).fetch)
    assert await sealing.is_sealed(DEFAULT) is seals
    assert await sealing.is_sealed(ON)
    assert not await sealing.is_sealed(OFF)


async def test_keys_are_asked_for_once_and_again_for_a_newer_epoch(sealing: Sealing) -> None:
    master = FakeMaster(b"k" * 32)
    for _ in range(3):
        await sealing.heard(beat(), master.fetch)
    assert (master.asked, sealing.keys.epochs) == (1, [1])
    master.keys = (b"k" * 32, b"l" * 32)
    await sealing.heard(beat(2), master.fetch)
    await sealing.heard(beat(1, leads=False), master.fetch)  # one that lags behind
    assert (master.asked, sealing.keys.epoch, sealing.keys.epochs) == (2, 2, [1, 2])


async def test_who_does_not_lead_gives_keys_and_decides_nothing(sealing: Sealing) -> None:
    await sealing.heard(beat(seals=False, leads=False), FakeMaster(b"k" * 32).fetch)
    assert sealing.keys.epoch == 1
    assert sealing.by_default is None
    with pytest.raises(KeyUnavailable):
        await sealing.is_sealed(DEFAULT)


async def test_nothing_is_written_plain_before_a_leader_was_heard(sealing: Sealing) -> None:
    for choice in (DEFAULT, ON):
        with pytest.raises(KeyUnavailable, match="no key"):
            await sealing.is_sealed(choice)
    await sealing.heard(beat(0), FakeMaster().fetch)
    with pytest.raises(KeyUnavailable):
        await sealing.is_sealed(DEFAULT)


async def test_a_write_waits_for_the_first_word(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 20)
    waiting = asyncio.create_task(sealing.is_sealed(DEFAULT))
    await asyncio.sleep(0)
    await sealing.heard(beat(0), FakeMaster().fetch)
    await asyncio.sleep(0)
    assert not waiting.done()
    await sealing.heard(beat(1), FakeMaster(b"k" * 32).fetch)
    assert await waiting


async def test_a_master_that_gives_no_keys_counts_as_not_answering(sealing: Sealing) -> None:
    master = FakeMaster(b"k" * 32)
    master.failure = Unavailable("gone")
    with pytest.raises(Unavailable):
        await sealing.heard(beat(), master.fetch)
    assert (sealing.keys.epoch, sealing.by_default) == (0, None)


class AskedMaster:
    """Answers one heartbeat, then hands out keys."""

    def __init__(self, keys: Any) -> None:
        self.keys = keys
        self.paths: list[str] = []

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        self.paths.append(path)
        if path == HEARTBEAT:
            return pb.HeartbeatResponse(
                epoch=1, is_leader=True, chunk_key_epoch=3, seal_chunks=True
            )
        return self.keys


async def beaten(master: AskedMaster, sealing: Sealing) -> MasterLink:
    """A link after one heartbeat."""

    async def learn_epoch(epoch: int) -> None:
        assert epoch == 1

    link = MasterLink(
        "m1", master, ChunkIndex(lambda: None), lambda: NodeState("h:1", "r", 0, 0, 0, 0, 1, 1),
        learn_epoch, cast(Any, None), 1000, heard=sealing.heard,
    )  # fmt: skip
    await link._beat()
    return link


async def test_a_heartbeat_that_names_a_new_key_is_followed_by_a_call_for_it(
    sealing: Sealing,
) -> None:
    keys = [pb.ChunkKey(epoch=2, key=b"k" * 32), pb.ChunkKey(epoch=3, key=b"l" * 32)]
    master = AskedMaster(pb.ChunkKeysResponse(keys=keys))
    link = await beaten(master, sealing)
    assert master.paths[:2] == [HEARTBEAT, CHUNK_KEYS]
    assert link.is_leader
    assert (sealing.keys.epochs, sealing.by_default) == ([2, 3], True)
    await link._beat()
    assert master.paths.count(CHUNK_KEYS) == 1


async def test_a_master_that_answers_something_else_for_keys_is_not_reached(
    sealing: Sealing,
) -> None:
    link = await beaten(AskedMaster(pb.HeartbeatResponse()), sealing)
    assert not link.is_reached
    assert (sealing.keys.epoch, sealing.by_default) == (0, None)


def test_the_choices_are_those_of_the_schema() -> None:
    names = (module.SEAL_DEFAULT, module.SEAL_ON, module.SEAL_OFF)
    assert names == (pb.SEAL_DEFAULT, pb.SEAL_ON, pb.SEAL_OFF)
    assert names == (meta.BY_DEFAULT, meta.SEALED, meta.PLAIN)


async def test_a_file_with_a_key_of_its_own_is_sealed_with_it(sealing: Sealing) -> None:
    asked: list[list[int]] = []

    async def fetch(chunk_ids: list[int]) -> Mapping[int, bytes]:
        asked.append(chunk_ids)
        return {7: b"f" * 32}

    sealing.keys.files.bind(fetch)
    await sealing.heard(beat(seals=False), FakeMaster(b"k" * 32).fetch)
    assert await sealing.form(7, pb.SEAL_FILE) == (True, True)
    assert sealing.keys.for_new(7, is_keyed=True).is_keyed
    assert await sealing.form(8, ON) == (True, False)
    assert await sealing.form(8, OFF) == (False, False)
    assert asked == [[7]]
    with pytest.raises(KeyUnavailable, match="its file was deleted"):
        await sealing.form(8, pb.SEAL_FILE)


async def test_keys_of_files_are_asked_of_the_leader_who_may_be_elected_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(file_keys, "PAUSE_S", 0.0)

    class Leader:
        answer: object = pb.FileKeysResponse(keys=[pb.FileKey(chunk_id=7, key=b"f" * 32)])
        failures: ClassVar[list[Exception]] = [Unavailable("nobody leads"), NotLeader("not I")]

        async def ask(self, path: str, request: Any, *, timeout_ms: int) -> Any:
            assert (path, list(request.chunk_ids)) == (FILE_KEYS, [7, 8])
            if self.failures:
                raise self.failures.pop(0)
            return self.answer

    leader = Leader()
    asker = FileKeyAsker(leader.ask)
    assert await asker.fetch([7, 8]) == {7: b"f" * 32}
    leader.answer = pb.ChunkKeysResponse()
    with pytest.raises(MalformedMessage):
        await asker.fetch([7, 8])
    monkeypatch.setattr(file_keys, "WAIT_S", 0.01)
    leader.failures.extend([Unavailable("nobody leads")] * 100_000)
    with pytest.raises(Unavailable, match="no leading master answered"):
        await asker.fetch([7, 8])
