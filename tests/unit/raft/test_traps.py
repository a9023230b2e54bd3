"""TRAPS.md names a test for every trap, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TABLE = (HERE / "TRAPS.md").read_text()
COUNTS = {"A": 11, "B": 11, "C": 11, "D": 8, "E": 7, "F": 7, "G": 6, "H": 1, "I": 3, "J": 2}
NAMED = sorted(set(re.findall(r"`(\w+\.txt|tests/[\w/]+\.py(?:::\w+)?)`", TABLE)))


def test_every_trap_has_its_row() -> None:
    expected = [f"{letter}{n}" for letter, last in COUNTS.items() for n in range(1, last + 1)]
    expected.insert(expected.index("D7"), "D6b")
    rows = re.findall(r"^\| ([A-J]\d+b?) \|.*`", TABLE, re.MULTILINE)
    assert rows == expected


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_exists(name: str) -> None:
    path, _, test = name.partition("::")
    if path.endswith(".txt"):
        path = f"tests/unit/raft/transcripts/{path}"
    assert (ROOT / path).is_file()
    assert not test or f"def {test}(" in (ROOT / path).read_text()


def test_every_transcript_is_named() -> None:
    found = {path.name for path in (HERE / "transcripts").glob("*.txt")}
    assert found == {name for name in NAMED if name.endswith(".txt")}
