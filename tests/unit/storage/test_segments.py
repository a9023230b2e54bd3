"""Small chunks in segments: written together, read back, deleted, restarted, damaged."""

import errno
import os
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import pydfsnode.storage
from pydfsnode._fast import block_checksums, crc32c
from pydfsnode.errors import (
    CorruptionError,
    DiskFull,
    DurabilityFailure,
    ReplicaNotFound,
    StaleChunkVersion,
)
from pydfsnode.limits import BLOCK_BYTES, MIB
from pydfsnode.storage import segment_format
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_format import Tail
from pydfsnode.storage.chunk_replicas import ChunkReplicas
from pydfsnode.storage.segment_format import CHUNK, TOMBSTONE, Entry, SegmentName
from tests.support.memory_directory import memory_directory
from tests.support.packed_chunks import (
    PACK_MAX,
    begin_chunk,
    chunk_content,
    crashed_copy,
    open_replicas,
    read_chunk,
    segment_files,
    write_chunk,
    write_chunks,
)

SIZES = [1, 7, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5, PACK_MAX]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture
def held(tmp_path: Path) -> ChunkReplicas:
    return open_replicas(tmp_path)


def _chunk_files(directory: Path) -> list[Path]:
    return [path for path in (directory / "chunks").rglob("*") if path.is_file()]


@pytest.mark.parametrize("closed", [False, True])
def test_small_chunks_are_read_back_before_and_after_a_restart(
    tmp_path: Path, closed: bool
) -> None:
    directory = tmp_path / "d"
    held = open_replicas(directory)
    for number, size in enumerate(SIZES):
        write_chunk(held, number, chunk_content(size, number))
    if closed:
        held.close()
    for found in (held, crashed_copy(directory, tmp_path / "after")):
        for number, size in enumerate(SIZES):
            assert read_chunk(found, number) == chunk_content(size, number)
            replica = found.find(number, 1)
            with found.reader(replica) as reader:
                middle = size // 2
                assert reader.read(middle, 1) == chunk_content(size, number)[middle : middle + 1]
    assert _chunk_files(directory) == []
    assert len(segment_files(directory)) == 1


def test_larger_chunks_are_files_and_are_summed_as_they_came(held: ChunkReplicas) -> None:
    content = chunk_content(PACK_MAX + 1)
    write_chunk(held, 5, content)
    assert read_chunk(held, 5) == content
    assert len(_chunk_files(held.disks.all[0].directory)) == 1


def test_many_share_one_sync(held: ChunkReplicas, monkeypatch: pytest.MonkeyPatch) -> None:
    write_chunk(held, 0, b"the segment is there")
    writers = [
        (begin_chunk(held, chunk_id, chunk_content(5000, chunk_id)), None)
        for chunk_id in range(1, 90)
    ]
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    results = held.finish_all(writers)
    assert results == [crc32c(chunk_content(5000, n)) for n in range(1, 90)]
    assert len(synced) == 1
    assert all(read_chunk(held, n) == chunk_content(5000, n) for n in range(1, 90))


def test_one_that_cannot_be_finished_does_not_harm_the_others(held: ChunkReplicas) -> None:
    good, bad, taken = (begin_chunk(held, n, b"content %d" % n) for n in (1, 2, 3))
    held.drop(taken, "its stream ended")
    results = held.finish_all([(good, None), (bad, 77), (taken, None)])
    assert results[0] == crc32c(b"content 1")
    assert isinstance(results[1], CorruptionError)
    assert isinstance(results[2], StaleChunkVersion)
    assert read_chunk(held, 1) == b"content 1"
    assert held.index.get(2) is None
    assert len(held.growing) == 0


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("length", [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 9])
def test_a_seal_cuts_a_small_chunk(tmp_path: Path, finished: bool, length: int) -> None:
    held = open_replicas(tmp_path / "d")
    content = chunk_content(2 * BLOCK_BYTES)
    writer = begin_chunk(held, 5, content)
    if finished:
        held.finish(writer)
    assert held.seal(5, 1, 2, length) == crc32c(content[:length])
    for found in (held, crashed_copy(tmp_path / "d", tmp_path / "after")):
        assert read_chunk(found, 5, 2) == content[:length]
        with pytest.raises(StaleChunkVersion):
            found.find(5, 1)
    with pytest.raises(StaleChunkVersion):
        held.finish(writer)


def test_deleted_and_replaced_chunks_stay_so_when_that_was_written(tmp_path: Path) -> None:
    held = open_replicas(tmp_path / "d")
    for chunk_id in range(10):
        write_chunk(held, chunk_id, b"old %d" % chunk_id)
    held.delete(3, 1)
    write_chunk(held, 4, b"newer", 2)
    held.delete(5, 1)
    write_chunk(held, 5, b"again")
    for disk in held.disks.live:
        held.check(disk)
    again = crashed_copy(tmp_path / "d", tmp_path / "after")
    assert again.index.get(3) is None
    assert read_chunk(again, 4, 2) == b"newer"
    assert read_chunk(again, 5) == b"again"
    assert len(again.index) == 9
    assert again.disks.all[0].segments.dead_bytes == held.disks.all[0].segments.dead_bytes


def test_the_packed_copy_of_a_version_that_was_a_file_replaces_it(tmp_path: Path) -> None:
    plain = ChunkReplicas([ChunkDisk(tmp_path)], lambda: None)
    plain.open()
    write_chunk(plain, 5, b"in a file")
    write_chunk(plain, 6, b"stays in its file")
    held = open_replicas(tmp_path)
    assert read_chunk(held, 6) == b"stays in its file"
    write_chunk(held, 5, b"packed", 2)
    assert [path.name for path in _chunk_files(tmp_path)] == [f"{6:016x}.1"]
    held.delete(6, 1)
    assert _chunk_files(tmp_path) == []


def test_a_full_segment_is_closed_and_the_next_one_begun(tmp_path: Path) -> None:
    held = open_replicas(tmp_path / "d", segment_bytes=3 * BLOCK_BYTES)
    write_chunks(held, 12, BLOCK_BYTES)
    assert len(segment_files(tmp_path / "d")) == 4
    again = crashed_copy(tmp_path / "d", tmp_path / "after")
    assert all(read_chunk(again, n) == chunk_content(BLOCK_BYTES, n) for n in range(12))


def test_a_start_after_a_crash_forgets_a_torn_end_and_tells_damage_before_it(
    tmp_path: Path,
) -> None:
    held = open_replicas(tmp_path / "d")
    for chunk_id in range(4):
        write_chunk(held, chunk_id, chunk_content(1000, chunk_id + 1))
    (path,) = segment_files(tmp_path / "d")
    content = bytearray(path.read_bytes())
    content[-500:] = bytes(500)  # the size was written, the data not
    content[40 + 1064 + 500] ^= 1  # in the second chunk
    path.write_bytes(content)
    again = crashed_copy(tmp_path / "d", tmp_path / "after")
    assert [replica.chunk_id for replica in again.index.listing()[1]] == [0, 1, 2]
    assert again.index.corrupt() == [1]


def _cut_points(path: Path) -> range:
    return range(0, path.stat().st_size + 1, 24)


def test_a_segment_cut_anywhere_gives_the_chunks_before_the_cut_whole(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    held = open_replicas(directory)
    ends = []
    for chunk_id in range(5):
        write_chunk(held, chunk_id, chunk_content(300 + chunk_id, chunk_id + 1))
        ends.append(segment_files(directory)[0].stat().st_size)
    whole = segment_files(directory)[0].read_bytes()
    for cut in (*_cut_points(segment_files(directory)[0]), *ends):
        after = tmp_path / "after"
        shutil.rmtree(after, ignore_errors=True)
        (after / "segments").mkdir(parents=True)
        (after / "segments" / f"{1:016x}.seg").write_bytes(whole[:cut])
        again = open_replicas(after)
        found = {replica.chunk_id for replica in again.index.listing()[1]}
        assert found >= {n for n in range(5) if ends[n] <= cut}
        for chunk_id in found:
            assert read_chunk(again, chunk_id) == chunk_content(300 + chunk_id, chunk_id + 1)
        write_chunk(again, 99, b"goes on")
        assert read_chunk(open_replicas(after), 99) == b"goes on"


@pytest.mark.parametrize("closed", [False, True])
def test_no_flipped_bit_gives_a_wrong_byte(tmp_path: Path, closed: bool) -> None:
    directory = tmp_path / "d"
    held = open_replicas(directory)
    for chunk_id in range(4):
        write_chunk(held, chunk_id, chunk_content(200, chunk_id + 1))
    held.delete(2, 1)
    for disk in held.disks.live:
        held.check(disk)
    if closed:
        held.close()
    (path,) = segment_files(directory)
    whole = path.read_bytes()
    after = tmp_path / "after"
    wrong = 0
    for position in range(len(whole)):
        shutil.rmtree(after, ignore_errors=True)
        (after / "segments").mkdir(parents=True)
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        (after / "segments" / path.name).write_bytes(damaged)
        again = open_replicas(after)
        for replica in again.index.listing()[1]:
            try:
                assert read_chunk(again, replica.chunk_id) == chunk_content(
                    200, replica.chunk_id + 1
                )
            except CorruptionError:
                wrong += 1
                assert replica.chunk_id in again.index.corrupt()
    assert wrong > 300  # damage in the data is told, not only forgotten


def test_what_somebody_stored_does_not_pass_for_a_record(tmp_path: Path) -> None:
    held = open_replicas(tmp_path)
    forged = b""
    for salt in (0, 1, 2**64 - 1):
        data = b"forged"
        tail = Tail(crc32c(data), block_checksums(data, BLOCK_BYTES))
        for offset in range(0, 4096, 8):
            entry = Entry(77, 9, 0, offset, len(data), CHUNK)
            forged += segment_format.encode_head(salt, entry, tail) + data + bytes(6)
    write_chunk(held, 1, forged[:PACK_MAX])
    (path,) = segment_files(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[segment_format.HEADER_BYTES + 3] ^= 1
    path.write_bytes(damaged)
    assert open_replicas(tmp_path).index.get(77) is None


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_full_disk_refuses_the_batch_and_gives_the_room_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    held = open_replicas(tmp_path)
    write_chunk(held, 1, b"before")
    size = segment_files(tmp_path)[0].stat().st_size

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writers = [(begin_chunk(held, n, chunk_content(9000, n)), None) for n in (2, 3)]
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        results = held.finish_all(writers)
    assert [type(result) for result in results] == [DiskFull, DiskFull]
    assert [path.stat().st_size for path in segment_files(tmp_path)] == [size]
    assert held.disks.failed == []
    write_chunk(held, 2, b"again")
    assert (read_chunk(held, 1), read_chunk(held, 2)) == (b"before", b"again")
    again = open_replicas(tmp_path)
    assert (read_chunk(again, 1), read_chunk(again, 2)) == (b"before", b"again")
    assert again.index.get(3) is None


def test_a_failed_sync_of_a_segment_ends_the_disk_and_is_not_retried(
    held: ChunkReplicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def failing(fd: int) -> None:
        synced.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    writer = begin_chunk(held, 1, b"content")
    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(DurabilityFailure):
        held.finish(writer)
    held.close()
    assert len(synced) == 1
    assert held.index.get(1) is None


def test_a_segment_removed_behind_our_back_is_forgotten(held: ChunkReplicas) -> None:
    write_chunk(held, 1, b"content")
    held.close()
    again = open_replicas(held.disks.all[0].directory)
    segment_files(held.disks.all[0].directory)[0].unlink()
    with pytest.raises(ReplicaNotFound):
        read_chunk(again, 1)
    assert again.index.get(1) is None


def test_memory_of_chunks_that_wait_is_bounded(tmp_path: Path) -> None:
    held = open_replicas(tmp_path)
    content = chunk_content(PACK_MAX)
    for chunk_id in range(64 * MIB // PACK_MAX + 3):
        held.append(held.create(chunk_id, 1, PACK_MAX), [content])
    assert len(list((tmp_path / "tmp").iterdir())) == 3
    for growing in held.growing.all():
        held.drop(growing.writer, "not wanted")
    writer = held.create(1000, 1, PACK_MAX)
    held.append(writer, [content])
    assert writer.is_held


def test_the_written_vector_is_what_the_code_writes() -> None:
    text = (Path(pydfsnode.storage.__file__).parent / "FORMAT-chunks.md").read_text()
    text = text[text.index("## Test vector of a segment") : text.index("## Sealed at rest")]
    vector = bytes.fromhex("".join(re.findall(r"^[0-9a-f]{16,64}$", text, re.MULTILINE)))
    name = SegmentName(5, 0x1122334455667788)
    tail = Tail(crc32c(b"abc"), block_checksums(b"abc", BLOCK_BYTES))
    chunk = Entry(0x102, 3, 0, 40, 3, CHUNK)
    end = Entry(0x101, 2, 4, 104, 40, TOMBSTONE)
    content = segment_format.encode_header(name)
    content += segment_format.encode_head(name.salt, chunk, tail) + b"abc" + bytes(1)
    content += segment_format.encode_head(name.salt, end)
    assert len(content) == 160
    content += segment_format.encode_index(name, [chunk, end], 160)
    assert vector == content
    assert struct.unpack_from("<Q", content, 16) == (5,)
