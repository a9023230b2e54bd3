"""A get of one file that was interrupted goes on from where what is here is verified to end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pydfsnode import limits
from pydfsnode.client import copy
from pydfsnode.client.part_file import PartFile
from pydfsnode.client.resume import ResumedGet
from pydfsnode.errors import ChunkUnavailable, CorruptionError
from tests.unit.client.fakes import FakeCluster
from tests.unit.client.test_copy import content

MIB = limits.MIB
CONTENT = random.Random(1).randbytes(4 * MIB + 1234)
"""Of /f, in chunks of 1 MiB."""
OTHER = bytes(len(CONTENT))


def _unexpected(size: int) -> None:
    raise AssertionError(f"{size} bytes were skipped")


class Getting:
    """Gets /f; counts what is read of it and what is not."""

    def __init__(self, cluster: FakeCluster, target: Path) -> None:
        self.cluster = cluster
        self.target = target
        self.got: list[int] = []
        self.skipped: list[int] = []

    async def __call__(self, *, overwrite: bool = False, fails_in: int | None = None) -> int:
        """Get it; returns the bytes that were read. *fails_in*: the chunk that nobody has."""
        self.got, self.skipped = [], []
        fs = self.cluster.connect()
        stored = self.cluster.chunks.stored
        if fails_in is not None:
            lost = sorted({chunk for _, chunk in stored})[fails_in]
            self.cluster.chunks.stored = {k: v for k, v in stored.items() if k[1] != lost}
        around = ResumedGet(fs, overwrite=overwrite, on_skipped=self.skipped.append)
        job = copy.Job("/f", str(self.target), len(CONTENT), False)
        try:
            await around.copy(job, self.got.append, self._copy_one)
        finally:
            self.cluster.chunks.stored = stored
        assert self.target.read_bytes() == CONTENT
        assert content(self.target.parent).keys() == {"f"}, "and no part of it"
        return sum(self.got)

    async def _copy_one(self, job: copy.Job, on_bytes: copy.OnBytes) -> None:
        await self.cluster.connect().get_file(job.source, job.target, on_bytes=on_bytes)

    def part(self) -> Path:
        """What an interrupted get left."""
        (found,) = self.target.parent.glob(".f.*.part")
        return found

    def leave(self, left: bytes) -> None:
        """Leave that as the part of a get that died."""
        self.target.with_name(".f.0123abcd.part").write_bytes(left)


@pytest.fixture
async def getting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Getting:
    for module in ("get_rest", "resume"):
        monkeypatch.setattr(f"pydfsnode.client.{module}.LARGE_FILE_BYTES", 3 * MIB)
    monkeypatch.setattr(copy, "PIECE_BYTES", 100_000)
    cluster = FakeCluster(MIB)
    await cluster.connect().pipe_file("/f", CONTENT)
    return Getting(cluster, tmp_path / "f")


async def test_what_was_received_is_not_read_again(getting: Getting) -> None:
    with pytest.raises(ChunkUnavailable):
        await getting(fails_in=3)
    assert not getting.target.exists()
    kept = getting.part().stat().st_size
    assert kept > 0
    assert await getting() == len(CONTENT) - kept
    assert getting.skipped == [kept]


@pytest.mark.parametrize("size", [1, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 1, len(CONTENT)])
async def test_a_part_gets_the_rest_from_its_last_byte_on(getting: Getting, size: int) -> None:
    getting.leave(CONTENT[:size])
    assert await getting() == len(CONTENT) - size


@pytest.mark.parametrize("size", [1, MIB, MIB + 1, 4 * MIB + 1])
async def test_a_file_that_holds_the_beginning_gets_the_rest(getting: Getting, size: int) -> None:
    getting.target.write_bytes(CONTENT[:size])
    assert await getting() == len(CONTENT) - size


async def test_a_longer_part_goes_before_the_file_that_it_began_with(getting: Getting) -> None:
    getting.target.write_bytes(CONTENT[:MIB])
    getting.leave(CONTENT[: 2 * MIB + 5])
    assert await getting() == len(CONTENT) - 2 * MIB - 5


def damaged(at: int, size: int) -> bytes:
    found = bytearray(CONTENT[:size])
    found[at] ^= 1
    return bytes(found)


@pytest.mark.parametrize(
    ("left", "good"),
    [
        (damaged(0, 10), 0),
        (damaged(MIB + 7, 2 * MIB), MIB),  # found by the chunk's checksum
        (damaged(MIB + 7, MIB + 8), MIB),  # found when the rest of the chunk is there
        (CONTENT[: 2 * MIB] + bytes(4096), 2 * MIB),  # zeros, as after a power loss
        (OTHER + b"longer", 0),
        (CONTENT + b"longer", len(CONTENT)),
    ],
)
async def test_what_is_wrong_in_a_part_is_read_anew(
    getting: Getting, left: bytes, good: int
) -> None:
    getting.leave(left)
    await getting()
    assert sum(getting.skipped) == good


@pytest.mark.parametrize("there", [OTHER[:10], damaged(MIB + 7, 2 * MIB), CONTENT + b"x", OTHER])
@pytest.mark.parametrize("left", [b"", CONTENT[: 2 * MIB + 50]])
async def test_another_content_is_replaced_only_when_that_was_asked_for(
    getting: Getting, there: bytes, left: bytes
) -> None:
    getting.target.write_bytes(there)
    if left:
        getting.leave(left)
    with pytest.raises(FileExistsError, match="another content"):
        await getting()
    assert content(getting.target.parent) == {"f": there}
    if left:
        getting.leave(left)
    await getting(overwrite=True)
    assert sum(getting.skipped) >= len(left)


async def test_a_part_of_the_file_and_of_what_is_there_is_gone_on_with_though_it_ends_wrong(
    getting: Getting,
) -> None:
    getting.target.write_bytes(CONTENT[: MIB + 5])
    getting.leave(damaged(MIB + 7, MIB + 8))
    await getting()
    assert sum(getting.skipped) == MIB


async def test_the_part_of_a_get_that_goes_on_is_left_alone(getting: Getting) -> None:
    other = PartFile(getting.target)
    other.write([CONTENT[:MIB]])
    around = ResumedGet(getting.cluster.connect(), overwrite=False, on_skipped=_unexpected)
    job = copy.Job("/f", str(getting.target), len(CONTENT), False)
    await around.copy(job, getting.got.append, getting._copy_one)
    other.commit([CONTENT[MIB:]])
    assert getting.target.read_bytes() == CONTENT


async def test_a_small_file_leaves_nothing(getting: Getting) -> None:
    fs = getting.cluster.connect()
    await fs.pipe_file("/f", CONTENT[: 2 * MIB])
    getting.target.write_bytes(CONTENT[:5])
    with pytest.raises(ChunkUnavailable):
        await getting(fails_in=-1)
    assert content(getting.target.parent) == {"f": CONTENT[:5]}


async def test_what_turns_out_wrong_at_the_end_is_not_kept(
    getting: Getting, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: Callable[..., int] = lambda *_: 0  # noqa: E731
    monkeypatch.setattr("pydfsnode.client.get_rest.crc32c_combine", wrong)
    getting.leave(CONTENT[: MIB + 5])
    with pytest.raises(CorruptionError):
        await getting()
    assert content(getting.target.parent) == {}


async def test_an_interrupted_get_keeps_what_it_has(getting: Getting) -> None:
    fs = getting.cluster.connect()
    reached = asyncio.Event()
    around = ResumedGet(fs, overwrite=False, on_skipped=_unexpected)
    job = copy.Job("/f", str(getting.target), len(CONTENT), False)

    def on_bytes(_count: int) -> None:
        if any(getting.target.parent.glob(".f.*.part")):
            reached.set()

    running = asyncio.ensure_future(around.copy(job, on_bytes, getting._copy_one))
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await getting()
    assert sum(getting.skipped) > 0


def test_a_part_that_becomes_the_file_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / ".f.0123abcd.part"
    left.write_bytes(b"12")

    def locked(_file: object) -> bool:
        left.rename(tmp_path / "f")  # by who received it, and then let go of the lock
        return True

    monkeypatch.setattr("pydfsnode.client.part_file._locked", locked)
    assert not PartFile(tmp_path / "f").take_left_over()


def test_what_was_discarded_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".f.0123abcd.part").write_bytes(b"12")
    part = PartFile(tmp_path / "f")
    part.discard()
    assert not part.take_left_over()
