"""Rows of rare kinds, by number: what only some inodes have, and what of it changed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from pydfsnode.errors import CorruptionError

V = TypeVar("V", bound=msgspec.Struct)
Row = tuple[int, bytes, bytes | None]
"""Table, key, value; None deletes."""
KEY = struct.Struct(">Q")

encode = msgspec.msgpack.Encoder().encode


class Table(Generic[V]):
    """Frozen values by number. Look into `rows`, change through `put` and `drop`.

    `undrained` and `interval` hold the keys that changed since the rows were drained and since the
    last digest.
    """

    def __init__(self, number: int, kind: type[V]) -> None:
        self.number = number
        self.rows: dict[int, V] = {}
        self.undrained: dict[int, None] = {}
        self.interval: dict[int, None] = {}
        self._decoder: msgspec.msgpack.Decoder[V] = msgspec.msgpack.Decoder(kind)

    def get(self, key: int) -> V | None:
        """The value at *key*, None when there is none."""
        return self.rows.get(key)

    def find(self, is_it: Callable[[V], bool]) -> int:
        """The key of the first value for which *is_it* holds; 0: there is none."""
        return next((key for key, value in self.rows.items() if is_it(value)), 0)

    def add(self, value: V) -> None:
        """Put *value* behind all others, under a key of its own."""
        self.put(max(self.rows, default=0) + 1, value)

    def replace(self, is_it: Callable[[V], bool], value: V) -> None:
        """Put *value* in place of the one for which *is_it* holds; without one, add it."""
        if key := self.find(is_it):
            self.put(key, value)
        else:
            self.add(value)

    def put(self, key: int, value: V) -> None:
        """Set the value at *key*."""
        self.rows[key] = value
        self.undrained[key] = self.interval[key] = None

    def drop(self, key: int) -> None:
        """Remove the value at *key*, if there is one."""
        if self.rows.pop(key, None) is not None:
            self.undrained[key] = self.interval[key] = None

    def drain_rows(self) -> list[Row]:
        """The rows that changed since the last call."""
        number, values = self.number, self.rows
        drained: list[Row] = []
        for key in self.undrained:
            value = values.get(key)
            drained.append((number, KEY.pack(key), None if value is None else encode(value)))
        self.undrained.clear()
        return drained

    def drain_interval(self) -> list[tuple[int, V | None]]:
        """(key, value or None) of what changed since the last call, by key; for the digest."""
        changed = [(key, self.rows.get(key)) for key in sorted(self.interval)]
        self.interval.clear()
        return changed

    def load(self, key: bytes, value: bytes) -> None:
        """Take back a row. Raises CorruptionError."""
        if len(key) != KEY.size:
            raise broken(self.number, key, "has a key of the wrong size")
        self.rows[KEY.unpack(key)[0]] = decode(self._decoder, self.number, key, value)


AnyTable = Table[Any]
T = TypeVar("T")


def decode(decoder: msgspec.msgpack.Decoder[T], table: int, key: bytes, value: bytes) -> T:
    """The value of a row. Raises CorruptionError."""
    try:
        return decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise broken(table, key, f"cannot be read ({error})") from None


def broken(table: int, key: bytes, why: str) -> CorruptionError:
    """The error for a row that cannot be."""
    return CorruptionError(
        f"row {key.hex()} of table {table} {why}: the state table is damaged; "
        "restore this master from its peers"
    )
