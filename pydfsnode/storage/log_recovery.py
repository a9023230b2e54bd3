"""Reads a master's log at start and proves it whole; whatever is not proven refuses to start.

Checked: each record's seal and CRC, indexes without a gap, terms that never decrease, the ends that
the bounds row names, and the durable mark. Nothing here is ever taken for the end of the log.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydfsnode import limits
from pydfsnode._fast import scan_entries
from pydfsnode.errors import CorruptionError
from pydfsnode.raft.effects import HardState
from pydfsnode.storage.sealed import (
    TABLE_ENTRY,
    TABLE_HARD_STATE,
    TABLE_LOG_BOUNDS,
    TABLE_MEMBERSHIP,
    SealedStore,
)

REMEDY = (
    "this master must not go on: its promises to the others may be lost. The other masters hold "
    "the same entries and keep serving; check this node's disk and restore its data directory "
    "from its own backup"
)

_BOUNDS = struct.Struct("<QQQQQI")
_HARD_STATE = struct.Struct("<QH")
_ENTRY_CRC = struct.Struct("<I")
_SCAN_BYTES = 1 * limits.MIB

Scanned = tuple[int, int, int, bytes]
"""(index, term, kind, entry) as `scan_entries` gives it."""


class LogBounds(NamedTuple):
    """The row written with each group: where the log ends, so that a lost end shows."""

    group: int = 0
    first_index: int = 1
    last_index: int = 0
    prev_term: int = 0
    last_term: int = 0
    last_crc: int = 0

    def encode(self) -> bytes:
        """As FORMAT.md says."""
        return _BOUNDS.pack(*self)

    @classmethod
    def decode(cls, encoded: bytes) -> LogBounds:
        """Undo `encode`; raises CorruptionError."""
        try:
            return cls(*_BOUNDS.unpack(encoded))
        except struct.error as error:
            raise CorruptionError(f"log bounds: {error}; {REMEDY}") from error


class Recovered(NamedTuple):
    """What the log held, proven whole."""

    bounds: LogBounds
    hard_state: HardState
    term_runs: list[tuple[int, int]]
    membership: bytes | None
    is_new: bool


def encode_hard_state(state: HardState) -> bytes:
    """As FORMAT.md says."""
    vote = state.vote.encode()
    return _HARD_STATE.pack(state.term, len(vote)) + vote


def decode_hard_state(encoded: bytes) -> HardState:
    """Undo `encode_hard_state`; raises CorruptionError."""
    try:
        term, size = _HARD_STATE.unpack_from(encoded)
        vote = encoded[_HARD_STATE.size :]
        if len(vote) != size:
            raise ValueError(f"the vote has {len(vote)} bytes, not {size}")
        return HardState(term, vote.decode())
    except (struct.error, ValueError) as error:
        raise CorruptionError(f"hard state: {error}; {REMEDY}") from error


def entry_crc(entry: bytes) -> int:
    """The CRC at an encoded entry's head."""
    return int(_ENTRY_CRC.unpack_from(entry)[0])


def recover(store: SealedStore, marked_group: int | None) -> Recovered:
    """Walk the log in *store*.

    Args:
        marked_group: what the durable mark says; None when there is no mark.

    Raises:
        CorruptionError, SealBroken: naming the record, what is wrong with it and what to do.
    """
    encoded = store.get(TABLE_LOG_BOUNDS, b"")
    if encoded is None:
        _require_empty(store, marked_group)
        return Recovered(LogBounds(), HardState(), [], None, True)
    bounds = LogBounds.decode(encoded)
    _require_marked(bounds, marked_group)
    term_runs = _walk(store, bounds)
    state = store.get(TABLE_HARD_STATE, b"")
    hard_state = HardState() if state is None else decode_hard_state(state)
    if bounds.last_term > hard_state.term:
        raise CorruptionError(
            f"hard state: term {hard_state.term} is below the last entry's {bounds.last_term}: "
            f"the record is missing or old; {REMEDY}"
        )
    return Recovered(bounds, hard_state, term_runs, store.get(TABLE_MEMBERSHIP, b""), False)


def check_entries(first: int, entries: Sequence[bytes]) -> list[Scanned]:
    """*entries* verified: CRC, form, and indexes first, first + 1, ...

    Raises:
        CorruptionError: naming the entry.
    """
    try:
        scanned = scan_entries(b"".join(entries))
    except ValueError:
        scanned = []  # found again one by one, to name the entry
    if len(scanned) == len(entries) and all(
        scanned[i][0] == first + i for i in range(len(scanned))
    ):
        return scanned
    return [_check_entry(index, entry) for index, entry in enumerate(entries, first)]


def _check_entry(index: int, entry: bytes) -> Scanned:
    try:
        (scanned,) = scan_entries(entry)
    except ValueError as error:
        raise CorruptionError(f"log entry {index}: {error}; {REMEDY}") from error
    if scanned[0] != index:
        raise CorruptionError(f"log entry {index}: the record says {scanned[0]}; {REMEDY}")
    return scanned


def _require_empty(store: SealedStore, marked_group: int | None) -> None:
    """No bounds row: only right when nothing was ever written."""
    leftover = next(store.kv.scan(b"", b"\xff"), None)
    if leftover is not None:
        raise CorruptionError(
            f"log bounds: the record is missing though the log holds others; {REMEDY}"
        )
    if marked_group:
        raise CorruptionError(
            f"the log is empty, but its durable mark says that {marked_group} groups were written "
            f"to it; {REMEDY}"
        )


def _require_marked(bounds: LogBounds, marked_group: int | None) -> None:
    if marked_group is not None and marked_group > bounds.group:
        raise CorruptionError(
            f"the log ends with group {bounds.group}, but group {marked_group} was durable: its "
            f"last {marked_group - bounds.group} groups are lost; {REMEDY}"
        )


def _walk(store: SealedStore, bounds: LogBounds) -> list[tuple[int, int]]:
    """Verify every entry against *bounds*; return the (first index, term) runs."""
    runs: list[tuple[int, int]] = []
    expected, term, crc = bounds.first_index, bounds.prev_term, 0
    for first, entries in _slices(store):
        if first != expected:
            raise CorruptionError(f"log entry {expected}: the record is missing; {REMEDY}")
        for index, entry_term, _, _ in check_entries(first, entries):
            if entry_term < term:
                raise CorruptionError(
                    f"log entry {index}: its term {entry_term} is below {term} of the one before; "
                    f"the record was replaced; {REMEDY}"
                )
            if entry_term > term:
                runs.append((index, entry_term))
                term = entry_term
        crc = entry_crc(entries[-1])
        expected += len(entries)
    if expected != bounds.last_index + 1:
        raise CorruptionError(
            f"log entry {min(expected, bounds.last_index + 1)}: the log ends with "
            f"{expected - 1}, its bounds say {bounds.last_index}; {REMEDY}"
        )
    if bounds.last_index >= bounds.first_index and (term, crc) != (
        bounds.last_term,
        bounds.last_crc,
    ):
        raise CorruptionError(
            f"log entry {bounds.last_index}: it is not the one that the bounds name; the record "
            f"was replaced; {REMEDY}"
        )
    return runs


def _slices(store: SealedStore) -> Iterator[tuple[int, list[bytes]]]:
    """Entries with consecutive keys in slices of about a MiB: (first index, entries)."""
    first, size = 0, 0
    entries: list[bytes] = []
    for key, entry in store.scan(TABLE_ENTRY):
        index = int.from_bytes(key, "big")
        if entries and (index != first + len(entries) or size > _SCAN_BYTES):
            yield first, entries
            entries, size = [], 0
        if not entries:
            first = index
        entries.append(entry)
        size += len(entry)
    if entries:
        yield first, entries
