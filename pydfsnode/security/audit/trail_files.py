"""The files of a trail: how they are called, where one goes on, what a crash left at the end.

NODE-TRAIL-FIRST.jsonl (or .log): `TRAIL` is drawn when a node begins a trail, `FIRST` is the number
of the first record in the file, so that names sort as the records do. Nothing is ever renamed,
rewritten or removed here; an operator may take whole files away, the oldest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydfsnode.errors import CorruptionError
from pydfsnode.security.audit.record import Format, Record, format_of

_NAME = re.compile(r"(?P<node>.+)-(?P<trail>[0-9a-f]{16})-(?P<first>\d{16})\.(?P<suffix>jsonl|log)")
TAIL_BYTES = 1 << 20
"""Looked at for the last record; far more than the longest line."""


@dataclass(frozen=True, slots=True)
class TrailFile:
    """A file by its name."""

    path: Path
    node: str
    trail: str
    first_seq: int
    format: Format


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a trail goes on: after record `seq` of hash `sha256`, in `file`.

    `torn` is what stands behind its last whole line; `ended` whether that one tells of an end.
    """

    file: TrailFile
    seq: int
    sha256: str
    torn: bytes
    ended: bool


def file_name(node: str, trail: str, first_seq: int, form: Format) -> str:
    """See the module."""
    return f"{node}-{trail}-{first_seq:016d}.{form.suffix}"


def genesis(node: str, trail: str) -> str:
    """What stands for the hash before the first record: so a trail is bound to its name."""
    return sha256(f"pydfsnode audit trail\n{node}\n{trail}\n".encode()).hexdigest()


def trail_file(path: Path) -> TrailFile | None:
    """What *path* is by its name, None when no part of a trail."""
    match = _NAME.fullmatch(path.name)
    form = format_of(match["suffix"]) if match else None
    if match is None or form is None:
        return None
    return TrailFile(path, match["node"], match["trail"], int(match["first"]), form)


def trail_files(paths: Iterable[Path]) -> list[TrailFile]:
    """All among *paths*, and in those that are directories; by node, trail and number.

    Raises:
        OSError: a directory cannot be read.
    """
    found: dict[Path, TrailFile] = {}
    for path in paths:
        for each in sorted(path.iterdir()) if path.is_dir() else [path]:
            known = trail_file(each)
            if known is not None:
                found[each.resolve()] = known
    return sorted(found.values(), key=lambda each: (each.node, each.trail, each.first_seq))


def find_tail(directory: Path, node: str) -> Tail | None:
    """Where the newest trail of *node* goes on; None: there is none.

    Raises:
        OSError: a file cannot be read.
        CorruptionError: no record can be read in its files.
    """
    own = [each for each in trail_files([directory]) if each.node == node]
    if not own:
        return None
    newest = max(own, key=lambda each: (each.path.stat().st_mtime_ns, each.first_seq))
    parts = [each for each in own if each.trail == newest.trail]
    torn, last = b"", parts[-1]
    for part in reversed(parts):
        tail = _read_tail(part.path)
        lines = tail.split(b"\n")
        for position in range(len(lines) - 1, -1, -1):
            record = _parsed(part.format, lines[position]) if position < len(lines) - 1 else None
            if record is not None:
                if part is last:
                    torn = b"\n".join(lines[position + 1 :])
                digest = sha256(lines[position]).hexdigest()
                return Tail(last, record.seq, digest, torn, record.cmd == "end")
        if part is last:
            torn = tail
    raise CorruptionError(
        f"{newest.path}: holds no record that can be read: keep the file, and name another [audit] "
        "dir to begin a new trail"
    )


def _parsed(form: Format, line: bytes) -> Record | None:
    try:
        return form.parse(line)
    except ValueError:  # UnicodeDecodeError and msgspec's too
        return None


def _read_tail(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read()
