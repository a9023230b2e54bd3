"""Forced recovery when the majority of masters is lost: one survivor goes on as the only member.

This is no Raft: a single master decides for a majority that cannot be asked. So it is a command
that works on a stopped master's disk, says what it risks, and gives the data directory a new
incarnation: for the old masters the survivor has left for ever, whatever they still send it, and
they cannot come back without an empty directory, as their logs may hold what this one never saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydfsnode._fast import encode_entry
from pydfsnode.config import NodeConfig
from pydfsnode.errors import ConfigError
from pydfsnode.raft.configuration import Configuration, member_id, member_name
from pydfsnode.raft.effects import HardState
from pydfsnode.raft.types import KIND_CONFIGURATION
from pydfsnode.roles.master.store import MasterStore, has_store, open_store
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.directory import claim_directory
from pydfsnode.storage.log_recovery import encode_hard_state, encode_incarnation, entry_crc
from pydfsnode.storage.raft_log import draw_incarnation
from pydfsnode.storage.sealed import (
    TABLE_ENTRY,
    TABLE_HARD_STATE,
    TABLE_LOG_BOUNDS,
    TABLE_NODE,
)
from pydfsnode.storage.term_runs import row_checksum


@dataclass(frozen=True, slots=True)
class Survivor:
    """What a stopped master holds. Compare `last_term` first, then `last_index`."""

    name: str
    member: str
    members: list[str]
    term: int
    last_term: int
    last_index: int
    applied_index: int


@contextmanager
def _opened(config: NodeConfig) -> Iterator[MasterStore]:
    """The store of a master that does not run.

    Raises:
        DirectoryLocked: it runs.
        ConfigError: there is no master's data.
    """
    if config.role != "master":
        raise ConfigError(f"{config.node_id} is a {config.role}: only a master holds the log")
    if not has_store(config):
        raise ConfigError(f"{config.data_dir}: holds no master's data")
    identity = TlsStore.load(config.tls).identity
    with claim_directory(Path(config.data_dir), identity.cluster_id, config.role, config.node_id):
        store = open_store(config, identity)
        try:
            yield store
        finally:
            store.close()


def inspect(config: NodeConfig) -> Survivor:
    """What the stopped master of *config* holds; changes nothing."""
    with _opened(config) as store:
        return _survivor(config, store)


def recover(config: NodeConfig, new_incarnation: Callable[[], int] = draw_incarnation) -> Survivor:
    """Make the stopped master of *config* the only member of its cluster.

    One configuration entry in a new term, of which this master is the only voter: when it starts
    it is elected by itself, and commits all that it holds.

    Raises:
        DirectoryLocked: it runs.
        ConfigError: it belongs to no cluster.
    """
    with _opened(config) as store:
        if not store.configuration.members:
            raise ConfigError(
                f"{config.data_dir}: belongs to no cluster, so there is none to recover"
            )
        _write(config, store, new_incarnation())
    return inspect(config)


def _write(config: NodeConfig, store: MasterStore, incarnation: int) -> None:
    """The forced step in one atomic batch; the log's own writer knows no new incarnation."""
    own = member_id(config.node_id, incarnation)
    listen = {peer.node_id: peer.listen for peer in config.peers()}
    alone = Configuration(voters=(own,), addresses={own: listen[config.node_id]})
    bounds = store.log.bounds
    index, term = bounds.last_index + 1, store.log.hard_state.term + 1
    entry = encode_entry(index, term, KIND_CONFIGURATION, alone.encode())
    hard_state = encode_hard_state(HardState(term, own))
    bounds = bounds._replace(
        group=bounds.group + 1, last_index=index, last_term=term, last_crc=entry_crc(entry),
        incarnation=incarnation, hard_state_crc=row_checksum(hard_state), terms_crc=0,
    )  # fmt: skip
    batch = store.sealed.seal_numbered(TABLE_ENTRY, index, [entry])
    batch += store.sealed.seal_rows(
        [
            (TABLE_HARD_STATE, b"", hard_state),
            (TABLE_NODE, b"", encode_incarnation(incarnation)),
            (TABLE_LOG_BOUNDS, b"", bounds.encode()),
        ]
    )
    store.sealed.kv.write(batch, True)


def _survivor(config: NodeConfig, store: MasterStore) -> Survivor:
    start = store.log.start
    last_term = start.term_runs[-1][1] if start.term_runs else start.prev_term
    return Survivor(
        name=config.node_id,
        member=store.member,
        members=[member_name(member) for member in store.configuration.members],
        term=store.log.hard_state.term,
        last_term=last_term,
        last_index=start.last_index,
        applied_index=store.namespace.applied_index,
    )
