"""Keys of files on a chunkserver: asked for together, kept for minutes, a bounded number."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from pydfsnode import limits
from pydfsnode.errors import KeyUnavailable, Unavailable
from pydfsnode.security import file_keys
from pydfsnode.security.file_keys import KEPT_S, FileKeys


class Masters:
    """Hold a key for each even chunk; answer when `open` is set."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None

    async def fetch(self, chunk_ids: list[int]) -> Mapping[int, bytes]:
        self.asked.append(chunk_ids)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        return {chunk_id: key(chunk_id) for chunk_id in chunk_ids if chunk_id % 2 == 0}


def key(chunk_id: int) -> bytes:
    return chunk_id.to_bytes(32, "little")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_what_is_wanted_at_once_is_one_question_and_what_comes_later_the_next() -> None:
    masters, held = Masters(), FileKeys()
    held.bind(masters.fetch)
    masters.open.clear()
    first = [asyncio.create_task(held.have(chunk_id)) for chunk_id in (2, 4, 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = asyncio.create_task(held.have(6))
    await asyncio.sleep(0)
    masters.open.set()
    assert await asyncio.gather(*first, later) == [key(2), key(4), key(2), key(6)]
    assert masters.asked == [[2, 4], [6]]
    assert await held.have(2) == key(2)
    assert len(masters.asked) == 2


async def test_what_is_likely_wanted_next_comes_along() -> None:
    masters, held = Masters(), FileKeys()
    held.bind(masters.fetch)
    await held.have(2, [3, 4, 5, 6])
    assert [held.get(chunk_id) for chunk_id in (3, 4, 5, 6)] == [None, key(4), None, key(6)]
    await held.have(4, [6, 8])
    assert masters.asked == [[2, 3, 4, 5, 6]]
    await held.have(1000, range(1001, 9000))
    assert len(masters.asked[-1]) == limits.FILE_KEYS_PER_ASK_MAX


async def test_a_chunk_whose_key_nobody_has_is_refused_and_asked_for_again() -> None:
    masters, held = Masters(), FileKeys()
    held.bind(masters.fetch)
    for _ in range(2):
        with pytest.raises(KeyUnavailable, match="its file was deleted"):
            await held.have(3)
    assert masters.asked == [[3], [3]]


async def test_masters_that_do_not_answer_are_said() -> None:
    masters, held = Masters(), FileKeys()
    with pytest.raises(KeyUnavailable, match="no master can be asked"):
        await held.have(2)
    held.bind(masters.fetch)
    masters.failure = Unavailable("no leading master answers")
    with pytest.raises(KeyUnavailable, match="no leading master answers"):
        await held.have(2)
    masters.failure = None
    assert await held.have(2) == key(2)


async def test_who_is_cancelled_leaves_the_others_their_answer() -> None:
    masters, held = Masters(), FileKeys()
    held.bind(masters.fetch)
    masters.open.clear()
    gone, stays = (asyncio.create_task(held.have(2)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    masters.open.set()
    assert await stays == key(2)
    assert masters.asked == [[2]]


def test_keys_are_kept_for_minutes_and_dropped_with_the_chunk() -> None:
    clock = Clock()
    held = FileKeys(clock)
    held.put({1: key(1), 2: key(2)})
    held.drop(1)
    assert (held.get(1), held.get(2), len(held)) == (None, key(2), 1)
    clock.now = KEPT_S
    assert held.get(2) == key(2)
    clock.now += 1
    assert held.get(2) is None
    held.sweep()
    assert len(held) == 0


def test_there_are_never_too_many() -> None:
    held = FileKeys(keys_max=3)
    held.put({chunk_id: key(chunk_id) for chunk_id in range(5)})
    assert [held.get(chunk_id) is not None for chunk_id in range(5)] == [False] * 2 + [True] * 3
    assert "0000" not in repr(held) + repr(file_keys.missing(7))
