"""The place of something in the trash, and the way back.

It lies under the path that it had. What had to take another name, because that path was taken in
the trash, has its original path in the attribute ORIGIN.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from pydfsnode._fast import Inode
from pydfsnode.errors import AlreadyExists, InvalidPath
from pydfsnode.ids import ROOT_INODE_ID
from pydfsnode.meta import paths
from pydfsnode.meta.access import EXECUTE, WRITE
from pydfsnode.meta.caller import SUPERUSER, Caller
from pydfsnode.meta.inodes import HAS_EXTRAS, Extras
from pydfsnode.meta.looking import joined, not_a_directory
from pydfsnode.meta.trash import CURRENT, CURRENT_DEPTH, HOME_DEPTH, HOMES, TRASH
from pydfsnode.meta.tree import Tree

ORIGIN = "trusted.trash.origin"
_HOME_MODE = 0o755
_TRASH_MODE = 0o700


class Missing(NamedTuple):
    """A directory to make; `origin`: its path had it not been taken in the trash, else ""."""

    name: str
    mode: int
    owner: str
    origin: str


class Place(NamedTuple):
    """Where something goes: `missing` are to be made in `parent`, one in the other."""

    parent: Inode
    missing: list[Missing]
    name: str
    path: str
    is_renamed: bool


def place(tree: Tree, caller: Caller, names: list[str], inode: Inode) -> Place:
    """Where *inode*, now at the path of *names*, goes in the trash of *caller*.

    The home and the trash are made on the way as the masters' own work; what lies in them already
    must let *caller* in.

    Raises:
        NotADirectory: there is a file where the home or the trash should be.
        AlreadyExists: even the other names are taken.
        InvalidPath: the path would be too long.
        AccessDenied.
    """
    wanted = [HOMES, caller.user, TRASH, CURRENT, *names]
    taken: list[str] = []
    missing: list[Missing] = []
    at = tree.table.get(ROOT_INODE_ID)
    assert at is not None
    for depth, name in enumerate(wanted[:-1]):
        child = None if missing else tree.table.child(at, name)
        origin = ""
        if child is not None and child.is_file:
            if depth < CURRENT_DEPTH:
                raise not_a_directory(joined([*taken, name]))
            name, child = _other_directory(tree, at, name, joined([*taken, name]))
            origin = joined(names[: depth - CURRENT_DEPTH + 1])
        taken.append(name)
        if child is None:
            missing.append(_missing(depth, name, caller, origin))
            continue
        at = child
        if depth >= HOME_DEPTH - 1:
            tree.require(at, caller, EXECUTE, joined(taken))
    if len(taken) - len(missing) >= HOME_DEPTH:
        tree.require(at, caller, WRITE | EXECUTE, joined(taken[: len(taken) - len(missing)]))
    name = names[-1]
    if not missing:
        name = _free_name(tree, at, name, inode, joined([*taken, name]))
    path = joined([*taken, name])
    paths.parse(path)
    is_renamed = name != names[-1] or taken[CURRENT_DEPTH:] != names[:-1]
    return Place(at, missing, name, path, is_renamed)


def _missing(depth: int, name: str, caller: Caller, origin: str) -> Missing:
    if depth == 0:
        return Missing(name, _HOME_MODE, SUPERUSER, origin)
    mode = _HOME_MODE if depth < HOME_DEPTH else _TRASH_MODE
    return Missing(name, mode, caller.user, origin)


def _other_directory(tree: Tree, at: Inode, name: str, path: str) -> tuple[str, Inode | None]:
    """The name of a directory in place of the file *name*, and that directory when it exists."""
    other = f"{name} {tree.clock_ms}"
    child = tree.table.child(at, other)
    if child is not None and child.is_file:
        raise AlreadyExists(f"{paths.shown(path)} exists and is a file", path=path)
    return other, child


def _free_name(tree: Tree, at: Inode, name: str, inode: Inode, path: str) -> str:
    clock_ms = tree.clock_ms
    for free in (name, f"{name} {clock_ms}", f"{name} {clock_ms}-{inode.inode_id}"):
        if tree.table.child(at, free) is None:
            return free
    raise AlreadyExists(f"{paths.shown(path)} exists", path=path)


def require_room(tree: Tree, inode: Inode, parent: Inode, made: int) -> None:
    """Raise QuotaExceeded unless *inode* fits in *parent*, in *made* new directories."""
    if not tree.quota_count:
        return
    table = tree.table
    old = table.parent(inode)
    assert old is not None
    common: Inode | None = parent
    while common is not None and not table.is_within(old, common):
        common = table.parent(common)
    names, space = 1, inode.size * inode.replication
    if inode.is_directory:
        names += inode.files_below + inode.directories_below
        space = inode.space_below
    tree.require_quota(parent, made, 0)
    tree.require_quota(parent, made + names, space, below=common)


def relocate(tree: Tree, inode: Inode, parent: Inode, name: str) -> None:
    """Take *inode* to the free place *name* in *parent*; nothing is checked."""
    tree.modified(inode)
    tree.unlink(inode)
    inode.ctime_ms = tree.clock_ms
    tree.link(parent, inode, name)


# ---- where something came from


def origin_of(tree: Tree, inode: Inode, names: list[str]) -> str:
    """The path that *inode*, at the path of *names* in a trash, had before.

    The nearest mark above it counts; without any it is the path below the checkpoint.

    Raises:
        InvalidPath: a superuser wrote something else into the mark.
    """
    below: list[str] = []
    at: Inode | None = inode
    for name in reversed(names[CURRENT_DEPTH:]):
        assert at is not None
        marked = _marked(tree, at)
        if marked:
            return marked + joined(below) if below else marked
        below.insert(0, name)
        at = tree.table.parent(at)
    return joined(below)


def mark(tree: Tree, inode: Inode, origin: str) -> None:
    """Note that *inode* came from *origin*; "": take the note off."""
    extras = tree.extras.get(inode.inode_id) if inode.flags & HAS_EXTRAS else None
    before = extras or Extras()
    xattrs = {name: value for name, value in before.xattrs.items() if name != ORIGIN}
    if origin:
        xattrs[ORIGIN] = origin.encode()
    if xattrs != before.xattrs:
        tree.modified(inode)
        tree.set_extras(inode, replace(before, xattrs=xattrs))


def _marked(tree: Tree, inode: Inode) -> str:
    extras = tree.extras.get(inode.inode_id) if inode.flags & HAS_EXTRAS else None
    marked = b"" if extras is None else extras.xattrs.get(ORIGIN, b"")
    try:
        return marked.decode()
    except UnicodeDecodeError:
        raise InvalidPath(f"the attribute {ORIGIN} holds no path: remove it") from None
