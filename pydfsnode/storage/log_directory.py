"""Where a master's log and state lie: in its data directory, or in one on a disk of its own.

A directory of its own (`raft_log_dir`) is claimed like the data directory, by lock and stamp, and
its place is written down in the data directory (`raft-log-dir.json`). So a log that was left behind
by a change of the configuration, or a disk that is not mounted, is found out: the master would
begin an empty log otherwise and forget its votes.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pydfsnode.errors import ConfigError, CorruptionError
from pydfsnode.storage.directory import (
    MARK_NAME,
    STAMP_NAME,
    STORE_NAME,
    ClaimedDirectory,
    claim_directory,
    read_json,
    replace_json,
)

PLACE_NAME = "raft-log-dir.json"
SETTING = "raft_log_dir"

_ROLE = "master"


@dataclass(frozen=True, slots=True)
class LogDirectory:
    """Where the store and its durable mark lie. Release it when the log is closed."""

    path: Path
    claimed: ClaimedDirectory | None

    @property
    def store(self) -> Path:
        """The LevelDB directory."""
        return self.path / STORE_NAME

    @property
    def mark(self) -> Path:
        """The durable mark."""
        return self.path / MARK_NAME

    def release(self) -> None:
        """Let others use a directory of its own; may be called twice."""
        if self.claimed is not None:
            self.claimed.release()


def claim_log_directory(
    data_dir: Path, raft_log_dir: str | None, cluster_id: str, node_id: str
) -> LogDirectory:
    """Find, check and claim the directory of the log. *data_dir* is claimed already.

    Raises:
        DirectoryLocked: another process uses it.
        WrongCluster: it belongs to another cluster, role or node than the data directory.
        ConfigError: it cannot be used, or the log lies in another place than the configuration
            says; the message names both.
        CorruptionError: its stamp, or the record of its place, is damaged.
        DiskFull, StorageError: stamp or record cannot be written.
    """
    data_dir = data_dir.resolve()
    wanted = Path(raft_log_dir).resolve() if raft_log_dir else data_dir
    recorded = _recorded(data_dir)
    _require_not_elsewhere(data_dir, wanted, recorded)
    if wanted == data_dir:
        if recorded is not None:  # moved back
            (data_dir / PLACE_NAME).unlink()
        return LogDirectory(data_dir, None)
    if recorded == wanted and not (wanted / STAMP_NAME).exists():
        raise ConfigError(
            f"{wanted}: {SETTING} held this master's log, and is empty now: mount its disk, or "
            "restore it from a backup of this node"
        )
    with contextlib.ExitStack() as undo:
        claimed = claim_directory(wanted, cluster_id, _ROLE, node_id, SETTING)
        undo.callback(claimed.release)
        if recorded != wanted:
            replace_json(data_dir / PLACE_NAME, {SETTING: str(wanted)})
        undo.pop_all()
    return LogDirectory(wanted, claimed)


def _recorded(data_dir: Path) -> Path | None:
    """Where the log was at the last start, when it had a directory of its own."""
    record = read_json(data_dir / PLACE_NAME)
    if record is None:
        return None
    place = record.get(SETTING)
    if not isinstance(place, str):
        raise CorruptionError(
            f"{data_dir / PLACE_NAME}: damaged (no {SETTING}); restore it from a backup of this "
            "node"
        )
    return Path(place)


def _require_not_elsewhere(data_dir: Path, wanted: Path, recorded: Path | None) -> None:
    """Refuse to begin an empty log, or to use one of two, after the place was changed."""
    setting = f"{SETTING} is {wanted}" if wanted != data_dir else f"no {SETTING} is set"
    for place in dict.fromkeys(p for p in (recorded, data_dir) if p not in (None, wanted)):
        if (place / STORE_NAME).exists() or (place / MARK_NAME).exists():
            raise ConfigError(
                f"{place}: holds this master's log, but {setting}: put the old setting back, or "
                f"stop the node and move {STORE_NAME} and {MARK_NAME} from there to {wanted}"
                + ("" if wanted == data_dir else f", with a copy of {data_dir / STAMP_NAME}")
            )
    if recorded not in (None, wanted) and not (wanted / STORE_NAME).exists():
        raise ConfigError(
            f"{recorded}: held this master's log, which is not there any more, nor in {wanted}: "
            f"mount its disk and set {SETTING} to where it is, or restore it from a backup. If "
            f"this master never ran, remove {data_dir / PLACE_NAME}"
        )
