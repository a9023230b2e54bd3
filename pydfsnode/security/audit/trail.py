"""A node's audit trail: what is appended is numbered, chained and handed to the writer's thread.

Everything here runs on the node's event loop but for the writing. What cannot be written waits, up
to AUDIT_QUEUE_RECORDS_MAX records. Then, as the configuration says, operations are refused before
they begin (`fail_closed`), or records are counted instead of kept, and a marker with their number
stands in their place as soon as there is room again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from pydfsnode import limits
from pydfsnode.errors import ConfigError, Unavailable
from pydfsnode.obs.log import get_logger
from pydfsnode.security.audit.file_writer import Block, FileWriter, Rotation
from pydfsnode.security.audit.record import FORMATS, TRAIL, Fields, What, Who
from pydfsnode.security.audit.trail_files import Tail, file_name, find_tail, genesis

FLUSH_S = 0.05
"""Lines wait so long for others before the thread is woken."""
BLOCK_BYTES = 256 * limits.KIB
STOP_S = 2.0
_log = get_logger("security.audit")
_NOBODY = Who()


@dataclass(frozen=True, slots=True)
class TrailSettings:
    """How a trail is kept; see [audit] of the configuration."""

    directory: Path
    format: str = "json"
    fail_closed: bool = False
    sync_s: float = 1.0
    rotation: Rotation = field(default_factory=lambda: Rotation(256 * limits.MIB, 86_400.0))


@dataclass(frozen=True, slots=True)
class Position:
    """Record `seq` of `trail` has the hash `sha256`."""

    trail: str
    seq: int
    sha256: str


class Trail:
    """Make it by `open_trail`; use it on one thread.

    Args of the constructor:
        later: the event loop's `call_later`.
        wall_ms: milliseconds since 1970.
    """

    def __init__(
        self, node: str, settings: TrailSettings, tail: Tail | None,
        later: Callable[[float, Callable[[], None]], object], wall_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self.node = node
        self._fail_closed = settings.fail_closed
        # What was admitted is kept: operations under way are bounded elsewhere. Denials are not.
        self._room = limits.AUDIT_QUEUE_RECORDS_MAX * (2 if settings.fail_closed else 1)
        self._format = FORMATS[settings.format]
        self._later = later
        self._wall_ms = wall_ms
        self._trail = secrets.token_hex(8) if tail is None else tail.file.trail
        self._seq = 0 if tail is None else tail.seq
        self._prev = genesis(node, self._trail) if tail is None else tail.sha256
        # A trail that changes its format goes on in another file.
        into = tail.file if tail is not None and tail.file.format is self._format else None
        self._waiting: list[bytes] = []
        self._waiting_bytes = self._waiting_count = 0
        self._first_waiting = 0
        self._flush_planned = self._is_stopped = False
        self._put_count = 0
        self.dropped = 0
        """Records that found no room, since the start."""
        self._unmarked = 0
        self._writer = FileWriter(
            settings.directory,
            lambda first: file_name(node, self._trail, first, self._format),
            None if into is None else into.path,
            settings.rotation,
            settings.sync_s,
            monotonic_s,
        )
        self._begin(tail)

    def _begin(self, tail: Tail | None) -> None:
        if tail is None:
            self.tell(What("begin", detail=json.dumps({"trail": self._trail})))
            return
        told: dict[str, object] = {"trail": self._trail, "stopped_in_order": tail.ended}
        if tail.torn:
            # The line that a crash cut stays, and the next one says what it is.
            if tail.file.format is self._format:
                self._writer.put(Block(self._seq + 1, 0, b"\n"))
            told["torn_bytes"] = len(tail.torn)
            told["torn_sha256"] = sha256(tail.torn).hexdigest()
        self.tell(What("resume", detail=json.dumps(told)))

    @property
    def position(self) -> Position:
        """The last record."""
        return Position(self._trail, self._seq, self._prev)

    @property
    def queued(self) -> int:
        """Records that are not written yet."""
        return self._put_count - self._writer.written_count + self._waiting_count

    @property
    def problem(self) -> str:
        """Why nothing is written at the moment, "" when it is."""
        return self._writer.problem

    @property
    def failures(self) -> int:
        """How often a write failed."""
        return self._writer.failures

    @property
    def appended(self) -> int:
        """Records of the trail, from its begin."""
        return self._seq

    def admit(self) -> None:
        """Call before an operation is begun that will be recorded.

        Raises:
            Unavailable: it could not be recorded, and the configuration says to refuse it then.
        """
        if self._fail_closed and (self.problem or self.queued > limits.AUDIT_QUEUE_RECORDS_MAX):
            why = self.problem or "its disk is too slow"
            raise Unavailable(
                f"{self.node} cannot write its audit trail ({why}) and does nothing unrecorded: "
                "make room there, or set fail_closed = false in its [audit]"
            )

    def append(
        self, kind: str, who: Who, all_of: Sequence[Fields], is_urgent: bool = False
    ) -> None:
        """Record *all_of*; urgently what is rare and matters."""
        if self.queued + len(all_of) > self._room:
            self.dropped += len(all_of)
            self._unmarked += len(all_of)
        else:
            self._add(kind, who, all_of, is_urgent)

    def _add(self, kind: str, who: Who, all_of: Sequence[Fields], is_urgent: bool) -> None:
        at_ms = self._wall_ms()
        bodies: list[str] = []
        if self._unmarked:
            gap = What("gap", outcome="gap", detail=json.dumps({"dropped": self._unmarked}))
            self._unmarked = 0
            bodies = self._format.bodies(at_ms, self.node, TRAIL, _NOBODY, [gap])
        bodies += self._format.bodies(at_ms, self.node, kind, who, all_of)
        lines, self._prev = self._format.chain(bodies, self._seq + 1, self._prev)
        if not self._waiting:
            self._first_waiting = self._seq + 1
        self._seq += len(bodies)
        self._waiting.append(lines)
        self._waiting_bytes += len(lines)
        self._waiting_count += len(bodies)
        if is_urgent or self._waiting_bytes >= BLOCK_BYTES:
            self._flush(is_urgent)
        elif not self._flush_planned:
            self._flush_planned = True
            self._later(FLUSH_S, self._flush_as_planned)

    def tell(self, what: What) -> None:
        """Record what the trail says of itself."""
        self.append(TRAIL, _NOBODY, [what], is_urgent=True)

    def _flush_as_planned(self) -> None:
        self._flush_planned = False
        self._flush(False)

    def _flush(self, is_urgent: bool) -> None:
        if not self._waiting or self._is_stopped:
            return
        lines = b"".join(self._waiting)
        count, self._waiting_count = self._waiting_count, 0
        self._put_count += count
        self._waiting.clear()
        self._waiting_bytes = 0
        self._writer.put(Block(self._first_waiting, count, lines, is_urgent))

    def stop(self) -> None:
        """Tell the end, write what waits, close. What cannot be written in time is logged."""
        if self._is_stopped:
            return
        self._add(TRAIL, _NOBODY, [What("end")], is_urgent=True)  # and what found no room
        self._is_stopped = True
        if not self._writer.stop(STOP_S):
            _log.error("audit records lost", records=self.queued, why=self.problem)


def open_trail(
    node: str,
    settings: TrailSettings,
    later: Callable[[float, Callable[[], None]], object],
    wall_ms: Callable[[], int],
    monotonic_s: Callable[[], float],
) -> Trail:
    """Begin the trail of *node*, or go on with it.

    Raises:
        ConfigError: the directory cannot be made, read or written.
        CorruptionError: no record of the files there can be read.
    """
    directory = settings.directory
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tail = find_tail(directory, node)
        return Trail(node, settings, tail, later, wall_ms, monotonic_s)
    except OSError as error:
        raise ConfigError(
            f"{directory}: no audit trail can be kept here ({error.strerror or error}): name "
            "another directory as dir in [audit]"
        ) from None
