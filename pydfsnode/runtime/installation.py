"""A snapshot that arrived whole takes the place of log and state.

In order: the core forgets its log; the storage flips to the staged rows in one durable group; the
state machine is rebuilt from them on the storage thread; the driver goes on after it. Until then
nothing is applied.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from pydfsnode.raft.messages import SnapshotHeader

Installed = asyncio.Future[bool]


@dataclass(slots=True)
class _Current:
    header: SnapshotHeader
    io_id: int
    installed: Installed
    loading: bool = False


class Installations:
    """Those that wait and the one under way."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[SnapshotHeader, Installed]] = deque()
        self._current: _Current | None = None

    @property
    def under_way(self) -> bool:
        """Whether the state is being replaced: nothing may be applied."""
        return self._current is not None

    @property
    def wanted(self) -> bool:
        """Whether the next may begin."""
        return bool(self._waiting) and self._current is None

    def add(self, header: SnapshotHeader, installed: Installed) -> None:
        """All rows of *header*'s snapshot are staged."""
        self._waiting.append((header, installed))

    def next(self) -> tuple[SnapshotHeader, Installed]:
        """The next one to give to the core."""
        return self._waiting.popleft()

    def begun(self, header: SnapshotHeader, io_id: int, installed: Installed) -> None:
        """The core took it; group *io_id* makes it durable."""
        self._current = _Current(header, io_id, installed)

    def to_load(self, durable_io: int) -> bool:
        """Whether the rows can be loaded now; true once."""
        current = self._current
        if current is None or current.loading or current.io_id > durable_io:
            return False
        current.loading = True
        return True

    @property
    def index(self) -> int:
        """What the one under way brings the state to."""
        assert self._current is not None
        return self._current.header.index

    def finished(self) -> None:
        """The state machine holds it."""
        current, self._current = self._current, None
        assert current is not None
        if not current.installed.done():
            current.installed.set_result(True)

    def cancel(self) -> None:
        """The node ends."""
        waiting = [installed for _, installed in self._waiting]
        if self._current is not None:
            waiting.append(self._current.installed)
        for installed in waiting:
            if not installed.done():
                installed.set_result(False)
        self._waiting.clear()
