"""`pydfsnode cluster fsck`: compare files with what the chunkservers hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import binary_size, note, print_json, print_table
from pydfsnode.cli.session import with_file_system

if TYPE_CHECKING:
    from pydfsnode.client.fleet import FsckCounts, FsckReport, FsckStep

SHOWN_MAX = 100
_ALWAYS_SHOWN = ("missing", "corrupt", "under-replicated", "misplaced")


@click.command(epilog="Example: pydfsnode cluster fsck /data")
@click.argument("path", default="/")
@click.option("--list", "list_all", is_flag=True, help="Every file found, open ones too.")
@json_option
@client_config_option
def command(path: str, list_all: bool, as_json: bool) -> int:
    """Check everything below PATH: missing, corrupt, under-replicated, misplaced and open files.

    The last line is that of `hdfs fsck`. Exits with 0 when every chunk can be read (HEALTHY), with
    1 when not (CORRUPT). Nothing is changed: what can be repaired is, without being asked. The
    check goes in small steps while others work; what changes meanwhile is seen or not.
    """
    progress = _Progress()
    report = with_file_system(lambda fs: fs.fsck(path, progress.step))
    progress.end()
    if as_json:
        print_json(_json(report))
    else:
        _print(report, list_all)
    return 0 if report.is_healthy else 1


class _Progress:
    """A count of files on a terminal."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._files = 0

    def step(self, step: FsckStep) -> None:
        self._files += step.counts.files
        if self._on_terminal:
            click.echo(f"\r{self._files:,} files", nl=False, err=True)

    def end(self) -> None:
        if self._on_terminal:
            click.echo("\r" + " " * 30 + "\r", nl=False, err=True)


def _json(report: FsckReport) -> dict[str, object]:
    import msgspec

    return {"healthy": report.is_healthy, **msgspec.to_builtins(report)}


def _print(report: FsckReport, list_all: bool) -> None:
    shown = [f for f in report.findings if list_all or f.problem in _ALWAYS_SHOWN]
    rest = report.findings_left_out
    if not list_all:
        rest += max(0, len(shown) - SHOWN_MAX)
        shown = shown[:SHOWN_MAX]
    if shown:
        print_table(
            ("PROBLEM", "CHUNKS", "BYTES", "FILE"),
            [(f.problem, f"{f.chunks:,}", f"{f.bytes:,}", f.path) for f in shown],
            right="CHUNKS BYTES",
        )
        click.echo(f"... and {rest:,} more" if rest else "")
    _print_counts(report.counts)
    click.echo()
    if report.safe_mode:
        note("the leader began lately and does not know all replicas yet: check again later")
    verdict = "HEALTHY" if report.is_healthy else "CORRUPT"
    click.echo(f"The filesystem under path '{report.path}' is {verdict}")


def _print_counts(counts: FsckCounts) -> None:
    per_chunk = counts.replicas / counts.chunks if counts.chunks else 0.0
    rows = [
        ("Total size", f"{counts.bytes:,} B ({binary_size(counts.bytes)})"),
        ("Total files", f"{counts.files:,}"),
        ("Total dirs", f"{counts.directories:,}"),
        ("Open files", f"{counts.open_files:,}"),
        ("Files kept by the masters", f"{counts.inline_files:,}"),
        ("Total blocks", f"{counts.chunks:,}"),
        ("Missing blocks", _part(counts.missing, counts)),
        ("Corrupt blocks", _part(counts.corrupt, counts)),
        ("Corrupt replicas", f"{counts.corrupt_replicas:,}"),
        ("Under-replicated blocks", _part(counts.under_replicated, counts)),
        ("Blocks in maintenance", _part(counts.in_maintenance, counts)),
        ("Over-replicated blocks", _part(counts.over_replicated, counts)),
        ("Mis-replicated blocks", _part(counts.misplaced, counts)),
        ("Average block replication", f"{per_chunk:.2f}"),
    ]
    for name, value in rows:
        click.echo(f" {name + ':':<27} {value}")


def _part(count: int, counts: FsckCounts) -> str:
    share = 100 * count / counts.chunks if counts.chunks else 0.0
    return f"{count:,} ({share:.2f} %)"
