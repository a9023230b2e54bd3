"""Reads a backup of the namespace off line: opens every record and builds the namespace of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from pydfsnode.errors import CorruptionError, KeyUnavailable, SealBroken
from pydfsnode.meta.rows import TABLES
from pydfsnode.meta.state import Namespace
from pydfsnode.runtime.snapshot_frames import RowFrame, RowsSoFar, StateRow, frame_slices
from pydfsnode.security.backup_key import BackupCipher, BackupKek
from pydfsnode.security.key_sources import KekSource
from pydfsnode.storage.backup_format import REMEDY, BackupHead, BackupReader

Slice = tuple[list[StateRow], RowsSoFar]
_LOADED = frozenset(TABLES)


@dataclass(frozen=True, slots=True)
class BackupContent:
    """What a backup holds. `rows` 0 and no counts: it was looked at without the key."""

    cluster_id: str
    written_by: str
    index: int
    term: int
    time_ms: int
    key_id: str
    bytes: int
    rows: int = 0
    files: int = 0
    directories: int = 0
    state_hash: str = ""


class OpenedBackup:
    """A backup whose head was read and whose key is there; read its rows once, to the end."""

    def __init__(self, file: BinaryIO, name: str, kek: KekSource) -> None:
        """Read the head of *file*, called *name* in messages.

        Raises:
            CorruptionError, StorageError: it is no backup that can be read.
            KeyUnavailable: *kek* has not the key that it needs.
            SealBroken: its head was changed.
        """
        self._reader = BackupReader(file, name)
        self._name = name
        self.head = self._reader.head()
        try:
            opener = BackupKek(kek.load(self.head.kek_id, self.head.wrapped_kek))
        except KeyUnavailable as error:
            raise KeyUnavailable(
                f"{name}: is opened by key {self.head.kek_id}, the key-encryption key of "
                f"{self.head.node_id} when it wrote it: {error.message}"
            ) from None
        key = opener.unwrap(wrapped_key(self.head, name), self.head.wrap_aad())
        self._cipher = BackupCipher(key, self._reader.head_digest)

    @property
    def bytes_read(self) -> int:
        """How much of the file was read."""
        return self._reader.bytes_read

    def slices(self) -> Iterator[Slice]:
        """The rows, ascending by (table, key), with where each slice ends.

        Only when this has ended without an error is the file known to be whole.

        Raises:
            CorruptionError, SealBroken, MalformedMessage: it is cut or was changed.
        """
        so_far = RowsSoFar()
        for frame in self._reader.frames(self._cipher):
            for part in frame_slices(RowFrame(*frame), so_far):
                so_far = part[1]
                yield part


def inspect_backup(file: BinaryIO, name: str, kek: KekSource | None) -> BackupContent:
    """Read all of *file*; with *kek* open and check all of it, else only whether it is whole.

    Raises:
        As `OpenedBackup`; CorruptionError: its rows are not the state after the entry it names.
    """
    if kek is None:
        reader = BackupReader(file, name)
        head = reader.head()
        for _ in reader.records():
            pass
        return _content(head, reader.bytes_read)
    opened, namespace, row_count = OpenedBackup(file, name, kek), Namespace(), 0
    for rows, so_far in opened.slices():
        row_count = so_far.row_count
        for table, key, value in rows:
            if table in _LOADED:
                namespace.load_row(table, key, value)
    namespace.finish_load()
    require_index(namespace, opened.head, name)
    return _content(opened.head, opened.bytes_read, row_count, namespace)


def require_index(namespace: Namespace, head: BackupHead, name: str) -> None:
    """Raise CorruptionError unless *namespace* is the one after the entry that *head* names."""
    if namespace.applied_index != head.index:
        raise CorruptionError(
            f"{name}: its head says entry {head.index}, its rows are the state after "
            f"{namespace.applied_index}; {REMEDY}"
        )


def wrapped_key(head: BackupHead, name: str) -> bytes:
    """The wrapped key in *head*; raises SealBroken when it is none."""
    try:
        return bytes.fromhex(head.wrapped_key)
    except ValueError:
        raise SealBroken(f"{name}: the key in its head is damaged; {REMEDY}") from None


def _content(
    head: BackupHead, size: int, row_count: int = 0, namespace: Namespace | None = None
) -> BackupContent:
    content = BackupContent(
        head.cluster_id, head.node_id, head.index, head.term, head.time_ms, head.kek_id, size
    )
    if namespace is None:
        return content
    return replace(
        content,
        rows=row_count,
        files=namespace.file_count,
        directories=namespace.directory_count,
        state_hash=namespace.state_hash().hex(),
    )
