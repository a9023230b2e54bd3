"""The row written with each group: where log and state end, so that a lost end shows."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pydfsnode.errors import CorruptionError

REMEDY = (
    "this master must not go on: its promises to the others may be lost. The other masters hold "
    "the same entries and keep serving; check this node's disk and restore its data directory "
    "from its own backup"
)

_BOUNDS = struct.Struct("<QQQQQIQIIIII")
_BOUNDS_1 = struct.Struct("<QQQQQI")
"""As written before there were snapshots; the missing fields are 0."""
_BOUNDS_2 = struct.Struct("<QQQQQIQII")
"""As written before the bounds named other rows."""
_OLDER = {form.size: form for form in (_BOUNDS_1, _BOUNDS_2)}


class LogBounds(NamedTuple):
    """See the module.

    `group` counts the writes; `prev_term` is the term of the entry before the first. The live
    tables of the state are those of `generation`, and hold the state after entry `state_index`.
    `incarnation` is that of the data directory, so that the loss of its own row shows. The last
    three are checksums of what must not be an older one: the rows of hard state and membership, and
    where each term begins (`term_runs`); 0: no such row, or not on record yet.
    """

    group: int = 0
    first_index: int = 1
    last_index: int = 0
    prev_term: int = 0
    last_term: int = 0
    last_crc: int = 0
    state_index: int = 0
    generation: int = 0
    incarnation: int = 0
    hard_state_crc: int = 0
    membership_crc: int = 0
    terms_crc: int = 0

    def encode(self) -> bytes:
        """As FORMAT.md says."""
        return _BOUNDS.pack(*self)

    @classmethod
    def decode(cls, encoded: bytes) -> LogBounds:
        """Undo `encode`; raises CorruptionError."""
        form = _OLDER.get(len(encoded), _BOUNDS)
        try:
            bounds = cls(*form.unpack(encoded))
        except struct.error as error:
            raise CorruptionError(f"log bounds: {error}; {REMEDY}") from error
        if bounds.generation > 1:
            raise CorruptionError(
                f"log bounds: generation {bounds.generation} of the state; {REMEDY}"
            )
        return bounds
