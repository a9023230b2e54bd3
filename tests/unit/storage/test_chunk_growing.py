"""The room that is promised to chunks while they grow, counted without asking each of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_growing import Growing, GrowingChunks

EXPECTED = 1000


class Writer:
    """As far as its room is concerned; counts how often it is looked at."""

    def __init__(self, chunk_id: int) -> None:
        self.chunk_id, self.version = chunk_id, 1
        self.written = self.looks = 0

    @property
    def written_bytes(self) -> int:
        self.looks += 1
        return self.written


def disks(*devices: int) -> list[ChunkDisk]:
    made = [ChunkDisk(Path(f"/nowhere/{number}")) for number in range(len(devices))]
    for disk, device in zip(made, devices, strict=True):
        disk.device = device
    return made


def test_what_is_promised_is_what_may_still_be_written() -> None:
    chance, growing = random.Random(5), GrowingChunks()
    places = disks(1, 1, 2)
    writers: dict[int, tuple[Any, ChunkDisk, int]] = {}

    def left(device: int) -> int:
        return sum(
            max(0, expected - writer.written)
            for writer, disk, expected in writers.values()
            if disk.device == device
        )

    for number in range(2000):
        kind = chance.randrange(5)
        if kind < 2 or not writers:
            disk, expected = chance.choice(places), chance.randrange(EXPECTED)
            writers[number] = cast(Any, Writer(number)), disk, expected
            growing.add(Growing(*writers[number]))
        elif kind == 2:
            growing.remove(writers.pop(chance.choice(list(writers)))[0])
        elif kind == 3:
            writer, disk, _ = writers[key := chance.choice(list(writers))]
            growing.release_room(writer)
            writers[key] = writer, disk, 0
        else:
            writers[chance.choice(list(writers))][0].written += chance.randrange(EXPECTED)
        assert growing.promised_bytes(1, exact=False) >= left(1)
        if chance.random() < 0.3:
            assert [growing.promised_bytes(device) for device in (1, 2)] == [left(1), left(2)]


def test_the_one_that_takes_the_place_of_an_older_version_is_counted_alone() -> None:
    (disk,), growing = disks(1), GrowingChunks()
    for version in (1, 2):
        writer: Any = Writer(7)
        writer.version = version
        growing.add(Growing(writer, disk, EXPECTED * version))
    assert growing.promised_bytes(1) == 2 * EXPECTED


def test_many_that_grow_are_not_all_looked_at_for_each_new_one() -> None:
    (disk,), growing = disks(1), GrowingChunks()
    writers: list[Any] = [Writer(number) for number in range(500)]
    for writer in writers:
        growing.promised_bytes(1, exact=False)
        growing.add(Growing(writer, disk, EXPECTED))
    assert growing.promised_bytes(1) == 500 * EXPECTED
    assert sum(writer.looks for writer in writers) < 10 * len(writers)
