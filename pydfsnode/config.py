"""Configuration files: typed, unknown keys refused, errors that name file, key and remedy."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from pydfsnode import limits
from pydfsnode.errors import ConfigError
from pydfsnode.ids import rack_parts

CONFIG_VARIABLE = "PYDFSNODE_CONFIG"
CLIENT_CONFIG_DEFAULT = Path("~/.config/pydfsnode/client.toml")


class Peer(msgspec.Struct, frozen=True):
    """A master as others reach it: `m1=host:port` in a configuration."""

    node_id: str
    listen: str

    @classmethod
    def parse(cls, text: str) -> Peer:
        node_id, separator, listen = text.partition("=")
        if not separator or not node_id or not is_address(listen):
            raise ConfigError(f"'{text}' is not a master: write NAME=HOST:PORT, as m1=h:7001")
        return cls(node_id, listen)

    def __str__(self) -> str:
        return f"{self.node_id}={self.listen}"


def is_address(text: str) -> bool:
    """Whether *text* is host:port with a port in 1..65535."""
    host, separator, port = text.rpartition(":")
    # isdigit() alone takes "²" and numbers of 5,000 digits too, which int() does not.
    is_number = port.isascii() and port.isdigit() and len(port) <= 5
    return bool(separator and host) and is_number and 0 < int(port) < 65536


def split_address(text: str) -> tuple[str, int]:
    """('host', port) of "host:port"; IPv6 hosts stand in brackets.

    Raises:
        ConfigError: *text* is not an address.
    """
    if not is_address(text):
        raise ConfigError(f"'{text}' is not an address: write HOST:PORT, as 10.0.0.1:7001")
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class TlsFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths of PEM files: the cluster's CA, this node's or user's certificate and its key."""

    ca: str
    cert: str
    key: str


class RaftTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Timing of consensus; equal on all masters."""

    tick_ms: int = 20
    heartbeat_ms: int = 60
    election_timeout_ms: int = 500
    """Smallest election timeout; each is drawn from [1x, 2x)."""
    clock_drift: float = 0.05
    """How much faster one master's clock may run than another's; leases are shorter by it."""
    disk_stall_ms: int = 2_000
    """A leader whose log write takes longer than this steps down."""


class SnapshotPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a master drops the head of its log, and how fast it sends snapshots."""

    log_entries_max: int = 100_000
    log_bytes_max: int = 256 * limits.MIB
    """Either being exceeded starts a compaction."""
    keep_entries: int = 10_000
    """Kept for followers that are a little behind."""
    bytes_per_s: int = 64 * limits.MIB
    """Of one transfer, compressed."""


class AuditPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The audit trail of a master or chunkserver; see docs/audit.md."""

    dir: str | None = None
    """None: beside data_dir, as DATA_DIR-audit: names and paths can be read in it."""
    format: Literal["json", "hdfs"] = "json"
    reads: Literal["none", "open", "all"] = "open"
    """Master: which reads are recorded: none, all but questions for the status and names of files,
    or all; those that were denied are in any case."""
    chunks: Literal["none", "writes", "all"] = "none"
    """Chunkserver: which chunks' writes and reads are recorded; those denied are in any case."""
    fail_closed: bool = False
    """Refuse what cannot be recorded; else it is done and the trail tells how much is missing."""
    sync_interval_ms: int = 1000
    """Records lie on the disk after so long at the latest; administrative acts and denials soon."""
    rotate_bytes: int = 256 * limits.MIB
    rotate_hours: float = 24.0
    """Either being exceeded begins another file."""
    checkpoint_records: int = 10_000
    checkpoint_seconds: float = 30.0
    """Either being exceeded has the trail's position signed and kept by all masters."""


class NodeConfig(msgspec.Struct, forbid_unknown_fields=True):
    """One node's configuration file (TOML); command-line flags override its fields."""

    role: Literal["master", "chunkserver", "gateway"]
    node_id: str
    data_dir: str
    listen: str
    grpc_listen: str
    http_listen: str
    masters: list[str]
    tls: TlsFiles
    bootstrap: bool = False
    rack: str = "default"
    """Chunkserver: where it stands, from the widest domain that fails as one: "/dc1/room2/r7"."""
    fsync: Literal["always", "batch", "off"] = "always"
    fsync_interval_ms: int = 50
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_dir: str | None = None
    kek_file: str | None = None
    """Master: 32 random bytes, hex; made on first start beside the data when absent."""
    kek_env: str | None = None
    """Master: the environment variable that holds those digits, in place of a file."""
    kek_command: list[str] = msgspec.field(default_factory=list)
    """Master: program and arguments that wrap and unwrap that key, in place of a file."""
    raft: RaftTiming = msgspec.field(default_factory=RaftTiming)
    raft_log_dir: str | None = None
    """Master: directory of the log and state table, on a disk of its own; else in data_dir."""
    snapshot: SnapshotPolicy = msgspec.field(default_factory=SnapshotPolicy)
    consistency: str = "linearizable"
    """Of reads that do not say: linearizable, lease, bounded:MS or stale."""
    read_only: bool = False
    """Master: refuse every change of the namespace while it leads; reads go on."""
    groups: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Master: the users of each group; members of supergroup may do everything. Equal on all."""
    may_act_for: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Master: the users for whom each gateway may act. Equal on all."""
    inline_bytes_max: int = limits.INLINE_BYTES_MAX
    """Master: files up to this size are stored with their inodes; 0: none."""
    inline_total_bytes_max: int = 1024 * limits.MIB
    """Master: beyond this sum of small files' contents new ones go to chunkservers."""
    trash_keep_minutes: int = 1440
    """Master: what was moved to the trash is removed after this time; 0: never by itself."""
    audit: AuditPolicy = msgspec.field(default_factory=AuditPolicy)
    seal_chunks: bool = True
    """Master: chunks lie encrypted on chunkservers, unless their directory says otherwise."""
    forget_keys_after_ms: int = 21_600_000
    """Master: after a file with a key of its own was deleted, all masters destroy within this time
    what could still open it. Each time their stores are sealed anew."""
    certificate_days: int = 90
    """Master: how long certificates are valid that the masters sign."""
    replication: int = 3
    min_replicas: int = 1
    """On fewer chunkservers no chunk is written; masters."""
    chunk_bytes: int = limits.CHUNK_BYTES_DEFAULT
    heartbeat_ms: int = 1000
    dead_after_ms: int = 10_000
    """A chunkserver silent for this long is dead: its replicas are made again elsewhere."""
    repair_bytes_per_s: int = 0
    """Master: of all copies together that it orders for repair; 0: no limit."""
    repair_server_bytes_per_s: int = 0
    """Master: of what one chunkserver takes, and of what it gives, for repair; 0: no limit."""
    reserved_bytes: int = 64 * limits.MIB
    """Chunkserver: space left free on each disk for everything else."""
    data_dirs: list[str] = msgspec.field(default_factory=list)
    """Chunkserver: where chunks go, each on a disk of its own; none: data_dir alone."""
    disk_timeout_ms: int = 30_000
    """Chunkserver: a disk that has been at one read or write for so long is not used any more."""
    pack_bytes_max: int = limits.MIB
    """Chunkserver: chunks up to this size are packed into segment files; 0: none."""
    scrub_period_days: float = 14.0
    """Chunkserver: everything stored is read and verified once in this time; 0: never."""

    def peers(self) -> list[Peer]:
        """The masters, parsed."""
        return [Peer.parse(text) for text in self.masters]

    def audit_dir(self) -> Path:
        """Where the audit trail is."""
        data_dir = Path(self.data_dir)
        return Path(self.audit.dir or data_dir.with_name(f"{data_dir.name}-audit"))

    def chunk_dirs(self) -> list[Path]:
        """Chunkserver: the directories that chunks go to."""
        return [Path(text) for text in self.data_dirs or [self.data_dir]]


ReplaceOnFailure = Literal["never", "default", "always"]


class ClientConfig(msgspec.Struct, forbid_unknown_fields=True):
    """client.toml: how a program or person reaches a cluster."""

    masters: list[str]
    tls: TlsFiles
    replication: int = 0
    """Of files created; 0: the cluster's default."""
    chunk_bytes: int = 0
    timeout_ms: int = 30_000
    """Deadline of one operation, all its attempts included."""
    timeouts_ms: dict[str, int] = msgspec.field(default_factory=dict)
    """Of single operations, by name, in place of `timeout_ms`: { rename = 60000 }."""
    retries: int | None = None
    """How often an operation is tried again at most; None: as often as its deadline allows."""
    consistency: str | None = None
    """Of reads: linearizable, lease, bounded:MS or stale; None: as the masters are configured."""
    parallel: int = 8
    umask: str = "022"
    """Octal: permission bits that files and directories made do not get."""
    inline_bytes_max: int = limits.INLINE_BYTES_MAX
    """Files up to this size are created with their content in one request; 0: none."""
    replace_on_failure: ReplaceOnFailure = "default"
    """Whether a chunkserver that fails in the middle of a chunk is replaced at once: never, always,
    or by default as HDFS does, see client/replacement.py."""
    rack: str = ""
    """Where the client stands, as "/dc1/r7": near replicas are read first; "": unknown."""
    hedged_reads: bool = True
    """Ask a second replica when the first is later than usual."""
    read_ahead_bytes: int = limits.READ_AHEAD_BYTES_DEFAULT
    """Of one file that is read in order, in memory at once."""

    def umask_bits(self) -> int:
        """The umask, parsed.

        Raises:
            ConfigError: it is not octal, or would leave nothing.
        """
        bits = int(self.umask, 8) if re.fullmatch("[0-7]{1,4}", self.umask) else 0o777
        if bits & 0o600 == 0o600 or bits > 0o777:
            raise ConfigError(
                f'umask = "{self.umask}" is not octal of bits to take away, as "022"; what '
                "remains must let the owner read or write"
            )
        return bits

    def peers(self) -> list[Peer]:
        """The masters, parsed."""
        return [Peer.parse(text) for text in self.masters]


T = TypeVar("T")


def load_toml(path: Path, kind: type[T], overrides: dict[str, Any] | None = None) -> T:
    """Read *path* as *kind*; `overrides` replace fields. Relative paths in `tls` are the file's.

    Raises:
        ConfigError: the file is missing or not TOML; a field is missing, unknown or mistyped.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such configuration file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    raw.update(overrides or {})
    try:
        _anchor_paths(raw, path.parent)
    except RuntimeError:
        raise ConfigError(f"{path}: a path begins with the ~ of a user that is not here") from None
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None


def _anchor_paths(raw: dict[str, Any], base: Path) -> None:
    tls = raw.get("tls")
    if isinstance(tls, dict):
        for name, value in tls.items():
            if isinstance(value, str):
                tls[name] = str(base / Path(value).expanduser())
    for name in ("data_dir", "log_dir", "raft_log_dir", "kek_file"):
        value = raw.get(name)
        if isinstance(value, str):
            raw[name] = str(base / Path(value).expanduser())
    audit = raw.get("audit")
    if isinstance(audit, dict) and isinstance(audit.get("dir"), str):
        audit["dir"] = str(base / Path(audit["dir"]).expanduser())
    several = raw.get("data_dirs")
    if isinstance(several, list) and all(isinstance(value, str) for value in several):
        raw["data_dirs"] = [str(base / Path(value).expanduser()) for value in several]
        if several:  # the node's own files go to the first one
            raw.setdefault("data_dir", raw["data_dirs"][0])


def load_node_config(path: Path, overrides: dict[str, Any] | None = None) -> NodeConfig:
    """Read a node's configuration and check what types cannot.

    Raises:
        ConfigError: with the file, the key, the value and what is allowed.
    """
    config = load_toml(path, NodeConfig, overrides)
    for name in ("listen", "grpc_listen", "http_listen"):
        split_address(getattr(config, name))
    peers = config.peers()
    if not peers:
        raise ConfigError(f"{path}: masters is empty: name at least one as NAME=HOST:PORT")
    if len({p.node_id for p in peers}) != len(peers):
        raise ConfigError(f"{path}: masters names a node twice")
    if config.role == "master" and config.node_id not in {p.node_id for p in peers}:
        raise ConfigError(f"{path}: node_id '{config.node_id}' is not one of masters")
    if not limits.CHUNK_BYTES_MIN <= config.chunk_bytes <= limits.CHUNK_BYTES_MAX:
        raise ConfigError(
            f"{path}: chunk_bytes {config.chunk_bytes} is not in "
            f"{limits.CHUNK_BYTES_MIN}..{limits.CHUNK_BYTES_MAX}"
        )
    _check_disks(path, config)
    if not 1 <= config.replication <= limits.REPLICATION_MAX:
        raise ConfigError(
            f"{path}: replication {config.replication} is not in 1..{limits.REPLICATION_MAX}"
        )
    if not 1 <= config.min_replicas <= config.replication:
        raise ConfigError(
            f"{path}: min_replicas {config.min_replicas} is not in 1..{config.replication}, the "
            "replication"
        )
    _check_rack(path, config.rack)
    if not 1 <= config.certificate_days <= 3650:
        raise ConfigError(f"{path}: certificate_days {config.certificate_days} is not in 1..3650")
    _check_audit(path, config.audit)
    for name in ("repair_bytes_per_s", "repair_server_bytes_per_s"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{path}: {name} is below 0; 0 means no limit")
    return config


def _check_audit(path: Path, audit: AuditPolicy) -> None:
    for name, value, least, most in (
        ("sync_interval_ms", audit.sync_interval_ms, 10, 60_000),
        ("rotate_bytes", audit.rotate_bytes, 64 * limits.KIB, 1 << 40),
        ("rotate_hours", audit.rotate_hours, 0.01, 8_784),
        ("checkpoint_records", audit.checkpoint_records, 1, 10_000_000),
        ("checkpoint_seconds", audit.checkpoint_seconds, 1, 86_400),
    ):
        if not least <= value <= most:
            raise ConfigError(f"{path}: [audit] {name} {value} is not in {least}..{most}")


def _check_disks(path: Path, config: NodeConfig) -> None:
    if config.data_dirs and config.role != "chunkserver":
        raise ConfigError(f"{path}: data_dirs is for chunkservers; a {config.role} has data_dir")
    if len(config.data_dirs) > limits.DISKS_MAX:
        raise ConfigError(f"{path}: data_dirs names more than {limits.DISKS_MAX} directories")
    if len({Path(text).resolve() for text in config.data_dirs}) != len(config.data_dirs):
        raise ConfigError(f"{path}: data_dirs names a directory twice")
    for name, value, most in (
        ("reserved_bytes", config.reserved_bytes, 1 << 60),
        ("pack_bytes_max", config.pack_bytes_max, limits.PACKET_BYTES),
        ("scrub_period_days", config.scrub_period_days, 3650),
    ):
        if not 0 <= value <= most:
            raise ConfigError(f"{path}: {name} {value} is not in 0..{most}")
    if not 1_000 <= config.disk_timeout_ms <= 3_600_000:
        raise ConfigError(
            f"{path}: disk_timeout_ms {config.disk_timeout_ms} is not in 1000..3600000"
        )


def _check_rack(path: Path, rack: str) -> None:
    try:
        rack_parts(rack)
    except ValueError as error:
        text = f'{path}: rack = "{rack}": {error}; write it as "/dc1/room2/r7"'
        raise ConfigError(text) from None


def client_config_path(given: str | Path | None = None) -> Path:
    """Where the client's configuration is: *given*, else $PYDFSNODE_CONFIG, else the home's."""
    if given is not None:
        return Path(given)
    variable = os.environ.get(CONFIG_VARIABLE)
    if variable:
        return Path(variable)
    return CLIENT_CONFIG_DEFAULT.expanduser()


def load_client_config(given: str | Path | None = None) -> ClientConfig:
    """Read the client's configuration; arguments as `client_config_path`.

    Raises:
        ConfigError: naming the file and how to get one.
    """
    path = client_config_path(given)
    if not path.exists():
        raise ConfigError(
            f"{path}: no client configuration; set {CONFIG_VARIABLE} to one "
            "('pydfsnode dev up' makes a local cluster and prints the line)"
        )
    config = load_toml(path, ClientConfig)
    if not config.peers():
        raise ConfigError(f"{path}: masters is empty: name at least one as NAME=HOST:PORT")
    config.umask_bits()
    if not 0 <= config.inline_bytes_max <= limits.INLINE_BYTES_MAX:
        raise ConfigError(
            f"{path}: inline_bytes_max {config.inline_bytes_max} is not in "
            f"0..{limits.INLINE_BYTES_MAX}"
        )
    _check_rack(path, config.rack)
    least, most = limits.READ_AHEAD_BYTES_MIN, limits.READ_AHEAD_BYTES_MAX
    if not least <= config.read_ahead_bytes <= most:
        raise ConfigError(
            f"{path}: read_ahead_bytes {config.read_ahead_bytes} is not in {least}..{most}"
        )
    return config
