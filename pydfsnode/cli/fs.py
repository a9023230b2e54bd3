"""`pydfsnode fs`: files and directories, verbs and flags as `hdfs dfs`."""

from __future__ import annotations

import click

from pydfsnode.cli.lazy import Lazy, lazy_group
from pydfsnode.cli.options import client_config_option

_COMMANDS = {
    "put": Lazy("fs_copy:put", "Copy local files and trees to the cluster."),
    "get": Lazy("fs_copy:get", "Copy files and trees from the cluster."),
    "cat": Lazy("fs_copy:cat", "Print files."),
    "ls": Lazy("fs_look:ls", "List directories."),
    "stat": Lazy("fs_look:stat", "Show what is known of a path."),
    "du": Lazy("fs_look:du", "Sum the sizes below a path."),
    "mkdir": Lazy("fs_change:mkdir", "Make directories."),
    "mv": Lazy("fs_change:mv", "Move or rename, in one step."),
    "rm": Lazy("fs_change:rm", "Delete files and trees."),
}


# -h means "sizes for people" below this group, as with `hdfs dfs`.
@click.group(
    name="fs", cls=lazy_group(_COMMANDS), context_settings={"help_option_names": ["--help"]}
)
@client_config_option
def group() -> None:
    """Files: verbs and flags as `hdfs dfs`. Paths in the cluster are absolute: /a/b."""
