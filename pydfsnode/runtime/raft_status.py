"""What a Raft node tells about itself, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.types import PeerView
from pydfsnode.runtime.ports import FsyncMode

FSYNC_WARNINGS: dict[FsyncMode, str] = {
    "always": "",
    "batch": "unsafe: with fsync=batch a power loss loses acknowledged writes",
    "off": "unsafe: with fsync=off a power loss loses acknowledged writes and may damage the log",
}


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """One moment of one node; counters are totals since start.

    `node_id` and `leader` ("" when unknown) are names, `member_id` and the peers' are member ids.
    """

    node_id: str
    member_id: str
    role: str
    term: int
    leader: str
    first_index: int
    configuration: Configuration
    configuration_index: int
    commit_index: int
    applied_index: int
    last_index: int
    peers: list[PeerView]
    fsync: FsyncMode
    fsync_warning: str
    """"" when safe; else what can be lost."""
    groups_written: int
    """Batches written to the log, each with one fsync in mode `always`."""
    entries_written: int
    proposals_queued: int
    overslept: int
    """Times that the loop came more than 200 ms late to a tick."""
    compactions: int
    snapshots_installed: int
    appends_sent: int
    entries_sent: int
