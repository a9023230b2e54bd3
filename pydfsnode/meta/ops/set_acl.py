"""Change the access control list of a file or directory (setfacl)."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from pydfsnode import limits
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta import acl, paths
from pydfsnode.meta.acl import GROUP, MASK, OTHER, OWNER, Acl, Entries, Key
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.ops.base import Op
from pydfsnode.meta.results import FileView
from pydfsnode.meta.tree import Tree


class SetAcl(Op, frozen=True, array_like=True, tag=18):
    """`entries` as "user:alice:rwx", "group::r-x", "mask::rwx", "default:user:bob:r--".

    `change`: "set" them in place of all others (of those for access, or the default ones, when only
    such are given), "modify" (add or replace each), "remove" (permissions may be left out:
    "user:alice"), "remove_default" and "remove_all" (no entries).
    """

    path: str
    entries: tuple[str, ...]
    change: str


def apply(tree: Tree, op: SetAcl) -> FileView:
    """The view of the file or directory.

    A mask that is not given becomes what group and named entries have together. Owner, group and
    others of a default ACL that are not given become those of the access ACL.

    Raises:
        InvalidPath, NotFound, NotADirectory: nothing is there.
        InvalidArgument: an entry, the change, or what would come out of it.
        AccessDenied: needs the owner.
    """
    caller = tree.caller(op.user)
    inode = tree.walk(op.path, caller)
    tree.require_owner(inode, caller, op.path)
    extras = tree.extras.get(inode.inode_id) or Extras()
    try:
        changed = _changed(acl.read(inode.mode, extras), op)
        if changed.default and not inode.is_directory:
            raise InvalidArgument("only directories have a default ACL")
    except InvalidArgument as error:
        raise InvalidArgument(f"ACL of {paths.shown(op.path)}: {error}", path=op.path) from None
    mode, access, default = acl.write(changed, inode.mode)
    tree.modified(inode)
    inode.mode = mode
    acl.give(tree, inode, msgspec.structs.replace(extras, acl=access, default_acl=default))
    inode.ctime_ms = tree.clock_ms
    return tree.view(inode, op.path)


def _changed(before: Acl, op: SetAcl) -> Acl:
    if op.change in _WITH_ENTRIES:
        if not 0 < len(op.entries) <= 2 * limits.ACL_ENTRIES_MAX:
            raise InvalidArgument(
                f"{len(op.entries)} entries to {op.change}: 1 to {2 * limits.ACL_ENTRIES_MAX} "
                "can be given at once"
            )
        return _checked(_WITH_ENTRIES[op.change](before, op.entries))
    if op.change not in ("remove_default", "remove_all"):
        raise InvalidArgument(
            f"there is no change {op.change!r}: set, modify, remove, remove_default, remove_all"
        )
    if op.entries:
        raise InvalidArgument(f"{op.change} takes no entries")
    if op.change == "remove_default":
        return Acl(before.access, {})
    return Acl({key: before.access[key] for key in (OWNER, GROUP, OTHER)}, {})


def _set(before: Acl, texts: tuple[str, ...]) -> Acl:
    access, default = _parsed(texts)
    return _completed(access or before.access, access, default or before.default, default)


def _modify(before: Acl, texts: tuple[str, ...]) -> Acl:
    access, default = _parsed(texts)
    return _completed(before.access | access, access, before.default | default, default)


def _remove(before: Acl, texts: tuple[str, ...]) -> Acl:
    gone = [acl.parse_key(text) for text in texts]
    # What was not there leaves a mask that was set by hand as it is.
    access = {key for is_default, key in gone if not is_default and key in before.access}
    default = {key for is_default, key in gone if is_default and key in before.default}
    return _completed(
        {key: bits for key, bits in before.access.items() if key not in access}, access,
        {key: bits for key, bits in before.default.items() if key not in default}, default,
    )  # fmt: skip


_WITH_ENTRIES: dict[str, Callable[[Acl, tuple[str, ...]], Acl]] = {
    "set": _set,
    "modify": _modify,
    "remove": _remove,
}


def _parsed(texts: tuple[str, ...]) -> tuple[Entries, Entries]:
    """The access and the default entries among *texts*."""
    access: Entries = {}
    default: Entries = {}
    for text in texts:
        is_default, key, bits = acl.parse(text)
        scope = default if is_default else access
        if key in scope:
            raise InvalidArgument(f"there are two entries for the one of {text!r}")
        scope[key] = bits
    return access, default


def _completed(
    access: Entries, access_changed: Collection[Key],
    default: Entries, default_changed: Collection[Key],
) -> Acl:  # fmt: skip
    """Both parts with what was not given: masks, and the base of a default ACL."""
    if default:
        base = {key: access[key] for key in (OWNER, GROUP, OTHER) if key in access}
        default = base | default
    return Acl(_masked(access, access_changed), _masked(default, default_changed))


def _masked(entries: Entries, changed: Collection[Key]) -> Entries:
    """*entries* with the mask that they need after those of the keys *changed* did."""
    if not changed:
        return entries
    is_extended = any(name for _, name in entries)
    if MASK in changed:
        if is_extended and MASK not in entries:
            raise InvalidArgument("the mask is needed as long as there are named users or groups")
        return entries
    masked = {key: bits for key, bits in entries.items() if key != MASK}
    if is_extended:
        union = 0
        for (kind, name), bits in masked.items():
            if name or kind == "group":
                union |= bits
        masked[MASK] = union
    return masked


def _checked(changed: Acl) -> Acl:
    for what, entries in (("", changed.access), ("default ", changed.default)):
        # Only the default part may be empty as a whole.
        if (entries or not what) and not {OWNER, GROUP, OTHER} <= entries.keys():
            raise InvalidArgument(f"the {what}entries user::, group:: and other:: are needed")
        if len(entries) > limits.ACL_ENTRIES_MAX:
            raise InvalidArgument(
                f"it would have {len(entries)} {what}entries; the most is {limits.ACL_ENTRIES_MAX}"
            )
    return changed
