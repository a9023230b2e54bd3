"""Rows of the state table as frames of a snapshot: packed, compressed, with a checksum.

Packed rows follow each other without padding, little-endian:

    u8 table    u16 key size    u32 value size    key    value

A frame is one zstandard frame of them that states its content's size, the CRC32C of the rows
uncompressed, and how many rows there are up to its end. Rows ascend by (table, key) over all
frames of a snapshot. The work belongs in a thread, and goes in slices: a thread that computes holds
the interpreter, and the loop must not wait for a whole frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, MalformedMessage, invariant

FRAME_ROWS_BYTES = 256 * limits.KIB
"""Packed rows that a frame aims at."""
FRAME_ROWS_BYTES_MAX = limits.ENTRY_BYTES_MAX
"""Packed rows in the largest frame: a single row that is larger than the aim."""
SLICE_ROWS, SLICE_BYTES = 64, 64 * limits.KIB
"""Either ends a slice: less than a millisecond of work."""
TABLE_FIRST, TABLE_LAST = 16, 79
"""The tables of the state machine; a frame with another one is refused."""

_HEAD = struct.Struct("<BHI")
_LEVEL = 1
_WINDOW_BYTES_MAX = 8 * limits.MIB

Place = tuple[int, bytes]
"""(table, key) of a row."""
StateRow = tuple[int, bytes, bytes]
"""(table, key, value)"""


@dataclass(frozen=True, slots=True)
class RowFrame:
    """One piece of a snapshot; `row_count` and `last` are as in dfs.proto."""

    rows: bytes
    crc32c: int
    row_count: int
    last: bool


@dataclass(frozen=True, slots=True)
class SnapshotReply:
    """What the receiver answers, to the opening and to the last frame; as in dfs.proto."""

    wanted: bool = False
    resume_after: Place | None = None
    row_count: int = 0
    installed: bool = False


@dataclass(frozen=True, slots=True)
class RowsSoFar:
    """Where the next frame goes on: rows before it, their CRC32C, the place of the last one."""

    row_count: int = 0
    crc32c: int = 0
    after: Place | None = None


class FrameCutter:
    """Cuts rows into frames. One thread at a time may use it.

    Args of the constructor:
        rows: ascending, those after what the receiver holds.
        row_count: rows that the receiver holds.
        frame_bytes: packed rows that a frame aims at.
    """

    def __init__(
        self, rows: Iterator[StateRow], row_count: int, frame_bytes: int = FRAME_ROWS_BYTES
    ) -> None:
        self._rows = rows
        self._row_count = row_count
        self._frame_bytes = min(frame_bytes, FRAME_ROWS_BYTES)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        self._pieces: list[bytes] = []
        self._size = 0
        self._pending: StateRow | None = None
        self._begun = False

    def work(self) -> RowFrame | None:
        """Do one slice of work; the next frame when it is ready, to be called again when None.

        After a frame that is `last` there are no more. Raises what `rows` does.
        """
        if not self._begun:
            self._begun = True
            self._pending = next(self._rows, None)
        end_size, row = self._size + SLICE_BYTES, self._pending
        for _ in range(SLICE_ROWS):
            if row is None:
                break
            table, key, value = row
            row_size = _HEAD.size + len(key) + len(value)
            if self._pieces and self._size + row_size > self._frame_bytes:
                self._pending = row
                return self._frame(last=False)
            invariant(row_size <= FRAME_ROWS_BYTES_MAX, "a row too large for a frame", table=table)
            self._pieces += (_HEAD.pack(table, len(key), len(value)), key, value)
            self._size += row_size
            row = next(self._rows, None)
            if self._size >= end_size:
                break
        self._pending = row
        return self._frame(last=True) if row is None else None

    def _frame(self, *, last: bool) -> RowFrame:
        self._row_count += len(self._pieces) // 3
        packed = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        return RowFrame(self._compressor.compress(packed), crc32c(packed), self._row_count, last)


def frame_slices(frame: RowFrame, so_far: RowsSoFar) -> Iterator[tuple[list[StateRow], RowsSoFar]]:
    """The rows of *frame* in slices, each with where it ends; it must go on where *so_far* ends.

    The checksum of the whole frame is verified before the first slice.

    Raises:
        MalformedMessage: it is no frame, too large, or its rows do not continue those before.
        CorruptionError: the rows do not have the checksum that was sent.
    """
    packed = _decompress(frame.rows)
    found = crc32c(packed)
    if found != frame.crc32c:
        raise CorruptionError(
            f"snapshot frame up to row {frame.row_count}: crc32c {found:08x}, sent "
            f"{frame.crc32c:08x}"
        )
    if not packed and not frame.last:
        raise MalformedMessage("snapshot frame without rows that is not the last")
    start = 0
    while start < len(packed):
        rows, end = _unpack(packed, start, so_far.after)
        crc = crc32c(memoryview(packed)[start:end], so_far.crc32c)
        so_far = RowsSoFar(so_far.row_count + len(rows), crc, rows[-1][:2])
        start = end
        if start == len(packed):
            _check_count(frame, so_far)
        yield rows, so_far
    _check_count(frame, so_far)


def _check_count(frame: RowFrame, so_far: RowsSoFar) -> None:
    if frame.row_count != so_far.row_count:
        raise MalformedMessage(
            f"snapshot frame that ends with row {so_far.row_count} says {frame.row_count}"
        )


def _decompress(compressed: bytes) -> bytes:
    try:
        # Never more than this is allocated: the decompressor fills a buffer of the stated size.
        size = zstandard.get_frame_parameters(compressed).content_size
        if size > FRAME_ROWS_BYTES_MAX:  # an unstated size is a huge number
            raise MalformedMessage(
                f"snapshot frame of {size} bytes of rows, at most {FRAME_ROWS_BYTES_MAX}"
            )
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
        packed = decompressor.decompress(compressed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MalformedMessage(f"snapshot frame cannot be decompressed: {error}") from None
    if len(packed) != size:
        raise MalformedMessage(f"snapshot frame of {len(packed)} bytes of rows, said {size}")
    return packed


def _unpack(packed: bytes, position: int, after: Place | None) -> tuple[list[StateRow], int]:
    """A slice of the rows in *packed* from *position* on, all past *after*, and where it ends."""
    rows: list[StateRow] = []
    head, head_size = _HEAD.unpack_from, _HEAD.size
    place: Place = after or (0, b"")
    end, slice_end = len(packed), position + SLICE_BYTES
    while position < min(end, slice_end) and len(rows) < SLICE_ROWS:
        key_at = position + head_size
        if key_at > end:
            raise MalformedMessage(f"snapshot frame of {end} bytes is cut at {position}")
        table, key_size, value_size = head(packed, position)
        value_at = key_at + key_size
        position = value_at + value_size
        key = packed[key_at:value_at]
        if position > end or not TABLE_FIRST <= table <= TABLE_LAST or (table, key) <= place:
            raise MalformedMessage(
                f"snapshot row {key.hex()[:64]} of table {table} is cut, out of order or of no "
                "table of the state"
            )
        place = (table, key)
        rows.append((table, key, packed[value_at:position]))
    return rows, position
