"""Deletes what was copied: a move from here to the cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydfsnode.client.copy import CopyOne, Job, OnBytes


class Moving:
    """A `copy.Around` that deletes each local file once its copy is durable."""

    def __init__(self) -> None:
        self._directories: list[Path] = []

    async def copy(self, job: Job, on_bytes: OnBytes, copy_one: CopyOne) -> bool:
        """See copy.Around."""
        await copy_one(job, on_bytes)
        if job.is_directory:
            self._directories.append(Path(job.source))
        else:
            await asyncio.to_thread(Path(job.source).unlink)
        return True

    def remove_empty_directories(self) -> None:
        """Delete the directories from which everything is gone, the innermost first."""
        for directory in reversed(self._directories):
            try:
                directory.rmdir()
            except OSError:
                continue  # it holds what was not moved, and that was told
