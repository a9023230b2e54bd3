"""pack.py: what goes into the one file, and that equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "_internal" / "deep").mkdir(parents=True)
    (root / "pydfsnode").write_bytes(b"program")
    (root / "pydfsnode").chmod(0o755)
    (root / "_internal" / "deep" / "lib.so").write_bytes(b"library" * 1000)
    os.symlink("deep/lib.so", root / "_internal" / "lib.so.1")
    return root


def test_the_trailer_finds_and_proves_the_payload(pack: ModuleType, tree: Path) -> None:
    out = pack.pack(b"STUB", tree)
    magic, version, _, offset, size, plain_size, digest = pack.TRAILER.unpack(
        out[-pack.TRAILER.size :]
    )
    payload = out[offset : offset + size]
    assert (magic, version, offset) == (b"PYDFSPAK", 1, 4)
    assert hashlib.sha256(payload).digest() == digest
    plain = zlib.decompress(payload, -15)
    assert len(plain) == plain_size
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.getnames() == [
            "_internal",
            "_internal/deep",
            "_internal/deep/lib.so",
            "_internal/lib.so.1",
            "pydfsnode",
        ]
        assert tar.getmember("_internal/lib.so.1").linkname == "deep/lib.so"
        assert tar.getmember("pydfsnode").mode == 0o700


def test_equal_trees_give_equal_bytes(pack: ModuleType, tree: Path) -> None:
    first = pack.pack(b"STUB", tree)
    for path in tree.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    assert pack.pack(b"STUB", tree) == first


def test_a_tree_without_the_program_is_refused(pack: ModuleType, tree: Path) -> None:
    (tree / "pydfsnode").unlink()
    with pytest.raises(ValueError, match="has no executable 'pydfsnode'"):
        pack.pack(b"STUB", tree)


def test_an_absolute_link_is_refused(pack: ModuleType, tree: Path) -> None:
    os.symlink("/etc/passwd", tree / "_internal" / "outside")
    with pytest.raises(ValueError, match="absolute path /etc/passwd"):
        pack.pack(b"STUB", tree)


def test_the_file_is_replaced_whole_and_executable(
    pack: ModuleType, tree: Path, tmp_path: Path
) -> None:
    stub, out = tmp_path / "stub", tmp_path / "dist" / "pydfsnode"
    stub.write_bytes(b"STUB")
    arguments = ["--stub", str(stub), "--tree", str(tree), "--out", str(out)]
    assert pack.main(arguments) == 0
    assert pack.main(arguments) == 0
    assert out.read_bytes() == pack.pack(b"STUB", tree)
    assert out.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in out.parent.iterdir()] == ["pydfsnode"]
