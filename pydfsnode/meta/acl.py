"""Access control lists: who may, beyond owner, group and others (POSIX 1003.1e draft 17, as HDFS).

The mode holds three entries of an access ACL: the owner's, the others', and in the group bits the
mask. `Extras.acl` holds the rest: named users, the owning group, named groups. Without any, the
group bits are the owning group's. `Extras.default_acl` holds a whole ACL, which new children get.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from pydfsnode import limits
from pydfsnode._fast import Inode
from pydfsnode.errors import InvalidArgument
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import HAS_ACL, Extras

if TYPE_CHECKING:
    from pydfsnode.meta.tree import Tree

Key = tuple[str, str]
"""Kind and name of an entry; the name of the owner, the owning group, mask and others is ""."""
Entries = dict[Key, int]
"""To READ, WRITE and EXECUTE bits."""

OWNER, GROUP, MASK, OTHER = ("user", ""), ("group", ""), ("mask", ""), ("other", "")
_ORDER = {"user": 0, "group": 1, "mask": 2, "other": 3}
_LETTERS = ("---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx")
_BITS = {letters: bits for bits, letters in enumerate(_LETTERS)}
_NOT_IN_NAMES = frozenset({*map(chr, range(0x20)), ":", ",", "/", "\x7f"})


class Acl(NamedTuple):
    """All entries of an inode; `default` is empty when children inherit none."""

    access: Entries
    default: Entries


# ---- deciding


def may(
    mode: int, owner: str, group: str, entries: tuple[str, ...], caller: Caller, wanted: int
) -> bool:
    """Whether *caller* has *wanted*: the first class of entries that names them decides.

    Args:
        mode: its group bits are the mask, when there are *entries*.
        entries: as in `Extras.acl`; (): a default ACL only, which decides nothing here.
    """
    if caller.user == owner:
        return mode >> 6 & wanted == wanted
    if not entries:
        return (mode >> 3 if group in caller.groups else mode) & wanted == wanted
    wanted_of_mask = mode >> 3 & wanted == wanted
    is_member = False
    for entry in entries:
        kind, name, letters = entry.split(":")
        if kind == "user":
            if name == caller.user:
                return wanted_of_mask and _BITS[letters] & wanted == wanted
        elif (name or group) in caller.groups:
            # One entry must grant all: bits of two groups do not add up.
            if wanted_of_mask and _BITS[letters] & wanted == wanted:
                return True
            is_member = True
    return not is_member and mode & wanted == wanted


# ---- text


def parse(text: str) -> tuple[bool, Key, int]:
    """Whether "user:alice:rwx" or "default:user:alice:rwx" is a default entry, its key and bits.

    Raises:
        InvalidArgument: it is none.
    """
    bare = text.removeprefix("default:")
    key, _, letters = bare.rpartition(":")
    bits = _BITS.get(letters)
    if bits is None:
        raise _no_entry(text, "KIND:NAME:rwx, with - for each permission that is not granted")
    return bare != text, _parsed_key(key, text), bits


def parse_key(text: str) -> tuple[bool, Key]:
    """As `parse`, of an entry to remove, where the permissions may be left out."""
    bare = text.removeprefix("default:")
    key, _, letters = bare.rpartition(":")
    has_permissions = ":" in key and (letters in _BITS or not letters)
    return bare != text, _parsed_key(key if has_permissions else bare, text)


def _parsed_key(key: str, text: str) -> Key:
    kind, colon, name = key.partition(":")
    if kind not in _ORDER or not colon:
        raise _no_entry(text, "user:, group:, mask: or other:, maybe with default: before it")
    if name and kind in ("mask", "other"):
        raise _no_entry(text, f"{kind}: without a name")
    return kind, checked_name(name) if name else ""


def _no_entry(text: str, form: str) -> InvalidArgument:
    return InvalidArgument(f"{text!r} is no entry of an ACL, which is {form}")


def checked_name(name: str) -> str:
    """*name* when a user or group can have it.

    Raises:
        InvalidArgument: it is empty, too long, or holds what separates names elsewhere.
    """
    if not name or len(name.encode()) > limits.NAME_BYTES_MAX or not _NOT_IN_NAMES.isdisjoint(name):
        raise InvalidArgument(
            f"{name[:80]!r} is no name of a user or group: 1 to {limits.NAME_BYTES_MAX} bytes "
            "without ':', ',', '/' and control characters"
        )
    return name


def ordered(entries: Entries) -> tuple[str, ...]:
    """The one way to write *entries*: users, groups, mask, others; each kind by name."""
    keys = sorted(entries, key=lambda key: (_ORDER[key[0]], key[1]))
    return tuple(f"{kind}:{name}:{_LETTERS[entries[kind, name]]}" for kind, name in keys)


# ---- in mode and extras


def read(mode: int, extras: Extras | None) -> Acl:
    """The whole ACL; of an inode without one the three entries that its mode is."""
    access: Entries = {OWNER: mode >> 6 & 7, OTHER: mode & 7}
    if extras is None or not extras.acl:
        access[GROUP] = mode >> 3 & 7
    else:
        access.update(_entries(extras.acl))
        access[MASK] = mode >> 3 & 7
    return Acl(access, {} if extras is None else _entries(extras.default_acl))


def write(acl: Acl, mode: int) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """The mode with the bits that *acl* has in it, `Extras.acl` and `Extras.default_acl`."""
    access = acl.access
    group_bits = access.get(MASK, access[GROUP])
    mode = mode & ~0o777 | access[OWNER] << 6 | group_bits << 3 | access[OTHER]
    kept: Entries = {}
    if MASK in access:
        kept = {key: bits for key, bits in access.items() if key not in (OWNER, MASK, OTHER)}
    return mode, ordered(kept), ordered(acl.default)


def _entries(texts: Iterable[str]) -> Entries:
    entries: Entries = {}
    for text in texts:
        kind, name, letters = text.split(":")
        entries[kind, name] = _BITS[letters]
    return entries


def inherit(parent_extras: Extras, mode: int, *, is_directory: bool) -> tuple[int, Extras | None]:
    """Mode and extras of a new child, made with *mode*, in a directory with *parent_extras*.

    The default ACL becomes the child's access ACL; what *mode* does not grant to owner, group class
    and others, nobody in these classes gets. A directory gets the default ACL too.
    """
    default = _entries(parent_extras.default_acl)
    if not default:
        return mode, None
    access = dict(default)
    access[OWNER] &= mode >> 6
    access[MASK if MASK in access else GROUP] &= mode >> 3
    access[OTHER] &= mode
    mode, acl, default_acl = write(Acl(access, default if is_directory else {}), mode)
    if not acl and not default_acl:
        return mode, None
    return mode, Extras(acl=acl, default_acl=default_acl)


def give(tree: Tree, inode: Inode, extras: Extras | None) -> None:
    """Replace the extras of *inode*, and its flag HAS_ACL with them."""
    tree.set_extras(inode, extras)
    if extras is not None and (extras.acl or extras.default_acl):
        inode.flags |= HAS_ACL
    else:
        inode.flags &= ~HAS_ACL
