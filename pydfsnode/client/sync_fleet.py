"""The part of the synchronous file system about its chunkservers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydfsnode.client.filesystem_fleet import FINDINGS_MAX
from pydfsnode.client.loop_thread import SyncBase

if TYPE_CHECKING:
    from pydfsnode.client.fleet import FleetState, FsckReport, FsckStep


class SyncFleet(SyncBase):
    """Part of `FileSystem`."""

    def fleet_state(self) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.fleet_state())

    def decommission(self, *node_ids: str) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.decommission(*node_ids))

    def recommission(self, *node_ids: str) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.recommission(*node_ids))

    def maintain(self, node_ids: Sequence[str], for_ms: int) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.maintain(node_ids, for_ms))

    def balance(self, threshold: float, bytes_per_s: int) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.balance(threshold, bytes_per_s))

    def stop_balance(self) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.stop_balance())

    def set_safe_mode(self, on: bool) -> FleetState:
        """See AsyncFileSystem."""
        return self._thread.run(self._fs.set_safe_mode(on))

    def fsck(
        self,
        path: str = "/",
        on_step: Callable[[FsckStep], None] | None = None,
        findings_max: int = FINDINGS_MAX,
    ) -> FsckReport:
        """See AsyncFileSystem; *on_step* is called in the loop's thread."""
        return self._thread.run(self._fs.fsck(path, on_step, findings_max))
