"""A master's disk at start: keyring, log, membership and the namespace, opened and checked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.config import NodeConfig
from pydfsnode.errors import CorruptionError, KeyUnavailable
from pydfsnode.meta.rows import TABLES
from pydfsnode.meta.state import Namespace
from pydfsnode.obs.log import get_logger
from pydfsnode.raft.configuration import Configuration, member_id, member_name
from pydfsnode.roles.master.machine import load_namespace
from pydfsnode.security.identity import Identity
from pydfsnode.security.key_sources import KekSource, lies_with
from pydfsnode.security.key_sources import kek_source as source_of
from pydfsnode.security.keyring import KEYRING_FILE, Keyring
from pydfsnode.storage.directory import STORE_NAME
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.log_bounds import REMEDY
from pydfsnode.storage.log_directory import LogDirectory, claim_log_directory
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import SealedStore

_log = get_logger("roles.master.store")

KEK_NAME = "kek.hex"
KEYS_NAME = "keys"


@dataclass(slots=True)
class MasterStore:
    """What was durable: the log, and the namespace at its applied index.

    `member` is this master's member id: its name and its data directory's incarnation.
    """

    place: LogDirectory
    keyring: Keyring
    sealed: SealedStore
    log: RaftLog
    member: str
    namespace: Namespace

    @property
    def configuration(self) -> Configuration:
        """The members as of the log's end; none in a master that belongs to no cluster."""
        start = self.log.start
        latest = start.configurations[-1][1] if start.configurations else start.base
        return Configuration() if latest is None else Configuration.decode(latest)

    def close(self) -> None:
        """Close the files; call when nothing is written any more."""
        self.log.close()
        self.place.release()


KEK_REMEDY = (
    "move it to another disk (kek_file), or to the environment (kek_env) or a key service "
    "(kek_command): docs/security.md, 'Moving the KEK'"
)


def has_store(config: NodeConfig) -> bool:
    """Whether there is a log where the configuration says."""
    return (Path(config.raft_log_dir or config.data_dir) / STORE_NAME).exists()


def open_store(config: NodeConfig, identity: Identity) -> MasterStore:
    """Open and verify everything; a new directory is made ready. `data_dir` is claimed already.

    Raises:
        KeyUnavailable: the key-encryption key is missing or another one.
        CorruptionError, SealBroken, StorageError: a record cannot be trusted; the node must not
            start.
        ConfigError, DirectoryLocked, WrongCluster: the log's directory cannot be used.
    """
    directory = Path(config.data_dir)
    with contextlib.ExitStack() as undo:
        place = claim_log_directory(
            directory, config.raft_log_dir, identity.cluster_id, identity.name
        )
        undo.callback(place.release)
        keyring = _keyring(config, directory, place.store, identity)
        store = SealedStore(LevelDb(place.store), keyring, identity.cluster_id, identity.name)
        undo.callback(store.close)
        log = RaftLog.open(store, DurableMark(place.mark))
        member = member_id(config.node_id, log.incarnation)
        namespace = load_namespace(log.load_rows(TABLES))
        if log.state_index > namespace.applied_index:
            raise CorruptionError(
                f"the state's head is of entry {namespace.applied_index}, the log bounds say "
                f"{log.state_index}: it was replaced by an older one, or removed; {REMEDY}"
            )
        if log.state_index < namespace.applied_index:  # written before the log recorded it
            log.write(None, [], True, namespace.applied_index)
        opened = MasterStore(place, keyring, store, log, member, namespace)
        undo.pop_all()
    return opened


def kek_path(config: NodeConfig) -> Path:
    """Where the key-encryption key of this master lies."""
    return Path(config.kek_file) if config.kek_file else Path(config.data_dir) / KEK_NAME


def kek_source(config: NodeConfig) -> KekSource:
    """Where the key-encryption key of this master comes from."""
    return source_of(kek_path(config), config.kek_env, config.kek_command, _data(config))


def kek_with_data(config: NodeConfig) -> str:
    """The KEK's file when it lies on a disk of the data that it opens; else ""."""
    path = kek_path(config)
    is_file = not config.kek_command and not config.kek_env
    return str(path) if is_file and lies_with(path, _data(config)) else ""


def _data(config: NodeConfig) -> list[Path]:
    return [Path(place) for place in (config.data_dir, config.raft_log_dir) if place]


def _keyring(config: NodeConfig, directory: Path, store: Path, identity: Identity) -> Keyring:
    keys = directory / KEYS_NAME
    if store.exists() and not (keys / KEYRING_FILE).exists():
        raise KeyUnavailable(
            f"{keys / KEYRING_FILE}: missing, though {store} is "
            "there; without its keys that data cannot be read: restore the file from a backup of "
            "this node, or give the node an empty data_dir"
        )
    keys.mkdir(mode=0o700, exist_ok=True)
    keyring = Keyring.open(keys, kek_source(config), identity.cluster_id, identity.name)
    if where := kek_with_data(config):
        _log.warning(
            "the key-encryption key lies on a disk of the data that it opens",
            file=where, remedy=KEK_REMEDY,
        )  # fmt: skip
    return keyring


def warn_of_other_masters(configuration: Configuration, config: NodeConfig) -> None:
    """Say so when the file names other masters than the log, which decides."""
    recorded = sorted({member_name(member) for member in configuration.members})
    configured = sorted(peer.node_id for peer in config.peers())
    if recorded and recorded != configured:
        _log.warning(
            "the configuration file names other masters than the log, which decides",
            file=configured,
            log=recorded,
        )
