"""A backup of the namespace as bytes: head, sealed records of rows, end. See FORMAT-backup.md.

Everything secret is inside the sealed records; the head says whose state it is, as of when, and
which key-encryption key opens it. The last bytes are a digest of all before them, so that a file
that was cut or changed is found without any key.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

from pydfsnode import limits
from pydfsnode._fast import crc32c
from pydfsnode.errors import CorruptionError, SealBroken, StorageError

MAGIC = b"pydfsBK1"
END_MAGIC = b"pydfsBKE"
FORMAT = 1
ROWS, END = 1, 2
"""Kinds of records."""
_HEAD = struct.Struct("<II")
_RECORD = struct.Struct("<BI")
_FRAME = struct.Struct("<IQB")
_COUNT = struct.Struct("<Q")
HEAD_BYTES_MAX = 64 * limits.KIB
RECORD_BYTES_MAX = limits.ENTRY_BYTES_MAX + limits.MIB
"""A frame of one row that does not shrink, its head and seal."""
TRAILER_BYTES = len(END_MAGIC) + hashlib.sha256().digest_size
REMEDY = "use another copy of it, or an older backup"


class BackupHead(msgspec.Struct, frozen=True):
    """What the file is a backup of.

    `index` and `term`: the log entry that the state is the one after. `node_id`: who wrote it.
    `kek_id`, `wrapped_kek`: which key-encryption key opens it, as in keyring.json. `wrapped_key`:
    the key of the records, wrapped by that one; hex.
    """

    format: int
    cluster_id: str
    node_id: str
    index: int
    term: int
    time_ms: int
    kek_id: str
    wrapped_kek: str
    wrapped_key: str = ""

    def wrap_aad(self) -> bytes:
        """What the wrapped key is bound to: all else in the head."""
        return MAGIC + msgspec.json.encode(msgspec.structs.replace(self, wrapped_key=""))

    def with_key(self, wrapped: bytes) -> BackupHead:
        """The same, with the key of its records."""
        return msgspec.structs.replace(self, wrapped_key=wrapped.hex())


class SealedFrame(NamedTuple):
    """A piece of the snapshot stream; the fields are `runtime.snapshot_frames.RowFrame`'s."""

    rows: bytes
    crc32c: int
    row_count: int
    last: bool


class RecordCipher(Protocol):
    """Seals records; `security.backup_key.BackupCipher`."""

    def seal(self, kind: int, number: int, plaintext: bytes) -> bytes:
        """The record *number* of the file, of *kind*."""
        ...

    def unseal(self, kind: int, number: int, sealed: bytes) -> bytes:
        """Undo `seal`. Raises SealBroken."""
        ...


def encode_head(head: BackupHead) -> bytes:
    """What the file begins with; its SHA-256 is bound to every record."""
    encoded = msgspec.json.encode(head)
    return MAGIC + _HEAD.pack(len(encoded), crc32c(encoded)) + encoded


class BackupEncoder:
    """The bytes of one backup, in order: `begin`, `frame` for each, `end`."""

    def __init__(self, head: bytes, cipher: RecordCipher) -> None:
        """*head* is `encode_head`'s."""
        self._head = head
        self._cipher = cipher
        self._digest = hashlib.sha256()
        self._number = 0
        self._row_count = 0

    def begin(self) -> bytes:
        """The head."""
        return self._counted(self._head)

    def frame(self, rows: bytes, crc: int, row_count: int, *, last: bool) -> bytes:
        """One frame of rows, *row_count* of them up to its end, of checksum *crc*."""
        self._row_count = row_count
        return self._record(ROWS, _FRAME.pack(crc, row_count, last) + rows)

    def end(self) -> bytes:
        """The number of rows, and the digest of everything."""
        end = self._record(END, _COUNT.pack(self._row_count)) + END_MAGIC
        self._digest.update(END_MAGIC)
        return end + self._digest.digest()

    def _record(self, kind: int, plaintext: bytes) -> bytes:
        sealed = self._cipher.seal(kind, self._number, plaintext)
        self._number += 1
        return self._counted(_RECORD.pack(kind, len(sealed)) + sealed)

    def _counted(self, piece: bytes) -> bytes:
        self._digest.update(piece)
        return piece


@dataclass(slots=True)
class BackupReader:
    """Reads a backup from its begin: `head`, then `records` to the end, once.

    `name` is for messages.
    """

    file: BinaryIO
    name: str
    bytes_read: int = 0
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    head_digest: bytes = b""

    def head(self) -> BackupHead:
        """What it is a backup of.

        Raises:
            CorruptionError: it is no backup, or its head is damaged.
            StorageError: it is of a newer format.
        """
        magic = self._read(len(MAGIC), "its head")
        if magic != MAGIC:
            raise CorruptionError(f"{self.name}: is no backup of a pydfsnode cluster")
        sizes = self._read(_HEAD.size, "its head")
        size, crc = _HEAD.unpack(sizes)
        if size > HEAD_BYTES_MAX:
            raise self._damaged("its head")
        encoded = self._read(size, "its head")
        if crc32c(encoded) != crc:
            raise self._damaged("its head")
        try:
            head = msgspec.json.decode(encoded, type=BackupHead)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._damaged("its head") from None
        if head.format != FORMAT:
            raise StorageError(
                f"{self.name}: format {head.format} is not known to this version, which reads "
                f"{FORMAT}: use the version that wrote it, or a newer one"
            )
        self.head_digest = hashlib.sha256(magic + sizes + encoded).digest()
        return head

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(kind, sealed record), the end included; checks the digest and that nothing follows.

        Raises:
            CorruptionError: the file is cut or was changed.
        """
        kind = ROWS
        while kind != END:
            kind, size = _RECORD.unpack(self._read(_RECORD.size, "a record"))
            if kind not in (ROWS, END) or size > RECORD_BYTES_MAX:
                raise self._damaged("the head of a record")
            yield kind, self._read(size, "a record")
        if self._read(len(END_MAGIC), "its end") != END_MAGIC:
            raise self._damaged("its end")
        expected = self._digest.digest()
        if self._read(len(expected), "its end") != expected:
            raise self._damaged("its digest")
        if self.file.read(1):
            raise CorruptionError(f"{self.name}: something follows the end of the backup; {REMEDY}")

    def frames(self, cipher: RecordCipher) -> Iterator[SealedFrame]:
        """The frames of rows, opened. Raises as `records`, and SealBroken."""
        row_count, is_last = 0, False
        for number, (kind, sealed) in enumerate(self.records()):
            try:
                plaintext = cipher.unseal(kind, number, sealed)
            except SealBroken as error:
                raise SealBroken(f"{self.name}: {error.message}") from None
            if kind == ROWS:
                if len(plaintext) < _FRAME.size:
                    raise self._damaged("a frame of rows")
                crc, row_count, last = _FRAME.unpack_from(plaintext)
                if is_last:
                    raise self._damaged("the order of its records")
                is_last = bool(last)
                yield SealedFrame(plaintext[_FRAME.size :], crc, row_count, is_last)
            elif plaintext != _COUNT.pack(row_count) or not is_last:
                raise self._damaged("its number of rows")

    def _read(self, size: int, what: str) -> bytes:
        found = self.file.read(size)
        if len(found) != size:
            raise CorruptionError(
                f"{self.name}: is cut: it ends in {what}, after "
                f"{self.bytes_read + len(found):,} bytes; {REMEDY}"
            )
        self.bytes_read += size
        self._digest.update(found)
        return found

    def _damaged(self, what: str) -> CorruptionError:
        return CorruptionError(
            f"{self.name}: {what} is damaged, within the first {self.bytes_read:,} bytes; {REMEDY}"
        )
