"""Properties of the code itself, on every file git would commit (after TigerBeetle's tidy.zig)."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy import rules

ROOT = Path(os.environ.get("TIDY_ROOT", Path(__file__).parents[2]))
PACKAGE = os.environ.get("TIDY_PACKAGE", "pydfsnode")
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
# What test_rules.py feeds to the rules looks like what they look for.
SHOWS_THE_BANNED = {"tests/tidy/rules.py", "tests/tidy/test_rules.py"}


def committed() -> list[str]:
    """Paths below ROOT that git tracks or would offer to add, and that are still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = os.fsdecode(listed.stdout).split("\0")
    return sorted(path for path in set(paths) if path and (ROOT / path).is_file())


COMMITTED = committed()
WRITTEN = [path for path in COMMITTED if not path.endswith(GENERATED)]
PY = [path for path in WRITTEN if path.endswith(".py")]
PACKAGE_PY = [path for path in PY if path.startswith(f"{PACKAGE}/")]
TESTS_PY = [path for path in PY if path.startswith("tests/") and path not in SHOWS_THE_BANNED]
CYTHON = [path for path in WRITTEN if path.endswith((".pyx", ".pxd"))]
PYX = [path for path in CYTHON if path.endswith(".pyx")]
CODE = [*PY, *CYTHON, *(path for path in WRITTEN if path.endswith((".pyi", ".c", ".h")))]


@functools.cache
def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def assert_tidy(path: str, complaints: Iterator[str]) -> None:
    found = list(complaints)
    assert not found, "\n".join(f"{path}: {complaint}" for complaint in found)


def test_there_is_something_to_check() -> None:
    assert f"{PACKAGE}/__init__.py" in PACKAGE_PY
    assert PYX


@pytest.mark.parametrize("path", CODE)
def test_files_and_lines_fit_their_limits(path: str) -> None:
    assert_tidy(path, rules.file_length(text(path)))
    assert_tidy(path, rules.line_length(text(path)))


@pytest.mark.parametrize("path", PY)
def test_functions_fit_a_screen(path: str) -> None:
    assert_tidy(path, rules.function_length(text(path)))


@pytest.mark.parametrize("path", PY)
def test_modules_say_their_one_responsibility(path: str) -> None:
    assert_tidy(path, rules.module_docstring(text(path)))


@pytest.mark.parametrize("path", PACKAGE_PY)
def test_nothing_banned_is_in_the_package(path: str) -> None:
    source = text(path)
    if path.startswith(f"{PACKAGE}/_fast/"):
        source = source.replace(f"from {PACKAGE}._fast.", "from facade.")
    if path == f"{PACKAGE}/security/joining.py":
        source = source.replace("ssl.CERT_NONE  # what is fetched is compared with the pin", "None")
    assert_tidy(path, rules.banned(source, rules.BANNED))
    assert_tidy(path, rules.lost_tasks(source))
    assert_tidy(path, rules.production_asserts(source))
    assert Path(path).stem not in rules.BANNED_MODULE_NAMES, f"{path}: name what it does"
    if not path.startswith((f"{PACKAGE}/cli/", f"{PACKAGE}/__main__.py")):
        assert_tidy(path, rules.banned(source, rules.BANNED_BELOW_CLI))


@pytest.mark.parametrize("path", TESTS_PY)
def test_tests_neither_sleep_nor_skip(path: str) -> None:
    assert_tidy(path, rules.banned(text(path), rules.BANNED_IN_TESTS))


@pytest.mark.parametrize("path", CYTHON)
def test_fast_is_a_leaf(path: str) -> None:
    assert_tidy(path, rules.upward_imports(text(path)))


@pytest.mark.parametrize("path", PYX)
def test_every_extension_is_complete(path: str) -> None:
    stem = Path(path).stem
    for needed in (
        Path(path).with_suffix(".pyi").as_posix(),
        Path(path).with_suffix(".pxd").as_posix(),
        f"tests/reference/{stem}.py",
        f"tests/fast/test_{stem}.py",
        f"bench/micro/bench_{stem}.py",
    ):
        assert needed in COMMITTED, f"{path} needs {needed}"


def declared_parameters(stub: str) -> dict[str, list[str]]:
    """Qualified name -> parameters of a stub's functions; __init__ has no signature to see."""
    found = {}
    for node in ast.parse(stub).body:
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for function in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(function, ast.FunctionDef) and function.name != "__init__":
                arguments = function.args
                found[owner + function.name] = [
                    argument.arg for argument in (*arguments.posonlyargs, *arguments.args)
                ]
    return found


@pytest.mark.parametrize("path", PYX)
def test_stubs_name_the_parameters_that_the_extension_has(path: str) -> None:
    module = __import__(path.removesuffix(".pyx").replace("/", "."), fromlist=["*"])
    declared = declared_parameters(text(str(Path(path).with_suffix(".pyi"))))
    assert declared
    for name, parameters in declared.items():
        actual = functools.reduce(getattr, name.split("."), module)
        assert callable(actual)
        assert list(inspect.signature(actual).parameters) == parameters, name


@pytest.mark.parametrize("path", COMMITTED)
def test_no_private_key_is_committed(path: str) -> None:
    assert_tidy(path, rules.private_key(path, (ROOT / path).read_bytes()))
