"""What the Raft driver is plugged into; the roles pass in the real things, tests small fakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from pydfsnode.raft.effects import Persist, SnapshotWanted
from pydfsnode.raft.messages import Message

Row = tuple[int, bytes, bytes | None]
"""(table, key, plaintext); None deletes the row. As in storage.sealed."""

FsyncMode = Literal["always", "batch", "off"]


class LogStorage(Protocol):
    """The durable log (storage.raft_log.RaftLog); called on the storage thread, in order."""

    @property
    def state_index(self) -> int:
        """The applied index that the state table holds, as last written."""
        ...

    @property
    def log_bytes(self) -> int:
        """About how large the entries in the log are."""
        ...

    def write(
        self,
        persist: Persist | None,
        rows: Sequence[Row],
        sync: bool,
        state_index: int | None = None,
    ) -> None:
        """Write one group, all or nothing; with *sync* return when it is durable.

        Args:
            state_index: the applied index that *rows* bring the state table to.

        Raises:
            DurabilityFailure: the node must stop.
        """
        ...

    def compact(self, through: int, base: bytes) -> None:
        """Remove the entries up to *through*, durably; *base* is the configuration there.

        Raises:
            DurabilityFailure: the node must stop.
        """
        ...

    def purge_some(self) -> bool:
        """Remove a little of what a replaced state left; True while there is more."""
        ...


class SnapshotSender(Protocol):
    """Sends the state to members that need what was compacted (runtime.snapshot_send)."""

    def start(self, wanted: SnapshotWanted) -> None:
        """Begin a transfer, unless one is under way; never waits."""
        ...


class StateMachine(Protocol):
    """What committed entries change (the namespace). Called on the loop's thread."""

    @property
    def applied_index(self) -> int:
        """The last entry that it holds."""
        ...

    def apply(self, first_index: int, entries: Sequence[bytes]) -> list[object]:
        """Apply encoded *entries* from *first_index* on; one outcome each, None for no operation.

        A refusal by the domain is an outcome, not an exception: an exception stops the node.
        """
        ...

    def drain_rows(self) -> list[Row]:
        """Rows changed since the last call, with the one that holds `applied_index`."""
        ...

    def take_digests(self) -> list[tuple[int, bytes]]:
        """(index, digest of the state there) of those reached since the last call."""
        ...

    def replace(self, loaded: object) -> None:
        """Become the state that `load` made of a snapshot's rows."""
        ...


class Transport(Protocol):
    """The way to the other masters (rpc.raft_transport)."""

    def send(self, to: str, message: Message) -> None:
        """Queue *message*; never waits, may lose it."""
        ...


class SerialExecutor(Protocol):
    """One thread that runs jobs in order; after a failure it runs no more of them."""

    def submit(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        """Run *work* there and then call *done* on the loop's thread with its failure or None."""
        ...

    async def stop(self) -> None:
        """Return when everything submitted was run and *done* was called."""
        ...
