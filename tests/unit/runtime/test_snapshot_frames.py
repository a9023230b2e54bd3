"""Rows as frames: what is cut comes back, and nothing else is taken."""

from __future__ import annotations

import dataclasses
import struct

import pytest
import zstandard

from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, InvariantViolation, MalformedMessage
from pydfsnode.runtime import snapshot_frames
from pydfsnode.runtime.snapshot_frames import (
    FRAME_ROWS_BYTES,
    FRAME_ROWS_BYTES_MAX,
    SLICE_BYTES,
    SLICE_ROWS,
    FrameCutter,
    RowFrame,
    RowsSoFar,
    StateRow,
    frame_slices,
)

from .snapshot_fakes import state_rows


def packed(*rows: StateRow) -> bytes:
    return b"".join(struct.pack("<BHI", t, len(k), len(v)) + k + v for t, k, v in rows)


def frame_of(content: bytes, row_count: int, *, last: bool = True) -> RowFrame:
    return RowFrame(zstandard.compress(content), crc32c(content), row_count, last)


def decode_frame(frame: RowFrame, so_far: RowsSoFar) -> tuple[list[StateRow], RowsSoFar]:
    taken: list[StateRow] = []
    for rows, end in frame_slices(frame, so_far):
        assert 0 < len(rows) <= SLICE_ROWS
        taken, so_far = taken + rows, end
    return taken, so_far


def all_frames(rows: list[StateRow], frame_bytes: int) -> list[RowFrame]:
    cutter = FrameCutter(iter(rows), 0, frame_bytes)
    frames: list[RowFrame] = []
    while not frames or not frames[-1].last:
        frame = cutter.work()
        if frame is not None:
            frames.append(frame)
    return frames


@pytest.mark.parametrize("frame_bytes", [1, 100, 5_000, 1 << 30])
def test_what_is_cut_comes_back(frame_bytes: int) -> None:
    rows = state_rows(40, 500)
    taken: list[StateRow] = []
    so_far = RowsSoFar()
    for frame in all_frames(rows, frame_bytes):
        got, so_far = decode_frame(frame, so_far)
        taken += got
    assert taken == rows
    assert so_far == RowsSoFar(40, crc32c(packed(*rows)), rows[-1][:2])


def test_work_comes_in_slices() -> None:
    cutter = FrameCutter(iter(state_rows(SLICE_ROWS * 3, 8)), 0)
    assert [cutter.work() is None for _ in range(3)] == [True, True, False]
    cutter = FrameCutter(iter(state_rows(8, SLICE_BYTES)), 0)
    assert cutter.work() is None
    frames = all_frames(state_rows(1_000, 8), FRAME_ROWS_BYTES)
    ends = [end.row_count for _, end in frame_slices(frames[0], RowsSoFar())]
    assert ends == [*range(SLICE_ROWS, 1_000, SLICE_ROWS), 1_000]


def test_frames_are_about_as_large_as_they_should_be() -> None:
    frames = all_frames(state_rows(1_000, 3_000), FRAME_ROWS_BYTES)
    sizes = [zstandard.get_frame_parameters(frame.rows).content_size for frame in frames]
    assert len(frames) == 12
    assert all(0.98 * FRAME_ROWS_BYTES < size <= FRAME_ROWS_BYTES for size in sizes[:-1])


def test_no_rows_are_one_empty_last_frame() -> None:
    so_far = RowsSoFar(7, 9, (16, b"k"))
    frame = FrameCutter(iter([]), 7).work()
    assert frame is not None
    assert frame.last
    assert decode_frame(frame, so_far) == ([], so_far)


def test_a_row_larger_than_the_aim_has_a_frame_of_its_own() -> None:
    large = (16, b"b", b"x" * (2 * FRAME_ROWS_BYTES))
    frames = all_frames([(16, b"a", b"1"), large, (16, b"c", b"2")], FRAME_ROWS_BYTES)
    assert [frame.row_count for frame in frames] == [1, 2, 3]
    with pytest.raises(InvariantViolation):
        all_frames([(16, b"a", bytes(FRAME_ROWS_BYTES_MAX))], FRAME_ROWS_BYTES)


def test_a_wrong_checksum_is_found() -> None:
    frame = frame_of(packed((16, b"a", b"1")), 1)
    with pytest.raises(CorruptionError, match="crc32c"):
        decode_frame(dataclasses.replace(frame, crc32c=frame.crc32c ^ 1), RowsSoFar())


def test_no_flipped_bit_passes() -> None:
    (frame,) = all_frames(state_rows(3, 40), FRAME_ROWS_BYTES)
    whole, _ = decode_frame(frame, RowsSoFar())
    for position in range(len(frame.rows)):
        damaged = bytearray(frame.rows)
        damaged[position] ^= 0x10
        try:
            rows, _ = decode_frame(dataclasses.replace(frame, rows=bytes(damaged)), RowsSoFar())
        except (CorruptionError, MalformedMessage):
            continue
        assert rows == whole  # a bit that means nothing to the decompressor


def test_a_cut_frame_is_refused() -> None:
    (frame,) = all_frames(state_rows(3, 40), FRAME_ROWS_BYTES)
    for size in range(len(frame.rows)):
        with pytest.raises(MalformedMessage):
            decode_frame(dataclasses.replace(frame, rows=frame.rows[:size]), RowsSoFar())
    with pytest.raises(MalformedMessage):
        decode_frame(dataclasses.replace(frame, rows=frame.rows + b"x"), RowsSoFar())


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bytes(FRAME_ROWS_BYTES_MAX + 1)
    unstated = zstandard.ZstdCompressor(write_content_size=False).compress(bomb)

    def never(**_: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(snapshot_frames.zstandard, "ZstdDecompressor", never)
    for rows in (zstandard.compress(bomb), unstated):
        with pytest.raises(MalformedMessage, match="at most"):
            decode_frame(RowFrame(rows, crc32c(bomb), 1, True), RowsSoFar())


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    content = packed((16, b"a", bytes(5_000)))
    honest = bytearray(zstandard.compress(content))
    size = len(content) - 256  # a 2-byte size field holds the size less 256
    at = honest.index(size.to_bytes(2, "little"))
    honest[at : at + 2] = (10).to_bytes(2, "little")
    with pytest.raises(MalformedMessage):
        decode_frame(RowFrame(bytes(honest), crc32c(content), 1, True), RowsSoFar())


@pytest.mark.parametrize(
    "content",
    [
        packed((16, b"a", b"1"))[:-1],
        packed((16, b"a", b"1"))[:5],
        packed((16, b"b", b"1"), (16, b"a", b"2")),
        packed((16, b"a", b"1"), (16, b"a", b"2")),
        packed((2, b"a", b"1")),
        packed((80, b"a", b"1")),
    ],
    ids=["cut value", "cut head", "order", "twice", "table of the log", "table of nobody"],
)
def test_rows_that_cannot_be_are_refused(content: bytes) -> None:
    count = 2 if len(content) > 12 else 1
    with pytest.raises(MalformedMessage, match=r"row|cut"):
        decode_frame(frame_of(content, count), RowsSoFar())


def test_rows_must_continue_those_before() -> None:
    frame = frame_of(packed((16, b"b", b"1")), 5)
    assert decode_frame(frame, RowsSoFar(4, 0, (16, b"a")))[1].row_count == 5
    for before in (RowsSoFar(3, 0, (16, b"a")), RowsSoFar(4, 0, (16, b"b"))):
        with pytest.raises(MalformedMessage):
            decode_frame(frame, before)


def test_an_empty_frame_that_is_not_the_last_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode_frame(frame_of(b"", 0, last=False), RowsSoFar())
