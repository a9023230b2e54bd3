"""What this chunkserver records in its audit trail: decisions on chunks, and what befalls it.

Who was let near a chunk is recorded where that is decided, before anything is done: "ok" means that
it was allowed. What was refused is always recorded, and who ended a chunk that somebody else wrote;
what was allowed otherwise, and what the masters had done, as the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydfsnode.errors import PydfsError
from pydfsnode.roles.audit.recording import Recording, detail_of, who_of
from pydfsnode.rpc.context import CallContext
from pydfsnode.security.audit.record import ADMIN, CHUNK, OK, SECURITY, What, Who
from pydfsnode.security.audit.trail import Trail
from pydfsnode.security.capability import Operation

Chunks = Literal["none", "writes", "all"]
"""Which calls that were allowed are recorded."""
CMDS = {
    "/pydfs.v1.Chunk/ReadChunk": "readBlock",
    "/pydfs.v1.Chunk/WriteChunk": "writeBlock",
    "/pydfs.v1.Chunk/SealChunk": "recoverBlock",
    "/pydfs.v1.Chunk/ChunkState": "getReplicaVisibleLength",
}
"""Names are HDFS's."""
_TOLD: dict[str, frozenset[Operation]] = {
    "none": frozenset({Operation.END}),
    "writes": frozenset({Operation.END, Operation.WRITE}),
    "all": frozenset(Operation),
}


class ChunkAuditing(Recording):
    """See the module.

    Args of the constructor:
        monotonic_ms: the clock.
    """

    def __init__(self, trail: Trail, chunks: Chunks, monotonic_ms: Callable[[], int]) -> None:
        super().__init__(trail, monotonic_ms)
        self._told = _TOLD[chunks]
        self._tells_orders = chunks != "none"
        self._keys: list[int] = []

    def admit(self, operation: Operation) -> None:
        """Call before an operation is decided on.

        Raises:
            Unavailable: it would be recorded, and cannot be; see `Trail.admit`.
        """
        if operation in self._told:
            self._trail.admit()

    def allowed(
        self, call: CallContext, chunk_id: int, version: int, operation: Operation, user: str
    ) -> None:
        """The caller may do *operation*; *user*: whom it works for, "" when for itself."""
        if operation in self._told:
            what = What(_cmd(call), f"chunk:{chunk_id}", detail=detail_of({"version": version}))
            self._trail.append(CHUNK, _worker(call, user), [what], operation is Operation.END)

    def refused(
        self, call: CallContext, chunk_id: int, version: int, operation: Operation,
        error: PydfsError, reason: str,
    ) -> None:  # fmt: skip
        """The caller may not, for *reason*. What he showed is not recorded, nor whom it named."""
        told = {"reason": reason, "version": version, "operation": operation.name}
        what = What(
            _cmd(call), f"chunk:{chunk_id}", None, False, type(error).__name__, detail_of(told)
        )
        self._trail.append(CHUNK, who_of(call), [what], is_urgent=True)

    def carried_out(self, kind: str, chunk_id: int, ok: bool, reason: str) -> None:
        """An order of the leading master was carried out, or was not."""
        if self._tells_orders:
            detail = detail_of({"reason": reason[:500]} if reason else {})
            what = What(kind, f"chunk:{chunk_id}", None, True, OK if ok else "failed", detail)
            self._trail.append(ADMIN, Who(role="master"), [what])

    def keys_known(self, epochs: Sequence[int]) -> None:
        """These keys of chunks are here now: recorded when they are others than before."""
        if list(epochs) != self._keys:
            self._keys = list(epochs)
            self.event(SECURITY, "chunkKeys", epochs=self._keys)

    def resealed(self, epoch: int) -> None:
        """No chunk here needs a key older than that of *epoch*."""
        self.event(SECURITY, "chunksResealed", epoch=epoch)


def _cmd(call: CallContext) -> str:
    return CMDS[call.method.path]


def _worker(call: CallContext, user: str) -> Who:
    """Who made *call*, as what acts for *user* if there is one; his role nobody has told."""
    who = who_of(call)
    return who._replace(user=user, role="", via=f"{who.role}/{who.user}") if user else who
