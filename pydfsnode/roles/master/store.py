"""A master's disk at start: keyring, log, membership and the namespace, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from pydfsnode.config import NodeConfig
from pydfsnode.errors import ConfigError, KeyUnavailable
from pydfsnode.meta.rows import TABLES
from pydfsnode.meta.state import Namespace
from pydfsnode.roles.master.machine import load_namespace
from pydfsnode.security.identity import Identity
from pydfsnode.security.keyring import KEYRING_FILE, Keyring
from pydfsnode.storage.directory import MARK_NAME, STORE_NAME
from pydfsnode.storage.durable_mark import DurableMark
from pydfsnode.storage.leveldb import LevelDb
from pydfsnode.storage.raft_log import RaftLog
from pydfsnode.storage.sealed import TABLE_MEMBERSHIP, SealedStore

KEK_NAME = "kek.hex"
KEYS_NAME = "keys"


@dataclass(slots=True)
class MasterStore:
    """What was durable: the log with its membership, and the namespace at its applied index."""

    log: RaftLog
    voters: tuple[str, ...]
    namespace: Namespace

    def close(self) -> None:
        """Close the files; call when nothing is written any more."""
        self.log.close()


def open_store(config: NodeConfig, identity: Identity) -> MasterStore:
    """Open and verify everything; a new directory is made ready.

    Raises:
        KeyUnavailable: the key-encryption key is missing or another one.
        CorruptionError, SealBroken, StorageError: a record cannot be trusted; the node must not
            start.
        ConfigError: the recorded members differ from those configured, or there are none and
            `bootstrap` was not asked for.
    """
    directory = Path(config.data_dir)
    kek_file = Path(config.kek_file) if config.kek_file else directory / KEK_NAME
    if (directory / STORE_NAME).exists() and not (directory / KEYS_NAME / KEYRING_FILE).exists():
        raise KeyUnavailable(
            f"{directory / KEYS_NAME / KEYRING_FILE}: missing, though {directory / STORE_NAME} is "
            "there; without its keys that data cannot be read: restore the file from a backup of "
            "this node, or give the node an empty data_dir"
        )
    (directory / KEYS_NAME).mkdir(mode=0o700, exist_ok=True)
    keyring = Keyring.open(directory / KEYS_NAME, kek_file, identity.cluster_id, identity.name)
    database = LevelDb(directory / STORE_NAME)
    store = SealedStore(database, keyring, identity.cluster_id, identity.name)
    try:
        log = RaftLog.open(store, DurableMark(directory / MARK_NAME))
        voters = _membership(log, config)
        namespace = load_namespace(log.load_rows(TABLES))
    except BaseException:
        store.close()
        raise
    return MasterStore(log, voters, namespace)


def _membership(log: RaftLog, config: NodeConfig) -> tuple[str, ...]:
    """The voters on record; when a cluster is begun those of the configuration, made durable.

    Never by itself: a master whose disk was lost has forgotten its votes, and would vote twice.
    """
    configured = tuple(sorted(peer.node_id for peer in config.peers()))
    if log.membership is None:
        if not config.bootstrap:
            raise ConfigError(
                f"{config.data_dir}: holds no log: to begin a new cluster, start each of its "
                "masters once with --bootstrap; a master that lost its disk must not come back "
                "empty under its old name: restore its data_dir"
            )
        row = (TABLE_MEMBERSHIP, b"", msgspec.msgpack.encode(configured))
        log.write(None, [row], sync=True)
        return configured
    recorded = tuple(msgspec.msgpack.decode(log.membership, type=tuple[str, ...]))
    if recorded != configured:
        raise ConfigError(
            f"masters names {', '.join(configured)}, but this master's log was begun by "
            f"{', '.join(recorded)}: the members of a running cluster are not changed by "
            "configuration; put the old list back"
        )
    return recorded
