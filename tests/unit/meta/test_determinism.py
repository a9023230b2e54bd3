"""INV-SAME: the state depends on the log alone, not on the process that applied it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pydfsnode.meta.file_keys import TABLE_FILE_KEY
from pydfsnode.meta.tree import TABLE_DOOMED

from . import op_stream

ROOT = Path(__file__).parents[3]
COUNT = 4000


def hash_in_process(seed: int, hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, str(Path(op_stream.__file__)), str(seed), str(COUNT)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_two_processes_with_other_hash_seeds_reach_the_same_state(seed: int) -> None:
    assert hash_in_process(seed, "1") == hash_in_process(seed, "4242") != ""


def test_the_stream_reaches_what_matters() -> None:
    namespace = op_stream.run(1, COUNT)
    assert namespace.file_count > 3
    assert namespace.chunk_count > 3
    assert namespace.sessions.forgotten_count > 3
    assert namespace.tree.history.sequence > 3
    assert namespace.tree.file_keys.forgetting.removed > 0
    may_be_empty = TABLE_DOOMED, TABLE_FILE_KEY
    assert all(table.rows for table in namespace.tree.tables if table.number not in may_be_empty)
    assert namespace.state_hash() != op_stream.run(2, COUNT).state_hash()
