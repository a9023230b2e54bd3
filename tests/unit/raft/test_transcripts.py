"""The scenarios in transcripts/: commands and what real cores did; see tests.support.raft_script.

`pytest tests/unit/raft --rewrite` writes the answers anew; the diff is what to review.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.support.raft_script import rewritten

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TRANSCRIPTS = sorted((HERE / "transcripts").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, request: pytest.FixtureRequest) -> None:
    answer = rewritten(path)
    if request.config.getoption("--rewrite", default=False):
        path.write_text(answer)
        return
    difference = difflib.unified_diff(
        path.read_text().splitlines(), answer.splitlines(), "expected", "happened", lineterm="", n=6
    )
    assert path.read_text() == answer, "\n" + "\n".join(difference)
