"""What the core wants done after a step: the only way in which it acts on the world.

The driver drains all queued events into the core, takes one `Effects`, and then:
1. sends `send_now`;
2. submits `persist` (one atomic, durable group) to the log, in order, at once beside the
   sends, so that the leader's fsync runs in parallel with replication;
3. keeps each of `send_after` until the io id it names is durable, then sends it;
4. applies committed entries up to `apply_to`, in order;
5. answers the reads in `reads_ready`, after applying up to each one's index;
6. starts a snapshot for each of `snapshot_to` and tells the transport of `configuration_changed`.
When a `persist` is durable the driver calls `core.persisted(io_id)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pydfsnode.raft.messages import Free, Promise


@dataclass(frozen=True, slots=True)
class HardState:
    """What must survive a crash beside the entries (Raft fig. 2, persistent state)."""

    term: int = 0
    vote: str = ""


@dataclass(frozen=True, slots=True)
class Install:
    """Replace log and state by the staged snapshot: the state after `index`, of `index_term`.

    `keep_log`: the log here holds that very entry, so what follows it stays (trap F4); else the
    whole log goes, in memory and on disk.
    """

    index: int
    index_term: int
    configuration: bytes
    keep_log: bool = False


@dataclass(slots=True)
class Persist:
    """One atomic group for the log: hard state, a truncation and entries (traps A1, C4).

    `io_id` increases by one each. `truncate_from` removes entries from that index on, before
    `entries` (encoded, from `first_index`) are added. A group with `install` holds no entries and
    no truncation, and is never merged with another. `base` is the first configuration of a new
    cluster, that of the empty log.
    """

    io_id: int
    hard_state: HardState | None = None
    truncate_from: int | None = None
    first_index: int = 0
    entries: list[bytes] = field(default_factory=list)
    install: Install | None = None
    base: bytes | None = None


@dataclass(frozen=True, slots=True)
class ReadReady:
    """A read registered as `read_id` may be answered once `index` is applied (thesis §6.4)."""

    read_id: int
    index: int


@dataclass(frozen=True, slots=True)
class SnapshotWanted:
    """`peer` needs entries that were compacted; `stream` is the leader's view of it."""

    peer: str
    stream: int


@dataclass(slots=True)
class Effects:
    """See the module. `reads_failed`: the node is no longer leader, the reads must go elsewhere."""

    persist: Persist | None = None
    send_now: list[tuple[str, Free]] = field(default_factory=list)
    send_after: list[tuple[int, str, Promise]] = field(default_factory=list)  # io_id, to, message
    apply_to: int = 0  # 0: nothing new
    reads_ready: list[ReadReady] = field(default_factory=list)
    reads_failed: list[int] = field(default_factory=list)
    role_changed: bool = False
    snapshot_to: list[SnapshotWanted] = field(default_factory=list)
    configuration_changed: bool = False

    def send(self, to: str, message: Free) -> None:
        """Queue a message that promises nothing."""
        self.send_now.append((to, message))

    def promise(self, io_id: int, to: str, message: Promise) -> None:
        """Queue a message that leaves when *io_id* is durable."""
        self.send_after.append((io_id, to, message))
