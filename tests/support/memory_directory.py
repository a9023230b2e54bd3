"""A directory in memory for tests that make many files: a chunk directory alone has 256 folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


@contextmanager
def memory_directory() -> Iterator[Path]:
    """An empty directory, removed at the end; on the disk where there is no shared memory."""
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pydfsnode-test-", dir=parent) as directory:
        yield Path(directory)
