"""A node's data directory: one process at a time, one node for ever.

`node.json` says whose directory it is and which format it has; `lock` is held while a process
uses it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from pydfsnode.errors import (
    ConfigError,
    CorruptionError,
    DirectoryLocked,
    DiskFull,
    StorageError,
    WrongCluster,
)
from pydfsnode.security.files import sync_directory

FORMAT = 1
"""Raised when an older release could not use the directory any more."""
STAMP_NAME = "node.json"
LOCK_NAME = "lock"
STORE_NAME = "store"
"""A master's LevelDB directory."""
MARK_NAME = "durable-mark"
CHUNKS_NAME = "chunks"
"""A chunkserver's chunk files."""
SEGMENTS_NAME = "segments"
"""Its small chunks."""

_CONTENT_NAMES = (STORE_NAME, MARK_NAME, CHUNKS_NAME, SEGMENTS_NAME)


class ClaimedDirectory:
    """A directory that this process holds until `release`. Made by `claim_directory`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others use the directory; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> ClaimedDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def claim_directory(
    path: Path, cluster_id: str, role: str, node_id: str, setting: str = "data_dir"
) -> ClaimedDirectory:
    """Lock *path* for this process and make or check its stamp; creates it (0700) when absent.

    Args:
        setting: what the configuration calls it, for messages.

    Raises:
        DirectoryLocked: another process uses it.
        WrongCluster: it belongs to another cluster, role or node.
        ConfigError: it cannot be used: no permission, a newer format, data without a stamp.
        CorruptionError: its stamp is damaged.
        DiskFull, StorageError: the stamp cannot be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        claimed = ClaimedDirectory(path, _lock(path, setting))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be used as {setting}: {error.strerror}; "
            f"make it writable for this user or name another {setting}"
        ) from error
    with contextlib.ExitStack() as undo:
        undo.callback(claimed.release)
        wanted = {"format": FORMAT, "cluster_id": cluster_id, "role": role, "node_id": node_id}
        stamp = read_json(path / STAMP_NAME)
        if stamp is None:
            _write_stamp(path, wanted)
        else:
            _check_stamp(path, stamp, wanted, setting)
        undo.pop_all()
    return claimed


def _lock(path: Path, setting: str) -> int:
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise DirectoryLocked(
            f"{path}: in use by another process (pid {holder}); stop it, or use another {setting}"
        ) from None
    os.truncate(descriptor, 0)
    with contextlib.suppress(OSError):  # the pid is only for people; a full disk shows later
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def read_json(file: Path) -> dict[str, Any] | None:
    """The object that `replace_json` wrote to *file*, None when there is no such file.

    Raises:
        ConfigError: it cannot be read.
        CorruptionError: it is damaged.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CorruptionError(
            f"{file}: damaged ({error}); restore it from a backup of this node"
        ) from error
    if not isinstance(content, dict):
        raise CorruptionError(f"{file}: damaged (no object); restore it from a backup of this node")
    return content


def _check_stamp(path: Path, stamp: dict[str, Any], wanted: dict[str, Any], setting: str) -> None:
    found = stamp.get("format")
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise ConfigError(
            f"{path}: its format is {found!r}, this release reads up to {FORMAT}: "
            "use the release that wrote it, or a newer one"
        )
    for name, words in (("cluster_id", "cluster"), ("role", "role"), ("node_id", "node")):
        if stamp.get(name) != wanted[name]:
            raise WrongCluster(
                f"{path}: belongs to {words} '{stamp.get(name)}', this node's {words} is "
                f"'{wanted[name]}': use the right {setting} or certificate, or an empty directory"
            )


def _write_stamp(path: Path, stamp: dict[str, Any]) -> None:
    content = [name for name in _CONTENT_NAMES if (path / name).exists()]
    if content:
        raise ConfigError(
            f"{path}: holds {' and '.join(content)} but no {STAMP_NAME}, so it is unknown whose "
            f"data it is: restore {STAMP_NAME} from a backup, or use an empty directory"
        )
    replace_json(path / STAMP_NAME, stamp)


def replace_json(file: Path, content: dict[str, Any]) -> None:
    """Write *content* to *file*, whole or not at all, durable when it returns.

    Raises:
        DiskFull, StorageError: it cannot be written.
    """
    temporary = file.with_name(f"{file.name}.new")
    try:
        with temporary.open("w", encoding="utf-8") as opened:
            json.dump(content, opened, indent=1)
            opened.write("\n")
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(file)
        sync_directory(file.parent)
        sync_directory(file.parent.parent)
    except OSError as error:
        kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"{file.parent}: cannot be written: {error.strerror}") from error
