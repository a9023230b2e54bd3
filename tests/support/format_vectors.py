"""The test vectors of FORMAT.md, by how their rows begin."""

from __future__ import annotations

import re
from pathlib import Path

import pydfsnode.storage

FORMAT = Path(pydfsnode.storage.__file__).parent / "FORMAT.md"


def vector(start: str) -> bytes:
    """The bytes of the one whose description begins with *start*."""
    row = re.search(rf"^\| {re.escape(start)}[^|]*\| `([0-9a-f]+)` \|$", FORMAT.read_text(), re.M)
    assert row is not None, f"FORMAT.md has no vector '{start}'"
    return bytes.fromhex(row[1])
