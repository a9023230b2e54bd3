"""`pydfsnode audit verify|search|tail|checkpoints`: what was done and refused, and is that so."""

from __future__ import annotations

import click

from pydfsnode.cli.lazy import Lazy, lazy_group

_COMMANDS = {
    "verify": Lazy("audit_verify:verify", "Name the first record that was changed, if any."),
    "search": Lazy("audit_search:search", "Find records by user, path, time, outcome."),
    "tail": Lazy("audit_search:tail", "Print the last records and follow what comes."),
    "checkpoints": Lazy("audit_verify:checkpoints", "Export what the masters hold of trails."),
}


@click.group(name="audit", cls=lazy_group(_COMMANDS), short_help="Verify and search audit trails.")
def group() -> None:
    """Verify and search the audit trails of masters and chunkservers, which are plain files.

    A PATH is a trail's file or directory, or a node's data directory.
    """
