"""Who may do what to an inode: mode bits, the sticky bit and ACLs, as POSIX 1003.1e and HDFS."""

from __future__ import annotations

from typing import Protocol

from pydfsnode.errors import AccessDenied
from pydfsnode.meta import acl
from pydfsnode.meta.caller import Caller
from pydfsnode.meta.inodes import HAS_ACL

READ, WRITE, EXECUTE = 4, 2, 1
STICKY = 0o1000
_WORDS = {READ: "READ", WRITE: "WRITE", EXECUTE: "EXECUTE"}


class Guarded(Protocol):
    """What a permission is asked for: an inode as it is, or as a snapshot saw it."""

    @property
    def is_directory(self) -> bool: ...
    @property
    def mode(self) -> int: ...
    @property
    def owner(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def flags(self) -> int: ...


def may(inode: Guarded, caller: Caller, wanted: int, entries: tuple[str, ...] = ()) -> bool:
    """Whether *caller* has all bits of *wanted* on *inode*.

    Args:
        entries: the access ACL, when the inode has one; mode's group bits are then its mask.
    """
    if caller.superuser:
        return True
    if inode.flags & HAS_ACL:
        return acl.may(inode.mode, inode.owner, inode.group, entries, caller, wanted)
    mode = inode.mode
    if inode.owner == caller.user:
        granted = mode >> 6
    elif inode.group in caller.groups:
        granted = mode >> 3
    else:
        granted = mode
    return granted & wanted == wanted


def denied(inode: Guarded, caller: Caller, wanted: int, path: str) -> AccessDenied:
    """The error, in the words that HDFS users know."""
    return AccessDenied(
        f"Permission denied: user={caller.user}, access={words(wanted)}, "
        f'inode="{path}":{inode.owner}:{inode.group}:{symbolic(inode)}',
        path=path,
    )


def words(wanted: int) -> str:
    """READ_WRITE and so on."""
    return "_".join(word for bit, word in _WORDS.items() if wanted & bit)


def symbolic(inode: Guarded) -> str:
    """As `ls -l` shows it: drwxr-xr-x, with + for an ACL and t for the sticky bit."""
    mode = inode.mode
    shown = "".join(
        letter if mode & (0o400 >> place) else "-" for place, letter in enumerate("rwxrwxrwx")
    )
    if mode & STICKY:
        shown = shown[:-1] + ("t" if mode & EXECUTE else "T")
    return ("d" if inode.is_directory else "-") + shown + ("+" if inode.flags & HAS_ACL else "")
