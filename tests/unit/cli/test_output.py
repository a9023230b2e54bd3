"""Sizes, counts and tables for people."""

from __future__ import annotations

import pytest

from pydfsnode.cli import output
from pydfsnode.cli.progress import summary_json, summary_line
from pydfsnode.client.copy import CopyReport


@pytest.mark.parametrize(
    ("size", "binary", "short", "decimal"),
    [
        (0, "0 B", "0", "0 B"),
        (999, "999 B", "999", "999 B"),
        (1000, "1000 B", "1000", "1.0 kB"),
        (1536, "1.5 KiB", "1.5K", "1.5 kB"),
        (200 << 20, "200 MiB", "200M", "210 MB"),
        (3 << 60, "3.0 EiB", "3.0E", "3.5 EB"),
        (5000 << 60, "5000 EiB", "5000E", "5765 EB"),
    ],
)
def test_sizes(size: int, binary: str, short: str, decimal: str) -> None:
    assert output.binary_size(size) == binary
    assert output.short_size(size) == short
    assert output.decimal_size(size) == decimal


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("NAME", "SIZE"), [("a", "1"), ("longer", "1000")], right="SIZE")
    assert capsys.readouterr().out == "NAME    SIZE\na          1\nlonger  1000\n"


def test_a_table_on_a_terminal_takes_names_literally(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    output.print_table(("NAME",), [("[red]file[/red]",)])
    assert "[red]file[/red]" in capsys.readouterr().out


def test_the_summary_of_a_copy() -> None:
    report = CopyReport(files=2014, bytes=1_200_000_000)
    assert summary_line(report, 8.1) == "copied 2,014 files, 1.2 GB in 8.1 s (148 MB/s)"
    assert summary_line(CopyReport(files=1, failures=2), 0.04) == (
        "copied 1 file, 0 B in 0.0 s, 2 failures"
    )
    assert summary_json(report, 8.0)["mb_per_s"] == 150.0


@pytest.mark.parametrize(
    ("terminal", "no_color", "is_coloured"),
    [(True, "", True), (True, "1", False), (False, "", False)],
)
def test_colours_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    no_color: str,
    is_coloured: bool,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm-256color")
    output.print_table(("STATE",), [("dead",), ("name",)])
    shown = capsys.readouterr().out
    assert ("\x1b[31mdead" in shown) is is_coloured
    assert output.coloured("ERROR") == ("\x1b[31mERROR\x1b[0m" if is_coloured else "ERROR")
    assert output.coloured("name") == "name"
