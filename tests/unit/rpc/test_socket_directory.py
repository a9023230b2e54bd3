"""A node's own directory for a socket: nobody else's, and not left behind for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pydfsnode.rpc.socket_directory import NEW_S, PREFIX, SocketDirectory


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_only_its_user_enters_it_and_it_goes(place: Path) -> None:
    directory = SocketDirectory(time.time())
    (directory.path / "socket").touch()
    assert directory.path.stat().st_mode & 0o777 == 0o700
    directory.remove()
    assert list(place.iterdir()) == []


def test_what_a_killed_node_left_is_removed_and_what_one_uses_is_not(place: Path) -> None:
    used = SocketDirectory(time.time())
    (used.path / "socket").touch()
    left = place / f"{PREFIX}left"
    left.mkdir()
    (left / "socket").touch()
    (place / f"{PREFIX}file").touch()
    (place / f"{PREFIX}link").symlink_to(place)
    (place / "something else").mkdir()
    again = SocketDirectory(time.time() + NEW_S - 5)
    assert left.exists(), "it may be about to be locked"
    later = SocketDirectory(time.time() + NEW_S + 5)
    assert not left.exists()
    for directory in (used, again, later):
        assert directory.path.exists()
        directory.remove()
    names = {path.name for path in place.iterdir()}
    assert names == {f"{PREFIX}file", f"{PREFIX}link", "something else"}


def test_those_of_others_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = place / f"{PREFIX}left"
    left.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: left.stat().st_uid + 1)
    SocketDirectory(time.time() + NEW_S + 5).remove()
    assert left.exists()
