"""The clients behind fsspec's file systems: one event loop and one client a configuration."""

from __future__ import annotations

import os
import threading

from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.loop_thread import LoopThread


class Clients:
    """Of one process: the thread whose loop they run in, and each by its configuration's file.

    fsspec makes a file system object a thread and set of options; they share these.
    """

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.process_id = os.getpid()
        self._by_config: dict[str | None, AsyncFileSystem] = {}

    async def of(self, config: str | None) -> AsyncFileSystem:
        """Inside the loop: the client of *config*; raises as `AsyncFileSystem.connect`."""
        if config not in self._by_config:
            made = await AsyncFileSystem.connect(config)
            if config in self._by_config:  # another task was quicker
                await made.close()
            else:
                self._by_config[config] = made
        return self._by_config[config]


_making = threading.Lock()
_clients: list[Clients] = []


def clients() -> Clients:
    """Those of this process; a fork gets its own."""
    with _making:
        if not _clients or _clients[-1].process_id != os.getpid():
            _clients.append(Clients())
        return _clients[-1]


def _unlock_in_fork() -> None:
    """Another thread of the parent may have held the lock at the moment of the fork."""
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_unlock_in_fork)
