"""A directory for a socket within this node, which other users cannot enter.

One that a killed node left behind is removed by the next node that starts: its lock is free then.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "pydfsnode-grpc-"
NEW_S = 60
"""So long after it was made nobody else looks whether it is locked already."""


class SocketDirectory:
    """Made at once; `remove` ends it.

    Raises:
        OSError: the temporary directory cannot be written to.
    """

    def __init__(self, now_s: float) -> None:
        """*now_s* is since 1970-01-01 UTC."""
        _remove_left_behind(now_s)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """With all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_left_behind(now_s: float) -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            found = path.lstat()
            if found.st_uid != os.getuid() or now_s - found.st_mtime < NEW_S:
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another node was faster, or it is no directory
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:  # its node runs
            pass
        finally:
            os.close(lock)
