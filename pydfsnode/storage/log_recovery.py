"""Reads a master's log at start and proves it whole; whatever is not proven refuses to start.

Checked: each record's seal and CRC, indexes without a gap, terms that never decrease, the ends that
the bounds row names, and the durable mark. Nothing here is ever taken for the end of the log; its
head is missing only below the first index of the bounds, and only with what replaces it: a state
that reaches as far, and the members of then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydfsnode import limits
from pydfsnode._fast import entry_payload, scan_entries
from pydfsnode.errors import CorruptionError
from pydfsnode.raft.effects import HardState
from pydfsnode.raft.types import KIND_CONFIGURATION
from pydfsnode.storage.entry_sizes import EntrySizes
from pydfsnode.storage.log_bounds import REMEDY, LogBounds
from pydfsnode.storage.sealed import (
    TABLE_ENTRY,
    TABLE_HARD_STATE,
    TABLE_LOG_BOUNDS,
    TABLE_MEMBERSHIP,
    TABLE_NODE,
    TABLE_STAGE,
    SealedStore,
)
from pydfsnode.storage.snapshot_stage import StageProgress
from pydfsnode.storage.term_runs import checksum, row_checksum

_HARD_STATE = struct.Struct("<QH")
_INCARNATION = struct.Struct("<I")
_ENTRY_CRC = struct.Struct("<I")
_SCAN_BYTES = 1 * limits.MIB

Scanned = tuple[int, int, int, bytes]
"""(index, term, kind, entry) as `scan_entries` gives it."""


@dataclass(slots=True)
class Walked:
    """What the walk over all entries found.

    `term_runs` are (first index, term); `configurations` (index, payload) of entries of that kind.
    """

    term_runs: list[tuple[int, int]] = field(default_factory=list)
    configurations: list[tuple[int, bytes]] = field(default_factory=list)
    sizes: EntrySizes = field(default_factory=EntrySizes)


@dataclass(slots=True)
class Recovered:
    """What the store held, proven whole.

    `incarnation` is None in a store that has not been given one yet; `is_new`: it holds nothing.
    """

    bounds: LogBounds = field(default_factory=LogBounds)
    hard_state: HardState = field(default_factory=HardState)
    walked: Walked = field(default_factory=Walked)
    membership: bytes | None = None
    progress: StageProgress | None = None
    incarnation: int | None = None
    is_new: bool = False
    hard_state_crc: int = 0


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


def encode_incarnation(incarnation: int) -> bytes:
    """As FORMAT.md says."""
    return _INCARNATION.pack(incarnation)


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
    incarnation = _load_incarnation(store)
    encoded = store.get(TABLE_LOG_BOUNDS, b"")
    if encoded is None:
        _require_empty(store, marked_group)
        return Recovered(
            LogBounds(incarnation=incarnation or 0),
            incarnation=incarnation,
            is_new=incarnation is None,
        )
    bounds = LogBounds.decode(encoded)
    _require_marked(bounds, marked_group)
    if bounds.incarnation != (incarnation or 0):
        raise CorruptionError(
            f"incarnation: the record says {incarnation}, the bounds say {bounds.incarnation}: it "
            f"is missing or was replaced; {REMEDY}"
        )
    walked = _walk(store, bounds)
    state = store.get(TABLE_HARD_STATE, b"")
    hard_state = HardState() if state is None else decode_hard_state(state)
    if bounds.last_term > hard_state.term:
        raise CorruptionError(
            f"hard state: term {hard_state.term} is below the last entry's {bounds.last_term}: "
            f"the record is missing or old; {REMEDY}"
        )
    membership = store.get(TABLE_MEMBERSHIP, b"")
    _require_head(bounds, membership)
    _require_named(bounds, state, membership, walked)
    progress = store.get(TABLE_STAGE, b"")
    return Recovered(
        bounds,
        hard_state,
        walked,
        membership,
        None if progress is None else StageProgress.decode(progress),
        incarnation or 0,
        hard_state_crc=row_checksum(state),
    )


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


def _load_incarnation(store: SealedStore) -> int | None:
    encoded = store.get(TABLE_NODE, b"")
    if encoded is None:
        return None
    try:
        return int(_INCARNATION.unpack(encoded)[0])
    except struct.error as error:
        raise CorruptionError(f"incarnation: {error}; {REMEDY}") from error


def _require_empty(store: SealedStore, marked_group: int | None) -> None:
    """No bounds row: only right when nothing was ever written but the incarnation."""
    if any(key != bytes([TABLE_NODE]) for key, _ in store.kv.scan(b"", b"\xff")):
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


def _require_head(bounds: LogBounds, membership: bytes | None) -> None:
    """What a compaction or a snapshot took from the log's head lives on in the state (C5, C6)."""
    if not bounds.first_index - 1 <= bounds.state_index <= bounds.last_index:
        raise CorruptionError(
            f"log bounds: the state is the one after entry {bounds.state_index}, the log holds "
            f"entries {bounds.first_index} to {bounds.last_index}; {REMEDY}"
        )
    if bounds.first_index > 1 and membership is None:
        raise CorruptionError(
            f"membership: the record is missing though the log begins with entry "
            f"{bounds.first_index}; {REMEDY}"
        )


def _require_named(
    bounds: LogBounds, state: bytes | None, membership: bytes | None, walked: Walked
) -> None:
    """None of these is an older one that was put back; each has a seal that opens."""
    for what, named, found in (
        ("hard state", bounds.hard_state_crc, row_checksum(state)),
        ("membership", bounds.membership_crc, row_checksum(membership)),
        ("the terms of the log's entries", bounds.terms_crc, checksum(walked.term_runs)),
    ):
        if named not in (0, found):
            raise CorruptionError(
                f"{what}: not what the log bounds name; a record was replaced by an older one, "
                f"or removed; {REMEDY}"
            )


def _walk(store: SealedStore, bounds: LogBounds) -> Walked:
    """Verify every entry against *bounds*."""
    walked = Walked()
    expected, term, crc = bounds.first_index, bounds.prev_term, 0
    for first, entries in _slices(store):
        if first != expected:
            raise CorruptionError(f"log entry {expected}: the record is missing; {REMEDY}")
        for index, entry_term, kind, entry in check_entries(first, entries):
            if entry_term < term:
                raise CorruptionError(
                    f"log entry {index}: its term {entry_term} is below {term} of the one before; "
                    f"the record was replaced; {REMEDY}"
                )
            if entry_term > term or not walked.term_runs:
                walked.term_runs.append((index, entry_term))
                term = entry_term
            if kind == KIND_CONFIGURATION:
                walked.configurations.append((index, entry_payload(entry)))
        walked.sizes.extend(entries)
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
    return walked


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
