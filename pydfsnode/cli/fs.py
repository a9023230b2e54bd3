"""`pydfsnode fs`: files and directories, verbs and flags as `hdfs dfs`."""

from __future__ import annotations

import click

from pydfsnode.cli.lazy import Lazy, LazyGroup
from pydfsnode.cli.options import client_config_option

_COMMANDS = {
    "put": Lazy("fs_put:put", "Copy local files and trees to the cluster."),
    "get": Lazy("fs_get:get", "Copy files and trees from the cluster."),
    "cp": Lazy("fs_cp:cp", "Copy files and trees within the cluster."),
    "getmerge": Lazy("fs_get:getmerge", "Write several files into one local file."),
    "moveFromLocal": Lazy("fs_put:move_from_local", "As put, and delete what was copied here."),
    "cat": Lazy("fs_cat:cat", "Print files."),
    "text": Lazy("fs_text:text", "Print files, unpacked if they are packed."),
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
    "seal": Lazy("fs_seal:seal", "Choose whether what is written below is sealed on disks."),
    "snapshot": Lazy("fs_snapshot:group", "Snapshots: create, delete, rename, list, diff."),
}


_OTHER_NAMES = {
    "copyFromLocal": "fs_put:put",
    "copyToLocal": "fs_get:get",
    "appendToFile": "fs_write:append",
    "createSnapshot": "fs_snapshot:create",
    "deleteSnapshot": "fs_snapshot:delete",
    "renameSnapshot": "fs_snapshot:rename",
}
"""Names of `hdfs dfs` for what is listed under another one."""


class _Verbs(LazyGroup):
    """Takes verbs as `hdfs dfs` writes them, too: -ls, -help ls."""

    table = _COMMANDS
    other_names = _OTHER_NAMES

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the dash off a verb in front, and see `help VERB` as `VERB --help`."""
        first = args[0].removeprefix("-") if args else ""
        if first in ("help", "usage"):
            args = [*args[1:2], "--help"]
        elif first in self.table or first in self.other_names:
            args = [first, *args[1:]]
        return super().parse_args(ctx, args)


# -h means "sizes for people" below this group, as with `hdfs dfs`.
@click.group(
    name="fs",
    cls=_Verbs,
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
