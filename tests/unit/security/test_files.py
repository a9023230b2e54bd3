"""Small files: made exclusively, replaced atomically."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pydfsnode.security import files


def test_a_new_file_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.write_new(tmp_path / "secret", b"x", 0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_an_existing_file_or_dangling_link_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "b"):
        with pytest.raises(FileExistsError):
            files.write_new(tmp_path / name, b"new", 0o600)
    assert (tmp_path / "a").read_text() == "old"
    assert not (tmp_path / "elsewhere").exists()


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_new(tmp_path / "new", b"x", 0o600)
    with pytest.raises(OSError, match="No space left"):
        files.replace_file(tmp_path / "a", b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_replacing_goes_on_after_an_interrupted_attempt(tmp_path: Path) -> None:
    (tmp_path / ".a.new").write_text("half")
    files.replace_file(tmp_path / "a", b"whole", 0o600)
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
