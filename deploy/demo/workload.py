"""What the demo stores: three trees of real and generated files, and the comparison by SHA-256."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024
TREE_FILES = 2000
LARGE_NAME, LARGE_BYTES = "one-large-file", 512 * MIB
SIZES = (  # share of files, smallest, largest
    (0.04, 0, 0),
    (0.50, 1, 4 * KIB),
    (0.30, 4 * KIB, 64 * KIB),
    (0.13, 64 * KIB, 512 * KIB),
    (0.03, 512 * KIB, 4 * MIB),
)
NAMES = ("report", "a b c", "café", "журнал", "日本", "semi;colon", "quote'd", "x" * 120)


CHUNK_BYTES = 64 * MIB
INLINE_BYTES = 4 * KIB
"""Up to this size the masters keep a file by themselves: it has no replicas to count."""


@dataclass(frozen=True)
class Manifest:
    """SHA-256 of each file of a directory, by its relative path; how many bytes and chunks."""

    digests: dict[str, str]
    size: int
    chunks: int

    @classmethod
    def of(cls, root: Path) -> Manifest:
        """Read every file below *root*."""
        digests, size, chunks = {}, 0, 0
        for path in files_below(root):
            with path.open("rb") as file:
                digests[str(path.relative_to(root))] = hashlib.file_digest(
                    file, "sha256"
                ).hexdigest()
            file_bytes = path.stat().st_size
            size += file_bytes
            if file_bytes > INLINE_BYTES:
                chunks += -(-file_bytes // CHUNK_BYTES)
        return cls(digests, size, chunks)

    def differences(self, other: Manifest) -> list[str]:
        """One sentence for each file that *other* lacks, has in addition, or has otherwise."""
        found = []
        for name in sorted(self.digests.keys() | other.digests.keys()):
            mine, theirs = self.digests.get(name), other.digests.get(name)
            if theirs is None:
                found.append(f"{name}: not returned")
            elif mine is None:
                found.append(f"{name}: returned but never stored")
            elif mine != theirs:
                found.append(f"{name}: SHA-256 {theirs} is not {mine}")
        return found


def files_below(root: Path) -> Iterator[Path]:
    """All regular files below *root*, sorted."""
    return (path for path in sorted(root.rglob("*")) if path.is_file())


def generate(root: Path, scale: float, rng: random.Random) -> dict[str, Path]:
    """Make `tree`, `large` and `stdlib` below *root*; returns each one's directory by its name.

    Args:
        root: an existing directory.
        scale: 1.0 is the whole of it; smaller values take that share of files and bytes.
        rng: decides sizes and names; the content comes from the operating system.
    """
    made = {name: root / name for name in ("tree", "large", "stdlib")}
    _mixed_tree(made["tree"], max(1, int(TREE_FILES * scale)), rng)
    made["large"].mkdir()
    _write_random(made["large"] / LARGE_NAME, int(LARGE_BYTES * scale))
    _copy_stdlib(made["stdlib"], scale)
    return made


def _mixed_tree(root: Path, count: int, rng: random.Random) -> None:
    shares = [share for share, _, _ in SIZES]
    for number in range(count):
        _, smallest, largest = rng.choices(SIZES, shares)[0]
        directory = root / f"d{number % 17}" / f"e{number % 5}"
        directory.mkdir(parents=True, exist_ok=True)
        _write_random(directory / f"{rng.choice(NAMES)}-{number}", rng.randint(smallest, largest))


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, MIB)))


def _copy_stdlib(destination: Path, scale: float) -> None:
    source = Path(sysconfig.get_path("stdlib"))
    wanted = []
    for directory, names, files in os.walk(source):
        names[:] = sorted(set(names) - {"site-packages", "dist-packages", "__pycache__"})
        wanted += [Path(directory, name) for name in sorted(files)]
    for path in wanted[:: max(1, round(1 / scale))]:
        copy = destination / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
