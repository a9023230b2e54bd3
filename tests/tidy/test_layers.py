"""The contracts of import-linter hold, and still catch what they are there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# file -> an import that some contract forbids there, and the contract's first word in the report
VIOLATIONS = {
    "raft/core.py": ("import random", "pure cores"),
    "meta/codec.py": ("import pydfsnode.storage", "layers"),
    "ids.py": ("import pydfsnode.errors", "layers"),
    "storage/directory.py": ("import time", "one clock"),
    "storage/sealed.py": ("import pydfsnode.rpc.pb", "protobuf"),
    "roles/master/role.py": ("import pydfsnode.roles.chunkserver", "roles"),
}


def lint(directory: Path) -> tuple[int, str]:
    """Exit code and report of lint-imports on the package in *directory*."""
    code = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(no_cache=True, no_logo=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, "COLUMNS": "300", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_import_keeps_the_contracts() -> None:
    code, report = lint(ROOT)
    assert code == 0, report


@pytest.fixture
def package_copy(tmp_path: Path) -> Path:
    """The sources of the package, to be spoilt; import-linter reads them without importing."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "pydfsnode",
        tmp_path / "pydfsnode",
        ignore=lambda _, names: [
            name for name in names if "." in name and not name.endswith(".py")
        ],
    )
    return tmp_path


@pytest.mark.parametrize("path", VIOLATIONS)
def test_a_forbidden_import_breaks_its_contract(package_copy: Path, path: str) -> None:
    statement, contract = VIOLATIONS[path]
    spoilt = package_copy / "pydfsnode" / path
    spoilt.write_text(f"{spoilt.read_text()}\n{statement}\n")
    code, report = lint(package_copy)
    assert code == 1, report
    broken = [line for line in report.splitlines() if " BROKEN" in line]
    assert [line for line in broken if line.startswith(contract)], report


def test_a_new_package_must_be_given_its_layer(package_copy: Path) -> None:
    (package_copy / "pydfsnode" / "shared").mkdir()
    (package_copy / "pydfsnode" / "shared" / "__init__.py").touch()
    code, report = lint(package_copy)
    assert code == 1
    assert "pydfsnode.shared" in report
