"""libFuzzer looks for bytes that reach new code, for all decoders at once: see guided.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.cluster import REPOSITORY

SECONDS_MIN = 5
SECONDS = max(SECONDS_MIN, int(60 * float(os.environ.get("PYDFSNODE_FUZZ_MINUTES") or 0)))
CORPUS = REPOSITORY / "build" / "output" / "fuzz" / "corpus"
"""Kept: the next run begins with what the ones before reached."""


def test_no_input_passes_the_checks(tmp_path: Path) -> None:
    """What is found is to be moved to tests/fuzz/crashes, in the directory that it lies in."""
    found = tmp_path / "found"
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", "--seconds", str(SECONDS),
         "--corpus", CORPUS, "--found", found],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=3 * SECONDS + 200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr, done.stderr[-4000:]
    assert [path for path in found.rglob("*") if path.is_file()] == [], done.stdout
