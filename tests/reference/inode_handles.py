"""The handle of the reference inode table, and the ranges of what it can be given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.reference.inode_rows import Record


def unsigned(value: int, bits: int) -> int:
    if not 0 <= value < 1 << bits:
        raise OverflowError(f"{value} has no {bits} bits")
    return value


def signed(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} has no 64 bits")
    return value


def checked_mode(mode: int) -> int:
    if unsigned(mode, 32) > 0o7777:
        raise ValueError(f"mode {mode:o}")
    return mode


def checked_replication(replication: int) -> int:
    if unsigned(replication, 8) == 0:
        raise ValueError("replication 0")
    return replication


def below(record: Record) -> Iterator[Record]:
    """*record* and all below it."""
    pending = [record]
    while pending:
        found = pending.pop()
        yield found
        pending.extend(found.children.values())


class Attribute:
    """A settable attribute of the record behind a handle."""

    def __init__(self, check: Callable[[int], int]) -> None:
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, inode: Inode, owner: type) -> int:
        value: int = getattr(inode.record, self.name)
        return value

    def __set__(self, inode: Inode, value: int) -> None:
        setattr(inode.record, self.name, self.check(value))


class Text:
    """The owner or the group."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, inode: Inode, owner: type) -> str:
        value: str = getattr(inode.record, self.name)
        return value

    def __set__(self, inode: Inode, value: str) -> None:
        value.encode()
        setattr(inode.record, self.name, value)


class Inode:
    mode = Attribute(checked_mode)
    flags = Attribute(lambda value: unsigned(value, 8))
    mtime_ms = Attribute(signed)
    atime_ms = Attribute(signed)
    ctime_ms = Attribute(signed)
    born = Attribute(lambda value: unsigned(value, 32))
    changed = Attribute(lambda value: unsigned(value, 32))
    owner = Text()
    group = Text()

    def __init__(self, table: object, record: Record) -> None:
        self.table = table
        self._record = record

    @property
    def record(self) -> Record:
        if self._record.gone:
            raise RuntimeError("a discarded inode")
        return self._record

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Inode):
            return NotImplemented
        return self.table is other.table and self._record.inode_id == other._record.inode_id

    def __hash__(self) -> int:
        return hash(self._record.inode_id)

    @property
    def crc32c(self) -> int:
        return self.record.crc32c

    @crc32c.setter
    def crc32c(self, value: int) -> None:
        unsigned(value, 32)
        self.file().crc32c = value

    def file(self) -> Record:
        if not self.record.is_file:
            raise ValueError("a directory")
        return self.record

    @property
    def inode_id(self) -> int:
        return self.record.inode_id

    @property
    def parent_id(self) -> int:
        return self.record.parent_id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def is_file(self) -> bool:
        return self.record.is_file

    @property
    def is_directory(self) -> bool:
        return not self.record.is_file

    @property
    def size(self) -> int:
        return self.record.size

    @property
    def replication(self) -> int:
        return self.record.replication

    @property
    def chunk_bytes(self) -> int:
        return self.record.chunk_bytes

    @property
    def chunk_count(self) -> int:
        return len(self.record.chunks)

    @property
    def child_count(self) -> int:
        return len(self.record.children)

    @property
    def files_below(self) -> int:
        return sum(found.is_file for found in below(self.record))

    @property
    def directories_below(self) -> int:
        return sum(not found.is_file for found in below(self.record)) - self.is_directory

    @property
    def bytes_below(self) -> int:
        return sum(found.size for found in below(self.record))

    @property
    def space_below(self) -> int:
        return sum(found.size * found.replication for found in below(self.record))
