"""`pydfsnode audit verify|checkpoints`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.audit_paths import found_paths, paths_argument
from pydfsnode.cli.options import client_config_option, json_option
from pydfsnode.cli.output import print_json
from pydfsnode.errors import UsageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pydfsnode.security.audit.checkpoint import Checkpoint
    from pydfsnode.security.audit.verify import TrailReport

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog="Example: pydfsnode audit checkpoints > checkpoints.json")
@client_config_option
def checkpoints() -> None:
    """Export the newest checkpoint of each trail, as the masters hold it, as JSON.

    Keep it apart from the nodes: with it, records that were cut off are found off line.
    """
    print_json(_of_cluster())


@click.command(
    epilog="""\b
Examples: pydfsnode audit verify /var/lib/pydfsnode-audit --ca ca.crt
          pydfsnode audit verify --data-dir /var/lib/pydfsnode --cluster
          pydfsnode audit verify m1/ m2/ m3/ --ca ca.crt --checkpoints checkpoints.json"""
)
@paths_argument
@click.option("--ca", "ca_files", multiple=True, type=_FILE,
              help="Root certificates that signatures must lead to; old ones too.")  # fmt: skip
@click.option("--checkpoints", "checkpoint_file", type=_FILE,
              help="What 'audit checkpoints' exported.")  # fmt: skip
@click.option("--cluster", "ask_cluster", is_flag=True, help="Ask the masters for it instead.")
@json_option
@client_config_option
@click.pass_context
def verify(
    context: click.Context, paths: tuple[Path, ...], data_dirs: tuple[Path, ...],
    ca_files: tuple[Path, ...], checkpoint_file: Path | None, ask_cluster: bool, as_json: bool,
) -> None:  # fmt: skip
    """Verify trails: name the first record that was edited, moved, taken out or cut off.

    Needs the files and public keys only. Records after the last checkpoint are only chained to one
    another; what was cut off at the end is found with --checkpoints or --cluster. Exit code 1 when
    something is wrong.
    """
    from pydfsnode.security.audit.verify import verify_trails

    if checkpoint_file is not None and ask_cluster:
        raise UsageError("--checkpoints and --cluster exclude each other")
    known: list[Checkpoint] = []
    if checkpoint_file is not None:
        known = _exported(checkpoint_file)
    elif ask_cluster:
        known = _of_cluster()
    reports = verify_trails(found_paths(paths, data_dirs), known, _roots(ca_files))
    is_bad = any(report.bad for report in reports)
    if as_json:
        print_json({"ok": not is_bad, "trails": reports})
    else:
        for report in reports:
            _show(report)
        if not ca_files:
            click.echo("Whose certificates signed was not checked: that takes --ca.")
        if not known:
            click.echo("Whether the end was cut off was not checked: see --checkpoints, --cluster.")
    if is_bad:
        context.exit(1)


def _show(report: TrailReport) -> None:
    head = f"{report.node} {report.trail}"
    if report.bad:
        where = f"{report.bad_file}:{report.bad_line}: " if report.bad_line else ""
        where = where or (f"{report.bad_file}: " if report.bad_file else "")
        click.echo(f"BAD      {head}: {where}record {report.bad_seq} {report.bad}")
    else:
        proven = f"proven up to {report.proven_seq}" if report.proven_seq else "no checkpoint"
        click.echo(f"OK       {head}: records {report.first_seq} to {report.last_seq}, {proven}")
    if report.gaps:
        click.echo(f"         {report.gaps} records found no room when they came: see cmd gap")
    if report.torn_lines:
        click.echo(f"         {report.torn_lines} lines were cut by a crash and say so")
    for note in report.notes:
        click.echo(f"         {note}")


def _roots(files: tuple[Path, ...]) -> list[Certificate] | None:
    if not files:
        return None
    from pydfsnode.security import pem

    found: list[Certificate] = []
    for file in files:
        try:
            found += pem.certificates_in(_content(file))
        except pem.UNREADABLE as error:
            raise UsageError(f"{file}: holds no certificate: {error}") from None
    return found


def _exported(file: Path) -> list[Checkpoint]:
    import msgspec

    from pydfsnode.security.audit.checkpoint import Checkpoint

    try:
        return msgspec.json.decode(_content(file), type=list[Checkpoint])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: is not what 'audit checkpoints' exports: {error}") from None


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


def _of_cluster() -> list[Checkpoint]:
    from pydfsnode.cli.session import with_file_system

    return with_file_system(lambda fs: fs.security.audit_checkpoints())
