"""What all parts of the file system have."""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode import limits
from pydfsnode.client.chunk_io import ChunkIO
from pydfsnode.client.consistency import Consistency, Reads
from pydfsnode.client.lease import LeaseKeeper
from pydfsnode.client.patience import Patience
from pydfsnode.client.wire import MasterCalls
from pydfsnode.config import ReplaceOnFailure
from pydfsnode.errors import InvalidArgument

FILE_MODE, DIRECTORY_MODE = 0o666, 0o777
"""Of what is created, before the umask."""


@dataclass(frozen=True, slots=True)
class Creation:
    """How files and directories are created. `replication` and `chunk_bytes` 0: the cluster's.

    `inline_bytes_max`: files up to this size are created with their content; 0: none.
    `replace_on_failure`: see `replacement`.
    """

    replication: int = 0
    chunk_bytes: int = 0
    inline_bytes_max: int = limits.INLINE_BYTES_MAX
    umask: int = 0o022
    replace_on_failure: ReplaceOnFailure = "default"


CREATION_DEFAULT = Creation()


class FileSystemBase:
    """The parts are `filesystem_*.py`; `AsyncFileSystem` is all of them."""

    def __init__(
        self,
        calls: MasterCalls,
        chunks: ChunkIO,
        patience: Patience,
        creation: Creation,
        consistency: Reads,
    ) -> None:
        self._calls = calls
        self._chunks = chunks
        self._patience = patience
        self._creation = creation
        self._lease = LeaseKeeper(calls.renew_lease)
        self.replication = creation.replication
        """Of files created from now on; 0: the cluster's default."""
        self.consistency = Consistency.of(consistency)
        """Of reads from now on that do not say; None: as the masters are configured."""

    def _wanted(self, given: Reads) -> Consistency | None:
        return self.consistency if given is None else Consistency.of(given)

    def _masked(self, mode: int | None, default: int) -> int:
        """*mode* less the bits of the umask.

        Raises:
            InvalidArgument: nothing is left, which the masters would take for their default.
        """
        masked = (default if mode is None else mode) & ~self._creation.umask
        if not masked:
            raise InvalidArgument(
                f"nothing is left of the mode after the umask {self._creation.umask:03o}: make it "
                "with another mode and change that"
            )
        return masked
