"""What the core wants done after a step: the only way in which it acts on the world.

The driver drains all queued events into the core, takes one `Effects`, and then:
1. sends `send_now`;
2. submits `persist` (one atomic, durable group) to the log, in order, at once beside the
   sends, so that the leader's fsync runs in parallel with replication;
3. keeps each of `send_after` until the io id it names is durable, then sends it;
4. applies committed entries up to `apply_to`, in order;
5. answers the reads in `reads_ready`, after applying up to each one's index.
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


@dataclass(slots=True)
class Persist:
    """One atomic group for the log: hard state, a truncation and entries (traps A1, C4).

    `io_id` increases by one each. `truncate_from` removes entries from that index on, before
    `entries` (encoded, from `first_index`) are added.
    """

    io_id: int
    hard_state: HardState | None = None
    truncate_from: int | None = None
    first_index: int = 0
    entries: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadReady:
    """A read registered as `read_id` may be answered once `index` is applied (thesis §6.4)."""

    read_id: int
    index: int


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

    def send(self, to: str, message: Free) -> None:
        """Queue a message that promises nothing."""
        self.send_now.append((to, message))

    def promise(self, io_id: int, to: str, message: Promise) -> None:
        """Queue a message that leaves when *io_id* is durable."""
        self.send_after.append((io_id, to, message))
