"""The part of the file system about its chunkservers; for admins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydfsnode.client import paths
from pydfsnode.client.filesystem_base import FileSystemBase
from pydfsnode.client.fleet import (
    DECOMMISSIONING,
    IN_SERVICE,
    MAINTENANCE,
    FleetState,
    FsckReport,
    FsckStep,
)

FINDINGS_MAX = 10_000
PPM = 1_000_000


class FleetMethods(FileSystemBase):
    """Part of `AsyncFileSystem`; errors as there, and PermissionDenied for who is no admin."""

    async def fleet_state(self) -> FleetState:
        """What is ordered of the chunkservers, and what is going on."""
        return await self._calls.fleet.state()

    async def decommission(self, *node_ids: str) -> FleetState:
        """Empty chunkservers, so that they can be taken away; `fleet_state` shows the progress.

        Raises:
            UnsafeChange: the others have too little room or are too few.
            InvalidArgument: no such chunkserver.
        """
        return await self._calls.fleet.set_duty(node_ids, DECOMMISSIONING)

    async def recommission(self, *node_ids: str) -> FleetState:
        """Chunkservers are in service again."""
        return await self._calls.fleet.set_duty(node_ids, IN_SERVICE)

    async def maintain(self, node_ids: Sequence[str], for_ms: int) -> FleetState:
        """Chunkservers go away for a while: what they hold is not copied meanwhile.

        Raises:
            UnsafeChange: nobody else is in service.
            InvalidArgument: no such chunkserver, or too long.
        """
        return await self._calls.fleet.set_duty(node_ids, MAINTENANCE, for_ms)

    async def balance(self, threshold: float, bytes_per_s: int) -> FleetState:
        """Even out the share of used space.

        Args:
            threshold: how far from the mean a server may be, 0.1: 10 percentage points.
            bytes_per_s: how fast, all moves together.
        """
        return await self._calls.fleet.set_balance(round(threshold * PPM), bytes_per_s)

    async def stop_balance(self) -> FleetState:
        """What is on its way still arrives."""
        return await self._calls.fleet.set_balance(0, 0)

    async def set_safe_mode(self, on: bool) -> FleetState:
        """Make the namespace read-only until this is called with False, or end safe mode."""
        return await self._calls.fleet.set_safe_mode(on)

    async def fsck(
        self,
        path: str = "/",
        on_step: Callable[[FsckStep], None] | None = None,
        findings_max: int = FINDINGS_MAX,
    ) -> FsckReport:
        """Compare everything below *path* with what the chunkservers hold.

        Args:
            on_step: is told of each part as it comes.
            findings_max: how many findings the report keeps.

        Raises:
            NotFound, NotADirectory: nothing is there.
        """
        top = paths.normalize(path)
        report = FsckReport(top)
        after: tuple[str, int] | None = None
        while True:
            step = await self._calls.fleet.fsck(top, after)
            report.counts.add(step.counts)
            room = findings_max - len(report.findings)
            report.findings += step.findings[:room]
            report.findings_left_out += len(step.findings[room:])
            report.safe_mode |= step.safe_mode
            if on_step is not None:
                on_step(step)
            after = step.after
            if after is None:
                return report
