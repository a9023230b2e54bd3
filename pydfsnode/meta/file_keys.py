"""Keys of files by inode: without one its chunks cannot be opened. And what of them is forgotten.

A file that is made below a directory with the choice `file` gets one, drawn by the leader. It
lives as long as the file has a name or a snapshot sees it. Once its row is gone it still lies in
old bytes on the masters' disks, under their data keys; so the leader orders from time to time that
every master takes another data key and destroys the old one (`ForgetKeys`).
"""

from __future__ import annotations

import msgspec

from pydfsnode.meta.inodes import Extras, Natural
from pydfsnode.meta.tables import AnyTable, Table

TABLE_FILE_KEY = 39
"""By inode id."""
TABLE_FORGETTING = 40
"""One row."""
KEY_BYTES = 32
SEAL_XATTR = "trusted.seal"
"""Of a directory: for every chunk that is begun or copied below, unless one nearer says else."""
BY_FILE = b"file"
"""Its value that gives each new file a key of its own."""
_ONLY = 1


class FileKey(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A secret: it is never shown."""

    key: bytes

    def __repr__(self) -> str:
        return "FileKey()"  # rows are logged


class Forgetting(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many keys were ever removed, and up to which of them masters were told to forget.

    `since_ms`: when the first was removed that no order covers; 0: there is none. `orders`: how
    many orders there were, the last one at `ordered_ms` for the first `covered` keys.
    """

    removed: Natural = 0
    since_ms: Natural = 0
    orders: Natural = 0
    covered: Natural = 0
    ordered_ms: Natural = 0

    @property
    def waiting(self) -> int:
        """Keys that were removed and that no order covers yet."""
        return self.removed - self.covered


class FileKeys:
    """Part of `Tree`; change through its methods only. `keyed_directories` have the choice."""

    def __init__(self) -> None:
        self.keys: Table[FileKey] = Table(TABLE_FILE_KEY, FileKey)
        self._forgetting: Table[Forgetting] = Table(TABLE_FORGETTING, Forgetting)
        self.keyed_directories = 0

    @property
    def tables(self) -> tuple[AnyTable, ...]:
        """Those that are not by inode."""
        return (self._forgetting,)

    @property
    def forgetting(self) -> Forgetting:
        """See there."""
        return self._forgetting.get(_ONLY) or Forgetting()

    def get(self, inode_id: int) -> bytes | None:
        """The key of a file; None: it has none of its own."""
        row = self.keys.get(inode_id)
        return None if row is None else row.key

    def put(self, inode_id: int, key: bytes) -> None:
        """The new file has *key*."""
        self.keys.put(inode_id, FileKey(key))

    def drop(self, inode_id: int, clock_ms: int) -> None:
        """Nothing needs the key of a file any more, if it had one."""
        if self.keys.get(inode_id) is None:
            return
        self.keys.drop(inode_id)
        was = self.forgetting
        since_ms = was.since_ms or max(1, clock_ms)
        self._set(msgspec.structs.replace(was, removed=was.removed + 1, since_ms=since_ms))

    def order(self, clock_ms: int) -> None:
        """Masters are to forget all that was removed up to now."""
        was = self.forgetting
        self._set(Forgetting(was.removed, 0, was.orders + 1, was.removed, clock_ms))

    def _set(self, row: Forgetting) -> None:
        self._forgetting.put(_ONLY, row)


def seals_by_file(extras: Extras | None) -> bool:
    """Whether a directory with *extras* has the choice."""
    return extras is not None and extras.xattrs.get(SEAL_XATTR) == BY_FILE
