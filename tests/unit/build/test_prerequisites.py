"""What a machine lacks for building is said in one sentence with the line to run."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import load_script


@pytest.fixture
def prerequisites() -> ModuleType:
    return load_script("build/prerequisites.py")


def test_a_complete_machine_is_told_nothing(
    prerequisites: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prerequisites.main() == 0
    assert capsys.readouterr() == ("", "")


def test_missing_headers_and_tools_are_named_with_the_line_to_run(
    prerequisites: ModuleType,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "gcc" else f"/bin/{name}")
    assert prerequisites.main() == 1
    assert capsys.readouterr().err == (
        "pydfsnode cannot be built here: missing Python's headers (Python.h), gcc.\n"
        "On Debian or Ubuntu run: apt-get install -y python3 python3-venv python3-dev gcc "
        "libc6-dev binutils make\n"
    )
