"""Append a directory tree, as a compressed archive with its checksum, to the launcher stub.

    python build/pack.py --stub STUB --tree DIRECTORY --out dist/pydfsnode

The layout is: the stub's bytes | raw deflate of a ustar archive | a trailer (stub/stub.h).
The same tree and stub give the same bytes: names are sorted, times and owners are zero.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import struct
import sys
import tarfile
import zlib
from pathlib import Path

MAGIC = b"PYDFSPAK"
TRAILER_VERSION = 1
TRAILER = struct.Struct(
    "<8sIIQQQ32s"
)  # magic, version, reserved, offset, size, unpacked size, sha256
EXECUTABLE = "pydfsnode"
"""The program inside the tree that the stub becomes."""


def archive(tree: Path) -> bytes:
    """A ustar archive of *tree*: directories before what they hold, no times, no owners.

    Raises:
        ValueError: the tree has no executable `pydfsnode`, or holds something that is neither a
            directory, a file nor a relative symbolic link.
    """
    if not os.access(tree / EXECUTABLE, os.X_OK):
        raise ValueError(f"{tree}: has no executable '{EXECUTABLE}': run PyInstaller first")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(tree.rglob("*")):
            _add(tar, path, str(path.relative_to(tree)))
    return out.getvalue()


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
        if os.path.isabs(entry.linkname):
            raise ValueError(f"{path}: is a link to the absolute path {entry.linkname}")
        tar.addfile(entry)
    elif path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(entry)
    elif path.is_file():
        content = path.read_bytes()
        entry.size, entry.mode = len(content), 0o700 if os.access(path, os.X_OK) else 0o600
        tar.addfile(entry, io.BytesIO(content))
    else:
        raise ValueError(f"{path}: is neither a directory, a file nor a link")


def deflate(plain: bytes, level: int = 9) -> bytes:
    """*plain* as a raw deflate stream (RFC 1951), which stub/inflate.c reads."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(plain) + compressor.flush()


def pack(stub: bytes, tree: Path) -> bytes:
    """The bytes of the one file."""
    plain = archive(tree)
    payload = deflate(plain)
    digest = hashlib.sha256(payload).digest()
    trailer = TRAILER.pack(MAGIC, TRAILER_VERSION, 0, len(stub), len(payload), len(plain), digest)
    return stub + payload + trailer


def main(argv: list[str]) -> int:
    """Write the file with mode 0755, replacing an older one at once, and print its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("stub", "tree", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args(argv)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    new = given.out.with_name(f".{given.out.name}.new")
    content = pack(given.stub.read_bytes(), given.tree)
    new.write_bytes(content)
    new.chmod(0o755)
    new.replace(given.out)
    digest = hashlib.sha256(content).hexdigest()
    print(f"{given.out}: {len(content) / 1e6:.1f} MB, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
