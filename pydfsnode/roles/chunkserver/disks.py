"""Opens the disks of a chunkserver: claims each directory, finds the epoch, lists the chunks."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from pydfsnode.config import NodeConfig
from pydfsnode.errors import ConfigError
from pydfsnode.obs.log import get_logger
from pydfsnode.runtime.clock import stopwatch_s
from pydfsnode.security.chunk_keys import ChunkKeys
from pydfsnode.storage.chunk_disk import ChunkDisk
from pydfsnode.storage.chunk_epoch import EpochFile
from pydfsnode.storage.chunk_store import ChunkStore
from pydfsnode.storage.directory import CHUNKS_NAME, claim_directory

_log = get_logger("chunkserver.disks")


class OpenedDisks(NamedTuple):
    """What a chunkserver works with; `claims` are given back when it stops, `keys` come later."""

    store: ChunkStore
    epoch: EpochFile
    claims: contextlib.ExitStack
    keys: ChunkKeys


async def open_disks(config: NodeConfig, cluster_id: str) -> OpenedDisks:
    """Take over the configured directories; `data_dir` is claimed by the caller already.

    A directory that the system does not let us use is left out, as a disk that failed, as long as
    another one is left. One that belongs to somebody else is an error of the configuration.

    Raises:
        ConfigError: no directory can be used, or one is another node's.
        CorruptionError, InvariantViolation: as `EpochFile` and `ChunkStore.open_disks`.
    """
    own = Path(config.data_dir)
    directories = config.chunk_dirs()
    if own not in directories and (own / CHUNKS_NAME).exists():
        raise ConfigError(
            f"{own}: holds chunks, but data_dirs does not name it: add it, or move its chunks away "
            "by decommissioning this chunkserver first"
        )
    disks = [
        ChunkDisk(directory, config.reserved_bytes, number=number, seconds=stopwatch_s)
        for number, directory in enumerate(directories)
    ]
    with contextlib.ExitStack() as claims:
        for disk in disks:
            if disk.directory != own:
                _claim(disk, cluster_id, config.node_id, claims)
        if all(disk.failure for disk in disks):
            raise ConfigError(disks[0].failure)
        keys = ChunkKeys(seconds=stopwatch_s)
        store = await ChunkStore.open_disks(disks, stopwatch_s, config.pack_bytes_max, keys)
        live = [disk.directory for disk in store.disks.live]
        epoch = EpochFile(*dict.fromkeys([own, *live]), on_failure=store.lose_disk)
        return OpenedDisks(store, epoch, claims.pop_all(), keys)


def _claim(disk: ChunkDisk, cluster_id: str, node_id: str, claims: contextlib.ExitStack) -> None:
    try:
        claims.enter_context(
            claim_directory(disk.directory, cluster_id, "chunkserver", node_id, "data_dirs")
        )
    except ConfigError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        disk.failure = str(error)
        _log.error("a disk is left out", disk=str(disk.directory), error=str(error))
