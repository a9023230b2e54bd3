"""The root command: quick help, exit codes, one sentence for every error."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from pydfsnode import __version__
from pydfsnode.cli import main as main_module
from pydfsnode.cli.lazy import Lazy, LazyGroup
from pydfsnode.errors import (
    ConfigError,
    DiskFull,
    InvariantViolation,
    NotFound,
    PortInUse,
    Unavailable,
    UsageError,
)
from tests.unit.cli.conftest import Run

HEAVY = ("grpc", "aiohttp", "cryptography", "rich", "uvloop", "google", "structlog",
         "prometheus_client", "plyvel", "msgspec")  # fmt: skip


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after a command."""
    script = (
        "import sys\n"
        "from pydfsnode.cli.main import main\n"
        f"code = main({list(arguments)!r})\n"
        "assert code == 0, code\n"
        "print('\\n'.join(m.partition('.')[0] for m in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("version",), ("version", "--json"), ("fs", "--help"), ("fs", "ls", "--help"),
     ("serve", "--help"), ("dev", "up", "--help"), ("cluster", "status", "--help")],
)  # fmt: skip
def test_help_and_version_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(*arguments)
    assert not loaded & set(HEAVY)


def test_help_names_every_command_and_every_command_loads(run: Run) -> None:
    shown = run("--help").out
    for name in ("serve", "dev", "fs", "cluster", "certs", "bench", "version"):
        assert name in shown
        result = run(name, "--help")
        assert result.code == 0
        assert result.out.startswith(f"Usage: pydfsnode {name}")


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, pydfsnode; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert not {name.partition(".")[0] for name in loaded.split()} & set(HEAVY)


def test_version_is_the_packages(run: Run) -> None:
    assert run("version").out == f"pydfsnode {__version__}\n"
    assert json.loads(run("version", "--json").out)["version"] == __version__


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("fs", "nonsense"), ("fs", "ls"), ("version", "--nonsense"),
     ("serve",), ("fs", "put", "only-one")],
)  # fmt: skip
def test_wrong_usage_is_2_and_says_what_is_wrong(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert "Error: " in result.err
    assert result.out == ""


Failing = Callable[[Exception], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Makes `version` raise an error."""

    def fail_with(error: Exception) -> None:
        @click.command()
        def command() -> None:
            raise error

        from pydfsnode.cli import version

        monkeypatch.setattr(version, "command", command)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code", "behind"),
    [
        (NotFound("/x does not exist"), 1, ": No such file or directory [2001]"),
        (Unavailable("no master answers"), 1, " [3006]"),
        (DiskFull("/data is full"), 1, " [5003]"),
        (UsageError("--masters 2 is even"), 2, ""),
        (ConfigError("client.toml is missing"), 2, ""),
        (PortInUse("127.0.0.1:7001 is in use"), 2, ""),
        (InvariantViolation("two leaders in one term"), 70, " [9000]"),
        (click.ClickException("clicked wrong"), 1, ""),
    ],
)
def test_an_error_is_one_sentence_and_its_exit_code(
    run: Run, failing: Failing, error: Any, code: int, behind: str
) -> None:
    failing(error)
    result = run("version")
    assert result.code == code
    assert result.err == f"pydfsnode: {error.message}{behind}\n"
    assert result.out == ""


def test_an_error_of_the_local_system_names_the_file(run: Run, failing: Failing) -> None:
    failing(FileNotFoundError(2, "No such file or directory", "/nowhere"))
    result = run("version")
    assert (result.code, result.err) == (1, "pydfsnode: /nowhere: No such file or directory\n")


def test_an_interrupt_is_130_without_a_traceback(run: Run, failing: Failing) -> None:
    failing(KeyboardInterrupt())  # type: ignore[arg-type]
    result = run("version")
    assert (result.code, result.err.strip()) == (130, "")


def test_a_bug_is_70_with_one_sentence_and_the_traceback_in_a_file(
    run: Run, failing: Failing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(main_module.DEBUG_VARIABLE, raising=False)
    failing(ZeroDivisionError("division by zero"))
    result = run("version")
    assert result.code == 70
    assert result.err.count("\n") == 1
    assert "ZeroDivisionError: division by zero" in result.err
    (crash,) = tmp_path.iterdir()
    assert str(crash) in result.err
    assert "Traceback" in crash.read_text()
    assert crash.stat().st_mode & 0o077 == 0


def test_a_bug_shows_its_traceback_when_debugging(
    run: Run, failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(main_module.DEBUG_VARIABLE, "1")
    failing(ZeroDivisionError("division by zero"))
    result = run("version")
    assert result.code == 70
    assert "Traceback" in result.err


def test_a_reader_of_our_output_may_leave_early() -> None:
    done = subprocess.run(
        f"{sys.executable} -c 'from pydfsnode.__main__ import main; import sys, click; "
        "import pydfsnode.cli.version as v; "
        'v.command = click.command()(lambda: [click.echo("x" * 1000) for _ in range(10000)]); '
        'sys.argv = ["pydfsnode", "version"]; main()\' | head -c 10',
        shell=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "x" * 10
    assert done.stderr == ""


def test_python_m_pydfsnode_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pydfsnode", "version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"pydfsnode {__version__}\n")


def test_each_line_of_the_help_belongs_to_a_module_that_exists() -> None:
    import importlib

    from pydfsnode.cli import cluster, fs

    assert isinstance(cluster.group, LazyGroup)
    tables: list[Mapping[str, Lazy]] = [
        main_module._COMMANDS,
        fs._COMMANDS,
        cluster.group.table,
    ]
    for table in tables:
        for entry in table.values():
            module, _, attribute = entry.target.partition(":")
            found = getattr(importlib.import_module(f"pydfsnode.cli.{module}"), attribute)
            assert isinstance(found, click.Command)
