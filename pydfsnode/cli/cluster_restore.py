"""`pydfsnode cluster restore`: begin again from a backup when all masters are lost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydfsnode.cli.cluster_backup import opened_backup, time_text
from pydfsnode.cli.options import json_option
from pydfsnode.cli.output import plural, print_json

if TYPE_CHECKING:
    from pydfsnode.config import NodeConfig
    from pydfsnode.roles.master.restore import Restored
    from pydfsnode.security.key_sources import KekSource

_EPILOG = """\b
Example: pydfsnode cluster restore names.bak --config /etc/pydfsnode/m1.toml --kek-file m2-kek.hex
Example: pydfsnode cluster restore names.bak --config m1.toml --data-dir /var/lib/pydfsnode/m1
"""
_NEXT = """\
{name} is the only master of {cluster} now ({member}), with {files}
as of {time}. What was done after it is not there. Next:
  1. start it: pydfsnode serve --config {config}
  2. empty the data_dir of every other master, start it without --bootstrap
  3. pydfsnode cluster add-master NAME=HOST:PORT, for each
  4. pydfsnode cluster fsck says which files lack chunks. The cluster is in safe mode: nothing is
     changed, and chunks that the backup does not know are kept, until you are content
  5. pydfsnode cluster safemode leave"""


@click.command(epilog=_EPILOG)
@click.argument("file", metavar="FILE|-")
@click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The configuration of the master that is made.",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its data goes: empty or absent [default: as configured].",
)
@click.option(
    "--kek-file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The key-encryption key of the master that wrote the backup [default: as the "
    "configuration says].",
)
@json_option
def command(
    file: str, config_path: Path, data_dir: Path | None, kek_file: Path | None, as_json: bool
) -> None:
    """Make the data of ONE first master out of a backup, when all masters are lost.

    No master may run: one that does goes on as another cluster. The others join the restored one
    with empty directories, so that all have one and the same state. Chunkservers stay as they are.

    The cluster keeps its id, and begins in safe mode, with a term and ids beyond all that were
    given out: chunkservers obey no old master any more.
    """
    from pydfsnode.config import load_node_config

    config = load_node_config(config_path)
    if data_dir is not None:
        config.data_dir = str(data_dir)
    restored = _restore(file, config, kek_file)
    if as_json:
        print_json(restored)
        return
    click.echo(
        _NEXT.format(
            name=restored.name, cluster=restored.cluster_id, member=restored.member,
            files=plural(restored.files, "file"), time=time_text(restored.backup_time_ms),
            config=config_path,
        )
    )  # fmt: skip


def _restore(file: str, config: NodeConfig, kek_file: Path | None) -> Restored:
    from pydfsnode.errors import UsageError
    from pydfsnode.roles.master.restore import restore
    from pydfsnode.roles.master.store import kek_source
    from pydfsnode.runtime.clock import SystemClock
    from pydfsnode.security.key_sources import KekFile

    if kek_file is not None:
        source: KekSource = KekFile(kek_file)
    elif config.kek_file or config.kek_env or config.kek_command:
        source = kek_source(config)
    else:
        raise UsageError(
            "which key opens the backup? Give --kek-file: that of the master that wrote it "
            "('pydfsnode cluster backup --verify FILE' names master and key)"
        )
    with opened_backup(file) as opened:
        return restore(config, opened, file, source, SystemClock().wall_ms())
