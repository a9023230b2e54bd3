"""The values that the client's calls take and return: plain frozen records, no protobuf.

Field names are those of the JSON that `fs stat --json` and `cluster status --json` promise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from pydfsnode.client.fleet import Scrub

FILE, DIRECTORY = "file", "directory"
INLINE = 0
"""The version of a chunk that the masters keep themselves."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A chunkserver as clients reach it: node id and host:port; rack "": not told."""

    node_id: str
    listen: str
    rack: str = ""


class Freshness(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The label on a read that was not plain: at most `staleness_ms` old (-1: nobody knows)."""

    linearizable: bool
    staleness_ms: int
    served_by: str
    leader_hint: str = ""
    """Who leads, when another master answered and knew: "node_id=host:port"."""

    @property
    def may_miss(self) -> bool:
        """Whether something acknowledged before the read may be missing in it."""
        return not self.linearizable and self.staleness_ms != 0

    def staler_than(self, other: Freshness | None) -> bool:
        """Whether less is promised than by *other*; an unknown age is the least."""
        if other is None or other.linearizable or self.linearizable:
            return not self.linearizable
        return other.staleness_ms >= 0 and not 0 <= self.staleness_ms <= other.staleness_ms


# A Struct: its construction, once for each stat and each listed entry, takes a fifth of the time.
class FileStatus(msgspec.Struct, frozen=True, gc=False):
    """What the namespace knows of one path. Sizes in bytes, times in milliseconds since 1970."""

    path: str
    type: str
    size: int
    replication: int
    owner: str
    group: str
    mode: int
    mtime_ms: int
    checksum: str = ""
    inode_id: int = 0
    chunk_bytes: int = 0
    under_construction: bool = False
    child_count: int = 0
    ctime_ms: int = 0
    atime_ms: int = 0
    has_acl: bool = False
    """The group bits of `mode` are the mask of an ACL."""
    inline: bool = False
    """The masters keep its content themselves."""
    freshness: Freshness | None = None
    """None: linearizable."""

    @property
    def name(self) -> str:
        """The last part of the path; "" for the root."""
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.type == DIRECTORY


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """A finished chunk as the namespace records it; crc32c is of all its bytes."""

    chunk_id: int
    version: int
    length: int
    crc32c: int


class ChunkLocation(msgspec.Struct, frozen=True, gc=False):
    """Where the bytes [offset, offset + length) of a file are; of version INLINE: what they are."""

    chunk_id: int
    version: int
    offset: int
    length: int
    crc32c: int
    replicas: tuple[Replica, ...]
    inline_content: bytes = b""
    capability: bytes = b""
    """What chunkservers want to see; good for minutes."""


@dataclass(frozen=True, slots=True)
class ChunkBase:
    """What a chunk begins with: bytes [0, length) of another, or of an older version of itself."""

    chunk_id: int
    version: int
    length: int
    crc32c: int
    sources: tuple[Replica, ...]
    capability: bytes = b""
    """Of another chunk: for reading it."""


@dataclass(frozen=True, slots=True)
class AllocatedChunk:
    """A new chunk and its write pipeline, in order; epoch fences the allocating master.

    `base`: what it begins with on every server, before anything is sent.
    """

    chunk_id: int
    version: int
    epoch: int
    targets: tuple[Replica, ...]
    seal: int = 0
    """Whether it is sealed at rest, a `SealChoice`: for the chunkservers."""
    base: ChunkBase | None = None
    capability: bytes = b""
    """For writing and ending it."""
    chunk_bytes: int = 0
    """It gets no longer; 0: not said."""


class Listing(msgspec.Struct, frozen=True):
    """One page of a directory, sorted by name; more: further entries follow the last one."""

    entries: list[FileStatus]
    more: bool
    freshness: Freshness | None = None


class FileLocations(msgspec.Struct, frozen=True, gc=False):
    """A file's status and its chunks by offset.

    `open_chunk`: of a file that is written; how long it is, the chunkservers say. It takes the
    place of the chunk at its offset, if there is one.
    """

    status: FileStatus
    chunks: tuple[ChunkLocation, ...]
    open_chunk: ChunkLocation | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new file for the caller to write, and its first chunk if the masters began that."""

    status: FileStatus
    chunk: AllocatedChunk | None


@dataclass(frozen=True, slots=True)
class Reopened:
    """A closed file that the caller writes again; its inline content, to be written in front."""

    status: FileStatus
    inline_content: bytes


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A step of a search; `next` is where to go on, "" when everything was looked at."""

    entries: list[FileStatus]
    next: str


@dataclass(frozen=True, slots=True)
class Acl:
    """Who may do what: entries as "user:alice:rwx", those of new children as "default:..."."""

    owner: str
    group: str
    mode: int
    entries: tuple[str, ...]
    default_entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot of a directory; its files lie under DIRECTORY/.snapshot/NAME."""

    name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What happened to `path`: + made, - deleted, M changed, R moved to `target` (else "")."""

    kind: str
    path: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals under a path; bytes_replicated counts every copy. Quotas are the path's own, 0: none.

    names_quota limits the files and directories, the path included; space_quota bytes_replicated.
    """

    directories: int
    files: int
    bytes: int
    bytes_replicated: int
    names_quota: int = 0
    space_quota: int = 0
    freshness: Freshness | None = None
    """None: linearizable."""


@dataclass(frozen=True, slots=True)
class MasterState:
    """A master as the leader sees it; lag in log entries, the last three as in members.Member."""

    id: str
    role: str
    match_index: int
    lag: int
    listen: str
    recently_active: bool
    membership: str = "voter"
    incarnation: int = 0
    replication: str = ""


@dataclass(frozen=True, slots=True)
class ChunkserverState:
    """A chunkserver as the leader sees it."""

    id: str
    state: str
    chunks: int
    used_bytes: int
    free_bytes: int
    rack: str
    listen: str
    last_heartbeat_ms_ago: int
    health_score: float = 1.0
    """0 to 1, made of what `health_reasons` name."""
    condition: str = "ok"
    """ok, slow or avoided: the latter two get new replicas and readers only when others cannot."""
    health_reasons: tuple[str, ...] = ()
    streams: int = 0
    queued: int = 0
    disks: int = 1
    failed_disks: int = 0
    write_p99_ms: float = 0.0
    read_p99_ms: float = 0.0
    admin_state: str = "in service"
    """in service, decommissioning, decommissioned or maintenance."""
    scrub: Scrub | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A named finding: what is wrong and the next command."""

    code: str
    severity: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PeerLink:
    """How the calls of a node to *peer* went; `breaker`: closed, open or half_open."""

    peer: str
    address: str
    breaker: str
    failures: int
    """In a row."""
    retry_in_ms: int
    last_failure: str
    faults: dict[str, int]
    """How often each kind was met, since the start of the node that calls."""


@dataclass(frozen=True, slots=True)
class NodeLinks:
    """How the calls of one node go; `problem`: why it did not say, "" when it did."""

    node: str
    links: list[PeerLink]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The answer of the leader to "how are we": what `cluster status --json` prints."""

    cluster_id: str
    health: str
    checks: list[HealthCheck]
    leader: str
    term: int
    commit_index: int
    applied_index: int
    masters: list[MasterState]
    chunkservers: list[ChunkserverState]
    under_replicated: int = 0
    missing: int = 0
    chunks: int = 0
    files: int = 0
    directories: int = 0
    fsync: str = "always"
    repairs_running: int = 0
    appends_sent: int = 0
    """This and the next three: what the leader did for its log since it was started."""
    entries_sent: int = 0
    groups_written: int = 0
    """Batches, each with one fsync."""
    entries_written: int = 0
    safe_mode: str = ""
    """Why the leader orders no repair at the moment, "" when it does."""
    links: list[PeerLink] = field(default_factory=list)
    """From the leader to the other nodes."""

    def live_chunkservers(self) -> list[ChunkserverState]:
        """The chunkservers that can take work."""
        return [server for server in self.chunkservers if server.state == "live"]
