"""The model's attributes: replication, owner, mode, times, extended attributes, ACLs, quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.reference.namespace_model_base import (
    EXECUTE,
    GROUP,
    MASK,
    OTHER,
    OWNER,
    READ,
    WRITE,
    Base,
    Key,
    Node,
    Refused,
    User,
    refuse_unless,
)

TIME_MAX = 253_402_300_799_999
LETTERS = ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"]
KINDS = ["user", "group", "mask", "other"]
Entries = dict[Key, int]


class Attributes(Base):
    """Operations 12 to 19 and the questions about what they set."""

    def _changed(self, node: Node, path: str) -> dict[str, Any]:
        node.ctime = self.clock
        return self.view(node, path)

    def set_replication(self, user: User, path: str, replication: int) -> dict[str, Any]:
        refuse_unless(1 <= replication <= 16, "InvalidArgument")
        chain = self.walk_file(path, user)
        file = chain[-1]
        self.require(file, user, WRITE)
        unfinished = file.chunk_bytes if file.open_chunk else 0
        if replication > file.replication:
            more = len(file.content) * (replication - file.replication) + unfinished * replication
            self.require_quota(chain[:-1], 0, more)
        file.replication = replication
        return self._changed(file, path)

    def set_owner(self, user: User, path: str, owner: str, group: str) -> dict[str, Any]:
        refuse_unless(owner or group, "InvalidArgument")
        for name in (owner, group):
            refuse_unless(not set(name) & set(":,/\n"), "InvalidArgument")
        node = self.walk(path, user)[-1]
        self.require_owner(node, user)
        if not user.is_super:
            refuse_unless(owner in ("", node.owner), "AccessDenied")
            refuse_unless(not group or group in user.groups, "AccessDenied")
        node.owner, node.group = owner or node.owner, group or node.group
        return self._changed(node, path)

    def set_mode(self, user: User, path: str, mode: int) -> dict[str, Any]:
        refuse_unless(0 <= mode <= 0o7777, "InvalidArgument")
        node = self.walk(path, user)[-1]
        self.require_owner(node, user)
        member = user.is_super or node.group in user.groups
        node.set_mode(mode if member else mode & 0o1777)
        return self._changed(node, path)

    def set_times(self, user: User, path: str, mtime: int, atime: int) -> dict[str, Any]:
        refuse_unless(all(-1 <= time <= TIME_MAX for time in (mtime, atime)), "InvalidArgument")
        node = self.walk(path, user)[-1]
        self.require(node, user, WRITE)
        if (mtime, atime) == (-1, -1):
            return self.view(node, path)
        node.mtime = node.mtime if mtime == -1 else mtime
        node.atime = node.atime if atime == -1 else atime
        return self._changed(node, path)

    # ---- extended attributes

    def _require_xattr(self, node: Node, user: User, name: str) -> None:
        if name.startswith("trusted."):
            refuse_unless(user.is_super, "AccessDenied")
        elif not node.is_file and node.special & 0o1000:
            self.require_owner(node, user)
        else:
            self.require(node, user, WRITE)

    def _require_name(self, name: str) -> None:
        prefix, dot, rest = name.partition(".")
        refuse_unless(dot and prefix in ("user", "trusted"), "NotSupported")
        apt = rest and len(name.encode()) <= 255 and "\0" not in name
        refuse_unless(apt, "InvalidArgument")

    def set_xattr(
        self, user: User, path: str, name: str, value: bytes, create: bool, replace: bool
    ) -> dict[str, Any]:
        self._require_name(name)
        node = self.walk(path, user)[-1]
        self._require_xattr(node, user, name)
        if create != replace:
            refuse_unless(replace or name not in node.xattrs, "AlreadyExists")
            refuse_unless(create or name in node.xattrs, "NotFound")
        after = {**node.xattrs, name: value}
        size = sum(len(n.encode()) + len(v) for n, v in after.items())
        refuse_unless(len(after) <= 32 and size <= 16 * 1024, "InvalidArgument")
        node.xattrs = after
        return self._changed(node, path)

    def remove_xattr(self, user: User, path: str, name: str) -> dict[str, Any]:
        self._require_name(name)
        node = self.walk(path, user)[-1]
        self._require_xattr(node, user, name)
        refuse_unless(name in node.xattrs, "NotFound")
        node.xattrs = {n: v for n, v in node.xattrs.items() if n != name}
        return self._changed(node, path)

    def get_xattrs(self, path: str, user: User) -> dict[str, bytes]:
        return self.xattrs_of(self.walk(path, user)[-1], user)

    def xattrs_of(self, node: Node, user: User) -> dict[str, bytes]:
        self.require(node, user, READ)
        seen = {n: v for n, v in node.xattrs.items() if user.is_super or n.startswith("user.")}
        return dict(sorted(seen.items()))

    # ---- quotas

    def set_quota(self, user: User, path: str, names: int, space: int) -> dict[str, Any]:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(all(-1 <= quota < 1 << 63 for quota in (names, space)), "InvalidArgument")
        node = self.walk(path, user)[-1]
        refuse_unless(not node.is_file, "NotADirectory")
        if (names, space) == (-1, -1):
            return self.view(node, path)
        node.names_max = node.names_max if names == -1 else names
        node.bytes_max = node.bytes_max if space == -1 else space
        return self._changed(node, path)

    def quota_of(self, path: str, user: User) -> tuple[int, ...]:
        return self.quotas_of(self.walk(path, user)[-1], user)

    def quotas_of(self, node: Node, user: User) -> tuple[int, ...]:
        if not node.is_file:
            self.require(node, user, READ | EXECUTE)
        return node.names_max, node.count(), node.bytes_max, node.space()

    # ---- access control lists

    def set_acl(self, user: User, path: str, entries: Sequence[str], change: str) -> dict[str, Any]:
        node = self.walk(path, user)[-1]
        self.require_owner(node, user)
        with_entries = change in ("set", "modify", "remove")
        refuse_unless(with_entries or change in ("remove_all", "remove_default"), "InvalidArgument")
        refuse_unless(bool(entries) == with_entries and len(entries) <= 64, "InvalidArgument")
        access, default = node.access, node.default
        if change == "remove_all":
            # The owning group gets back what its entry says; the mask is gone.
            access, default = {key: access[key] for key in (OWNER, GROUP, OTHER)}, {}
        elif change == "remove_default":
            default = {}
        else:
            access, default = changed(access, default, entries, change)
            refuse_unless(not default or not node.is_file, "InvalidArgument")
        node.access, node.default = access, default
        return self._changed(node, path)

    def get_acl(self, path: str, user: User) -> tuple[Any, ...]:
        return self.acl_of(self.walk(path, user)[-1])

    def acl_of(self, node: Node) -> tuple[Any, ...]:
        return (
            node.owner, node.group, node.mode, shown(node.access),
            tuple(f"default:{entry}" for entry in shown(node.default)),
        )  # fmt: skip


def shown(entries: Entries) -> tuple[str, ...]:
    order = sorted(entries, key=lambda key: (KINDS.index(key[0]), key[1]))
    return tuple(f"{kind}:{name}:{LETTERS[entries[kind, name]]}" for kind, name in order)


def parsed(entry: str, needs_bits: bool) -> tuple[bool, Key, int]:
    """Of a default ACL or not, key, bits."""
    bare = entry.removeprefix("default:")
    kind, *rest = bare.split(":")
    apt = kind in KINDS and len(rest) in ((2,) if needs_bits else (1, 2))
    refuse_unless(apt, "InvalidArgument")
    name, letters = rest[0], rest[1] if len(rest) > 1 else ""
    refuse_unless(letters in LETTERS or (not letters and not needs_bits), "InvalidArgument")
    refuse_unless(not name or kind in ("user", "group"), "InvalidArgument")
    refuse_unless(not set(name) & set(",/\n"), "InvalidArgument")
    return bare != entry, (kind, name), LETTERS.index(letters) if letters else 0


def changed(
    access: Entries, default: Entries, texts: Sequence[str], change: str
) -> tuple[Entries, Entries]:
    """Both ACLs after the entries were set, modified or removed."""
    given: tuple[Entries, Entries] = {}, {}
    for entry in texts:
        is_default, key, bits = parsed(entry, change != "remove")
        refuse_unless(change == "remove" or key not in given[is_default], "InvalidArgument")
        given[is_default][key] = bits
    after: list[Entries] = []
    touched: list[set[Key]] = []
    for before, new in zip((access, default), given, strict=True):
        if change == "remove":
            touched.append(set(new) & set(before))
            after.append({key: bits for key, bits in before.items() if key not in new})
        else:
            touched.append(set(new))
            after.append({**before, **new} if change == "modify" or not new else new)
    if after[1]:
        base = {key: after[0][key] for key in (OWNER, GROUP, OTHER) if key in after[0]}
        after[1] = {**base, **after[1]}
    whole = [masked(*each) for each in zip(after, touched, strict=True)]
    for entries, may_be_none in zip(whole, (False, True), strict=True):
        base = {OWNER, GROUP, OTHER} <= set(entries)
        refuse_unless(base or (may_be_none and not entries), "InvalidArgument")
        refuse_unless(len(entries) <= 32, "InvalidArgument")
    return whole[0], whole[1]


def masked(entries: Entries, touched: set[Key]) -> Entries:
    """With the mask that was given, or else all that the group class has together."""
    named = any(name for _, name in entries)
    if not touched:
        return entries
    if MASK in touched:
        if named and MASK not in entries:
            raise Refused("InvalidArgument")
        return entries
    entries = {key: bits for key, bits in entries.items() if key != MASK}
    if named:
        mask = 0
        for key, bits in entries.items():
            mask |= bits if key not in (OWNER, OTHER) else 0
        entries[MASK] = mask
    return entries
