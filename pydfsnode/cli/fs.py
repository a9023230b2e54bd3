"""`pydfsnode fs`: files and directories, verbs and flags as `hdfs dfs`."""

from __future__ import annotations

import click

from pydfsnode.cli.lazy import Lazy, lazy_group
from pydfsnode.cli.options import client_config_option

_COMMANDS = {
    "put": Lazy("fs_copy:put", "Copy local files and trees to the cluster."),
    "get": Lazy("fs_copy:get", "Copy files and trees from the cluster."),
    "cat": Lazy("fs_copy:cat", "Print files."),
    "head": Lazy("fs_ends:head", "Print the beginning of files."),
    "tail": Lazy("fs_ends:tail", "Print the end of a file, with -f as it grows."),
    "append": Lazy("fs_write:append", "Add local files or standard input to a file."),
    "truncate": Lazy("fs_write:truncate", "Shorten files."),
    "concat": Lazy("fs_write:concat", "Move the content of files to the end of another."),
    "touch": Lazy("fs_touch:touch", "Set the times of files; make those that are not there."),
    "touchz": Lazy("fs_touch:touchz", "Make empty files."),
    "ls": Lazy("fs_ls:ls", "List directories."),
    "stat": Lazy("fs_stat:stat", "Show what is known of a path."),
    "test": Lazy("fs_test:test", "Answer a question about a path by the exit code."),
    "find": Lazy("fs_find:find", "Find files and directories by name below a path."),
    "checksum": Lazy("fs_stat:checksum", "Print the checksums of files."),
    "du": Lazy("fs_sums:du", "Sum the sizes below a path."),
    "count": Lazy("fs_sums:count", "Count files, directories and bytes; quotas."),
    "df": Lazy("fs_sums:df", "Show how full the cluster is."),
    "mkdir": Lazy("fs_change:mkdir", "Make directories."),
    "mv": Lazy("fs_change:mv", "Move or rename, in one step."),
    "rm": Lazy("fs_remove:rm", "Move files and trees to the trash, or delete them."),
    "rmdir": Lazy("fs_remove:rmdir", "Delete empty directories."),
    "expunge": Lazy("fs_expunge:expunge", "Put your trash aside, or empty it."),
    "trash": Lazy("fs_trash:group", "Your trash: list, restore, empty."),
    "chmod": Lazy("fs_owner:chmod", "Change modes."),
    "chown": Lazy("fs_owner:chown", "Change owners and groups."),
    "chgrp": Lazy("fs_owner:chgrp", "Change groups."),
    "setrep": Lazy("fs_replication:setrep", "Change how many copies files have."),
    "getfacl": Lazy("fs_acl:getfacl", "Show access control lists."),
    "setfacl": Lazy("fs_acl:setfacl", "Change access control lists."),
    "getfattr": Lazy("fs_attributes:getfattr", "Show extended attributes."),
    "setfattr": Lazy("fs_attributes:setfattr", "Set or remove an extended attribute."),
    "quota": Lazy("fs_quota:group", "Quotas of directories: show, set, clear."),
    "snapshot": Lazy("fs_snapshot:group", "Snapshots: create, delete, rename, list, diff."),
}


# -h means "sizes for people" below this group, as with `hdfs dfs`.
@click.group(
    name="fs",
    cls=lazy_group(_COMMANDS),
    context_settings={"help_option_names": ["--help"]},
    epilog="Exit codes: 0 done, 1 something was refused or failed, 2 wrong usage. "
    "Example: pydfsnode fs ls -h /reports",
)
@client_config_option
def group() -> None:
    """Files: verbs and flags as `hdfs dfs`.

    Paths in the cluster are absolute: /a/b. Patterns are expanded here, so quote them: '/logs/*.gz'
    (* ? [abc] [^a-z] {one,two}; a backslash takes the next character as it is).
    """
