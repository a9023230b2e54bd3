"""Makes the data directory of a cluster's first master out of a backup.

One master is restored, and the others join it empty: so the state, the ids that a restore sets and
the term are decided once, and no two masters can come from two different files.

The directory is made beside its place and renamed when everything in it is durable: a restore that
was interrupted leaves nothing that a master could start with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace as changed

from pydfsnode.config import NodeConfig
from pydfsnode.errors import ConfigError, WrongCluster
from pydfsnode.raft.configuration import Configuration
from pydfsnode.raft.effects import HardState, Install, Persist
from pydfsnode.roles.master.backup_file import OpenedBackup, require_index
from pydfsnode.roles.master.restored_rows import RestoredRows
from pydfsnode.roles.master.store import MasterStore, open_store
from pydfsnode.security.files import sync_directory
from pydfsnode.security.identity import Identity
from pydfsnode.security.key_sources import KekSource
from pydfsnode.security.tls import TlsStore
from pydfsnode.storage.directory import claim_directory, replace_json
from pydfsnode.storage.log_directory import PLACE_NAME, SETTING

BESIDE = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """The first master as it is now. `index` and `backup_time_ms` are the backup's."""

    name: str
    member: str
    data_dir: str
    cluster_id: str
    index: int
    term: int
    backup_time_ms: int
    files: int
    directories: int


def restore(
    config: NodeConfig, file: BinaryIO, name: str, kek: KekSource, wall_ms: int
) -> Restored:
    """Make the directories of the master of *config*, which must be empty or absent.

    Args:
        file: the backup, called *name* in messages.
        kek: where the key-encryption key is that opens it.
        wall_ms: now; every time in the cluster's past is before it.

    Raises:
        ConfigError: a directory is not empty, or *config* is no master's.
        WrongCluster: the backup is another cluster's than this master's certificate.
        KeyUnavailable, SealBroken, CorruptionError, StorageError: the backup cannot be read.
            Nothing is there afterwards, whatever is raised.
    """
    if config.role != "master":
        raise ConfigError(f"{config.node_id} is a {config.role}: a backup is restored to a master")
    places = [Path(text).resolve() for text in (config.data_dir, config.raft_log_dir) if text]
    for place in places:
        _require_empty(place)
    identity = TlsStore.load(config.tls).identity
    backup = OpenedBackup(file, name, kek)
    if backup.head.cluster_id != identity.cluster_id:
        raise WrongCluster(
            f"{name}: is a backup of cluster '{backup.head.cluster_id}', the certificate of "
            f"{config.node_id} is of '{identity.cluster_id}': use the right file or certificate"
        )
    beside = [place.with_name(place.name + BESIDE) for place in places]
    with contextlib.ExitStack() as undo:
        for place in beside:
            shutil.rmtree(place, ignore_errors=True)  # of a restore that was interrupted
            undo.callback(shutil.rmtree, place, ignore_errors=True)
        restored = _make(_at(config, beside), identity, backup, name, wall_ms)
        _put_in_place(places, beside)
        undo.pop_all()
    return dataclasses.replace(restored, data_dir=str(places[0]))


def _at(config: NodeConfig, places: list[Path]) -> NodeConfig:
    """*config* with its directories at *places*."""
    data_dir, *log_dir = map(str, places)
    return changed(config, data_dir=data_dir, raft_log_dir=log_dir[0] if log_dir else None)


def _make(
    config: NodeConfig, identity: Identity, backup: OpenedBackup, name: str, wall_ms: int
) -> Restored:
    """Fill the directories of *config*, then open them as the master will."""
    head = backup.head
    term = max(head.term + 1, wall_ms // 1000)
    with _opened(config, identity) as store:
        _fill(store, backup, RestoredRows(wall_ms))
        own = store.member
        alone = Configuration(voters=(own,), addresses={own: _listen(config)})
        install = Install(head.index, head.term, alone.encode())
        store.log.write(Persist(1, HardState(term), install=install), [], sync=True)
    with _opened(config, identity) as store:
        require_index(store.namespace, head, name)
        return Restored(
            config.node_id, own, config.data_dir, head.cluster_id, head.index, term, head.time_ms,
            store.namespace.file_count, store.namespace.directory_count,
        )  # fmt: skip


@contextlib.contextmanager
def _opened(config: NodeConfig, identity: Identity) -> Iterator[MasterStore]:
    place = Path(config.data_dir)
    with claim_directory(place, identity.cluster_id, config.role, config.node_id):
        store = open_store(config, identity)
        try:
            yield store
        finally:
            store.close()


def _fill(store: MasterStore, backup: OpenedBackup, changing: RestoredRows) -> None:
    """Stage the rows of *backup*; durable on return."""
    stage = store.log.stage(backup.head.index, backup.head.term)
    for rows, _ in backup.slices():
        rows = changing.of(rows)
        stage.add(rows, stage.row_count + len(rows), 0)
    rest = changing.rest()
    stage.add(rest, stage.row_count + len(rest), 0)
    stage.finish(stage.row_count, 0)


def _listen(config: NodeConfig) -> str:
    for peer in config.peers():
        if peer.node_id == config.node_id:
            return peer.listen
    raise ConfigError(
        f"{config.node_id} is not among its configuration's masters: name it there, so that the "
        "others find it"
    )


def _require_empty(place: Path) -> None:
    try:
        found = sorted(path.name for path in place.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    if found:
        raise ConfigError(
            f"{place}: is not empty ({', '.join(found[:5])}): a backup is restored to an empty "
            "directory; move what is there away, it may be newer than the backup"
        )


def _put_in_place(places: list[Path], beside: list[Path]) -> None:
    """Rename what was made; the data directory last: without it no master starts."""
    if len(places) > 1:
        replace_json(beside[0] / PLACE_NAME, {SETTING: str(places[1])})
    for place, made in reversed(list(zip(places, beside, strict=True))):
        made.rename(place)
        sync_directory(place.parent)
