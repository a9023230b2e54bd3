"""Fixtures of the chunkserver's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.memory_directory import memory_directory


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: see `memory_directory`."""
    with memory_directory() as directory:
        yield directory
