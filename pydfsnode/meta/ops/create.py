"""Create a file that its creator then writes."""

from __future__ import annotations

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidArgument, IsADirectory, KeyNeeded
from pydfsnode.meta import paths
from pydfsnode.meta.access import EXECUTE, WRITE
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.looking import new_name
from pydfsnode.meta.ops import mkdirs
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.sealing import FILE, directory_choice
from pydfsnode.meta.tree import Tree

MODE_DEFAULT = 0o644


class Create(Op, frozen=True, array_like=True, tag=2):
    """`mode` 0: MODE_DEFAULT. The caller's client holds the file until it completes or abandons it.

    `overwrite` removes an existing file, one that its writer left half written too.
    """

    path: str
    replication: int
    chunk_bytes: int
    mode: int = 0
    overwrite: bool = False
    create_parents: bool = False


def apply(tree: Tree, op: Create) -> FileView:
    """The new file's view, under construction.

    Raises:
        as `make_file`.
    """
    file = make_file(
        tree, op, op.path, op.replication, op.chunk_bytes, op.mode, op.overwrite,
        op.create_parents, 0,
    )  # fmt: skip
    tree.open(file, op.client_id)
    return tree.view(file, op.path)


def make_file(
    tree: Tree, op: Op, path: str, replication: int, chunk_bytes: int, mode: int, overwrite: bool,
    create_parents: bool, size: int, file_key: bytes = b"",
) -> Inode:  # fmt: skip
    """The new, empty, closed file.

    Args:
        op: whose caller makes it.
        size: what it will hold at once, for the quota.
        file_key: its own, used if its directory wants that each file has one.

    Raises:
        InvalidPath, InvalidArgument: path, mode, replication or chunk size.
        NotFound, NotADirectory: the parent is missing, or a file is in the way.
        IsADirectory, AlreadyExists: what lies there already.
        AccessDenied, QuotaExceeded.
        KeyNeeded: its directory wants a key, and there is none.
    """
    mode = mkdirs.checked_mode(mode) or MODE_DEFAULT
    check_layout(replication, chunk_bytes)
    caller = tree.caller(op.user)
    found, missing = tree.deepest(path, caller)
    if missing == 0:
        parent = _parent_of_replaced(tree, found, path, overwrite, caller)
        name = found.name
        tree.require_quota(parent, 0, size * replication - found.size * found.replication)
        is_keyed = _takes_key(tree, parent, path, file_key)
        tree.remove(found)
    else:
        name = new_name(path)
        parent = mkdirs.require_makeable(
            tree, found, path, missing, caller, missing if create_parents else 1
        )
        tree.require_quota(parent, missing, size * replication)
        is_keyed = _takes_key(tree, parent, path, file_key)
        if missing > 1:
            above = paths.parse(path)[-missing:-1]
            parent = mkdirs.make(tree, parent, above, mkdirs.MODE_DEFAULT, caller.user)
    made = mkdirs.inherit_file(tree, parent, name, mode, caller.user, replication, chunk_bytes)
    if is_keyed:
        tree.file_keys.put(made.inode_id, file_key)
    return made


def _takes_key(tree: Tree, parent: Inode, path: str, file_key: bytes) -> bool:
    """Whether a new file in *parent* has a key of its own. Raises KeyNeeded."""
    if not tree.file_keys.keyed_directories or directory_choice(tree, parent) != FILE:
        return False
    if not file_key:
        raise KeyNeeded(
            f"{paths.shown(path)}: its directory has just been told to give each file a key of its "
            "own: ask again", path=path, retry_after_ms=50,
        )  # fmt: skip
    return True


def _parent_of_replaced(
    tree: Tree, found: Inode, path: str, overwrite: bool, caller: Caller
) -> Inode:
    """The parent of *found*, a file that may be replaced. Raises as `make_file`."""
    if found.is_directory:
        raise IsADirectory(f"{paths.shown(path)} is a directory", path=path)
    if not overwrite:
        raise AlreadyExists(f"{paths.shown(path)} exists", path=path)
    parent = tree.table.parent(found)
    assert parent is not None
    tree.require(found, caller, WRITE, path)
    tree.require_removable(parent, found, caller, path)
    tree.require(parent, caller, WRITE | EXECUTE, path)
    return parent


def check_layout(replication: int, chunk_bytes: int) -> None:
    """Raise InvalidArgument unless a file can be laid out so."""
    if not 1 <= replication <= limits.REPLICATION_MAX:
        raise InvalidArgument(
            f"replication {replication} is not within 1 to {limits.REPLICATION_MAX}",
            replication=replication,
        )
    if not limits.CHUNK_BYTES_MIN <= chunk_bytes <= limits.CHUNK_BYTES_MAX:
        raise InvalidArgument(
            f"chunk size {chunk_bytes} is not within {limits.CHUNK_BYTES_MIN} to "
            f"{limits.CHUNK_BYTES_MAX} bytes",
            chunk_bytes=chunk_bytes,
        )
