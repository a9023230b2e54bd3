"""Sealed rows over a `KeyValue`: values encrypted and bound to where they lie (INV-SEAL).

A row is (table, key, plaintext). On disk its key is the table's byte and then the key (numbers
only, never a name); its value is what the keyring seals. The additional data of the seal names
cluster, node, table and key, so that a row copied to another place, node or cluster does not open.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pydfsnode.errors import SealBroken, invariant
from pydfsnode.storage.kv import KeyValue, KeyValueReader, KeyValueView
from pydfsnode.storage.open_reads import OpenReads

Row = tuple[int, bytes, bytes | None]
"""(table, key, plaintext); None deletes the row."""

TABLE_ENTRY = 1
TABLE_HARD_STATE = 2
TABLE_LOG_BOUNDS = 3
TABLE_MEMBERSHIP = 4
TABLE_NODE = 5
TABLE_STAGE = 6
TABLE_STATE_FIRST = 16
"""The state machine's tables begin here; 7 to 15 are kept for the log's own."""
TABLE_LAST = 254
_TABLE_BYTES = [bytes([table]) for table in range(TABLE_LAST + 1)]

_NAMES = {
    TABLE_HARD_STATE: "hard state",
    TABLE_LOG_BOUNDS: "log bounds",
    TABLE_MEMBERSHIP: "membership",
    TABLE_NODE: "incarnation",
    TABLE_STAGE: "snapshot progress",
}
_NUMBERED_KEY = struct.Struct(">BQ")
_AAD_MAGIC = b"pydfsnode row 1\0"


class Sealer(Protocol):
    """The part of `security.keyring.Keyring` used here."""

    def seal_all(
        self, aad_head: bytes, rows: Iterable[tuple[bytes, bytes | None]]
    ) -> list[tuple[bytes, bytes | None]]:
        """Each (key, value) with its value sealed, bound to *aad_head* and the key; None stays."""
        ...

    def unseal(self, aad: bytes, sealed: bytes) -> bytes:
        """Undo `seal_all` for one; SealBroken unless it is what was sealed with this *aad*."""
        ...


class SealedReader:
    """Rows read through *rows*; see `SealedStore`."""

    def __init__(
        self, rows: KeyValueReader, keyring: Sealer, aad_head: bytes, reads: OpenReads
    ) -> None:
        self._rows = rows
        self._keyring = keyring
        self._aad_head = aad_head
        self._reads = reads

    def get(self, table: int, key: bytes) -> bytes | None:
        """The plaintext at (table, key), None when there is no such row.

        Raises:
            SealBroken: the row was damaged, moved or replaced.
            CorruptionError, StorageError.
        """
        disk_key = _disk_key(table, key)
        sealed = self._rows.get(disk_key)
        return None if sealed is None else self._open(disk_key, sealed)

    def scan(
        self, table: int, first: bytes = b"", end: bytes | None = None
    ) -> Iterator[tuple[bytes, bytes]]:
        """(key, plaintext) of the rows of *table* with first <= key (< end), ascending.

        Raises:
            As `get`, while iterating.
        """
        disk_end = bytes([table + 1]) if end is None else _disk_key(table, end)
        with self._reads.one():
            for disk_key, sealed in self._rows.scan(_disk_key(table, first), disk_end):
                yield disk_key[1:], self._open(disk_key, sealed)

    def scan_span(self, first: bytes, end: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """(table, key, plaintext) of the rows with first <= key on disk < end, ascending.

        Raises:
            As `get`, while iterating.
        """
        with self._reads.one():
            for disk_key, sealed in self._rows.scan(first, end):
                yield disk_key[0], disk_key[1:], self._open(disk_key, sealed)

    def _open(self, disk_key: bytes, sealed: bytes) -> bytes:
        try:
            return self._keyring.unseal(self._aad_head + disk_key, sealed)
        except SealBroken as error:
            raise SealBroken(
                f"{describe_key(disk_key)}: the seal does not open ({error}): the record was "
                "damaged, moved or replaced, or belongs to another node; check the disk and "
                "restore this node's data directory from its own backup",
                table=disk_key[0],
            ) from error


class SealedView(SealedReader):
    """Sealed rows as they were at one moment. Owns *view*: `close` closes it."""

    def __init__(
        self, view: KeyValueView, keyring: Sealer, aad_head: bytes, reads: OpenReads, number: int
    ) -> None:
        """*number* is the view's among the open *reads*."""
        super().__init__(view, keyring, aad_head, reads)
        self._view = view
        self._number = number

    def close(self) -> None:
        """Close the view below; may be called twice."""
        self._view.close()
        self._reads.end(self._number)


class SealedStore(SealedReader):
    """See the module. Owns *kv*: `close` closes it."""

    def __init__(self, kv: KeyValue, keyring: Sealer, cluster_id: str, node_id: str) -> None:
        # Lengths go in front, so that no two (cluster, node) pairs give the same bytes.
        aad_head = _AAD_MAGIC + _sized(cluster_id) + _sized(node_id)
        super().__init__(kv, keyring, aad_head, OpenReads())
        self.kv = kv

    @property
    def reads(self) -> OpenReads:
        """What is being read now: it may need keys that nothing is sealed with any more."""
        return self._reads

    def view(self) -> SealedView:
        """All rows as they are now; from any thread.

        Raises:
            StorageError: the store is closed.
        """
        number = self._reads.begin()  # before the view: what it shows is never younger
        try:
            view = self.kv.view()
        except BaseException:
            self._reads.end(number)
            raise
        return SealedView(view, self._keyring, self._aad_head, self._reads, number)

    def resealed(self, disk_keys: Iterable[bytes], epoch: int) -> list[tuple[bytes, bytes | None]]:
        """Those of the rows at *disk_keys* that are not sealed with *epoch*, sealed anew.

        Raises:
            As `get`.
        """
        stale: list[tuple[bytes, bytes | None]] = []
        for disk_key in disk_keys:
            sealed = self.kv.get(disk_key)
            if sealed is not None and epoch_of(sealed) != epoch:
                stale.append((disk_key, self._open(disk_key, sealed)))
        return self._keyring.seal_all(self._aad_head, stale)

    def seal_rows(self, rows: Sequence[Row]) -> list[tuple[bytes, bytes | None]]:
        """*rows* as a batch for `kv.write`."""
        return self._keyring.seal_all(
            self._aad_head, [(_disk_key(table, key), value) for table, key, value in rows]
        )

    def seal_numbered(
        self, table: int, first: int, values: Sequence[bytes]
    ) -> list[tuple[bytes, bytes | None]]:
        """Rows of *table* with the keys first, first + 1, ... (u64 big-endian) as a batch."""
        pack = _NUMBERED_KEY.pack
        return self._keyring.seal_all(
            self._aad_head,
            [(pack(table, number), value) for number, value in enumerate(values, first)],
        )

    def write(self, rows: Sequence[Row], sync: bool) -> None:
        """Write *rows* as one atomic batch; errors as `KeyValue.write`."""
        self.kv.write(self.seal_rows(rows), sync)

    def close(self) -> None:
        """Close the store below; may be called twice."""
        self.kv.close()


def epoch_of(sealed: bytes) -> int:
    """The key epoch that a record names; 0, which no key has, of one that is cut."""
    return int.from_bytes(sealed[:4], "little")


def describe_key(disk_key: bytes) -> str:
    """A row's place for a message: its table and its key as a number or hex."""
    table, key = disk_key[0], disk_key[1:]
    if table == TABLE_ENTRY and len(key) == 8:
        return f"log entry {int.from_bytes(key, 'big')}"
    return _NAMES.get(table) or f"row {key.hex() or '-'} of table {table}"


def numbered_key(number: int) -> bytes:
    """A number as a key within a table: u64 big-endian, so that keys sort as numbers."""
    return number.to_bytes(8, "big")


def _disk_key(table: int, key: bytes) -> bytes:
    if not 0 < table <= TABLE_LAST:
        invariant(False, "a table's number is out of range", table=table)
    return _TABLE_BYTES[table] + key


def _sized(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<H", len(encoded)) + encoded
