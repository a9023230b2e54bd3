"""The launcher built from its sources, and the packer, as fixtures."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[3]
STUB = ROOT / "build" / "stub"
STRICT = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror"]


class Pack(Protocol):
    """Makes one file whose program is the given shell script, and returns its path."""

    def __call__(self, script: str, **extra: bytes) -> Path: ...


def compile_c(out: Path, *arguments: str) -> Path:
    subprocess.run(["gcc", *STRICT, *arguments, "-o", str(out)], check=True)
    return out


def load_script(path: str) -> ModuleType:
    """A script of this tree as a module; *path* is relative to the root."""
    name = "script_" + path.replace("/", "_").removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pack() -> ModuleType:
    return load_script("build/pack.py")


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    sources = [str(path) for path in sorted(STUB.glob("*.c"))]
    return compile_c(tmp_path_factory.mktemp("stub") / "stub", "-static", *sources).read_bytes()


@pytest.fixture
def packed(pack: ModuleType, stub: bytes, tmp_path: Path) -> Pack:
    """As `build/pack.py` does it, with a shell script in the place of PyInstaller's program."""

    def make(script: str, **extra: bytes) -> Path:
        tree = tmp_path / "tree"
        (tree / "_internal").mkdir(parents=True, exist_ok=True)
        program = tree / "pydfsnode"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        for name, content in extra.items():
            (tree / "_internal" / name).write_bytes(content)
        link = tree / "_internal" / "itself"
        if not link.is_symlink():
            os.symlink("../pydfsnode", link)
        out = tmp_path / "one-file"
        out.write_bytes(pack.pack(stub, tree))
        out.chmod(0o755)
        return out

    return make
