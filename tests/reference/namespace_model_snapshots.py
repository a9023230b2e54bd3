"""The model's snapshots: each is a copy of the whole tree below a directory."""

from __future__ import annotations

import copy
from typing import Any

from tests.reference.namespace_model_attributes import Attributes
from tests.reference.namespace_model_base import (
    EXECUTE,
    GROUP,
    OTHER,
    OWNER,
    READ,
    RESERVED,
    Node,
    Refused,
    User,
    may,
    names_of,
    refuse_unless,
    text,
)
from tests.reference.namespace_model_files import Files


def frozen(node: Node) -> Node:
    """A copy of *node* and all below it, which nobody writes and which has no snapshots."""
    same = copy.copy(node)
    same.access, same.default = dict(node.access), dict(node.default)
    same.xattrs, same.chunks = dict(node.xattrs), list(node.chunks)
    same.holder = same.open_chunk = None
    same.snapshots = {}
    same.children = {name: frozen(child) for name, child in node.children.items()}
    return same


class Snapshots(Files, Attributes):
    """Operations 31, 32 and 33, and questions with a part `.snapshot` in the path.

    Each `Node.snapshots` goes from the name to (time, copy), the oldest first.
    """

    def create_snapshot(self, user: User, path: str, name: str) -> dict[str, Any]:
        self._check_name(name)
        node = self._owned(path, user)
        refuse_unless(name not in node.snapshots, "AlreadyExists")
        node.snapshots[name] = (self.clock, frozen(node))
        return self.view(node, text([*names_of(path), RESERVED, name]))

    def delete_snapshot(self, user: User, path: str, name: str) -> None:
        node = self._owned(path, user)
        refuse_unless(name in node.snapshots, "NotFound")
        del node.snapshots[name]

    def rename_snapshot(self, user: User, path: str, old: str, new: str) -> None:
        self._check_name(new)
        node = self._owned(path, user)
        refuse_unless(old in node.snapshots, "NotFound")
        refuse_unless(new == old or new not in node.snapshots, "AlreadyExists")
        node.snapshots = {new if n == old else n: kept for n, kept in node.snapshots.items()}

    def _check_name(self, name: str) -> None:
        refuse_unless(len(names_of(f"/{name}")) == 1 and name != RESERVED, "InvalidPath")

    def _owned(self, path: str, user: User) -> Node:
        node = self.walk(path, user)[-1]
        refuse_unless(not node.is_file, "NotADirectory")
        self.require_owner(node, user)
        return node

    # ---- questions

    def past(self, path: str, user: User) -> Node:
        """What a path leads to that has a part `.snapshot`; for `.snapshot` itself its shelf."""
        names = names_of(path)
        place = names.index(RESERVED)
        node = self.walk(text(names[:place]), user)[-1]
        refuse_unless(not node.is_file, "NotADirectory")
        if place == len(names) - 1:
            refuse_unless(may(node, user, EXECUTE), "AccessDenied")
            return self._shelf(node)
        if names[place + 1] not in node.snapshots:
            refuse_unless(may(node, user, EXECUTE), "AccessDenied")
            raise Refused("NotFound")
        node = node.snapshots[names[place + 1]][1]
        for name in names[place + 2 :]:
            refuse_unless(not node.is_file, "NotADirectory")
            refuse_unless(may(node, user, EXECUTE), "AccessDenied")
            refuse_unless(name in node.children, "NotFound")
            node = node.children[name]
        return node

    def _shelf(self, node: Node) -> Node:
        """A directory with the mode of *node*, whose ACL counts, and a child for every snapshot."""
        shelf = frozen(node)
        shelf.children = {name: kept for name, (_, kept) in node.snapshots.items()}
        shelf.names_max = shelf.bytes_max = 0
        return shelf

    def stat(self, path: str, user: User) -> dict[str, Any]:
        if not self._is_past(path):
            return super().stat(path, user)
        return self._without_acl(self.view(self.past(path, user), path))

    def _without_acl(self, view: dict[str, Any]) -> dict[str, Any]:
        is_shelf = names_of(view["path"])[-1] == RESERVED
        return {**view, "has_acl": view["has_acl"] and not is_shelf}

    def list_directory(self, path: str, user: User, after: str, limit: int) -> Any:
        if not self._is_past(path):
            return super().list_directory(path, user, after, limit)
        return self.page_of(self.past(path, user), path, user, after, limit)

    def summary(self, path: str, user: User) -> tuple[int, ...]:
        if not self._is_past(path):
            return super().summary(path, user)
        node = self.past(path, user)
        if names_of(path)[-1] == RESERVED:
            self.require(node, user, READ | EXECUTE)
            return 1, 0, 0, 0, 0, 0
        return self.sums_of(node, user)

    def find_names(self, path: str, user: User, pattern: str, kind: str) -> list[dict[str, Any]]:
        if not self._is_past(path):
            return super().find_names(path, user, pattern, kind)
        found = self.names_in(self.past(path, user), path, user, pattern, kind)
        return [self._without_acl(view) for view in found]

    def get_xattrs(self, path: str, user: User) -> dict[str, bytes]:
        if not self._is_past(path):
            return super().get_xattrs(path, user)
        found = self.xattrs_of(self.past(path, user), user)
        return {} if names_of(path)[-1] == RESERVED else found

    def get_acl(self, path: str, user: User) -> tuple[Any, ...]:
        if not self._is_past(path):
            return super().get_acl(path, user)
        node = self.past(path, user)
        if names_of(path)[-1] == RESERVED:
            mode = node.mode
            node.access, node.default = {OWNER: 0, GROUP: 0, OTHER: 0}, {}
            node.set_mode(mode)
        return self.acl_of(node)

    def quota_of(self, path: str, user: User) -> tuple[int, ...]:
        if not self._is_past(path):
            return super().quota_of(path, user)
        found = self.quotas_of(self.past(path, user), user)
        return (0, 1, 0, 0) if names_of(path)[-1] == RESERVED else found

    def locate(self, path: str, user: User) -> Any:
        if not self._is_past(path):
            return super().locate(path, user)
        file = self.past(path, user)
        refuse_unless(file.is_file, "IsADirectory")
        return self.located(file, path, user)

    def list_snapshots(self, path: str, user: User) -> list[tuple[str, int]]:
        node = self.walk(path, user)[-1]
        refuse_unless(not node.is_file, "NotADirectory")
        self.require(node, user, READ | EXECUTE)
        return [(name, created) for name, (created, _) in node.snapshots.items()]

    def diff(self, path: str, user: User, first: str, second: str) -> list[tuple[str, ...]]:
        """(path, kind, target) of all that differs between two snapshots; "": as it is now."""
        node = self._owned(path, user)
        trees: list[Node] = []
        for name in (first, second):
            refuse_unless(not name or name in node.snapshots, "NotFound")
            trees.append(node.snapshots[name][1] if name else node)
        before, after = (placed(tree) for tree in trees)
        found: list[tuple[str, ...]] = []
        for node_id, (shown, parent, was) in before.items():
            if node_id in after:
                target, new_parent, now = after[node_id]
                if traits(was) != traits(now):
                    found.append((shown, "M", ""))
                name, new_name = shown.rpartition("/")[2], target.rpartition("/")[2]
                if (name, parent) != (new_name, new_parent):
                    found.append((shown, "R", target))
            elif parent in after:
                found.append((shown, "-", ""))
        for node_id, (shown, parent, _) in after.items():
            if node_id not in before and parent in before:
                found.append((shown, "+", ""))
        return sorted(found)

    def past_paths(self) -> list[str]:
        """Every path that leads into a snapshot, or to the shelf."""
        found: list[str] = []

        def add(names: list[str], node: Node) -> None:
            found.append(text(names))
            for name, child in node.children.items():
                add([*names, name], child)

        for path, node in self.paths().items():
            if node.snapshots:
                add([*names_of(path), RESERVED], self._shelf(node))
        return found

    def _is_past(self, path: str) -> bool:
        return RESERVED in names_of(path)


def placed(top: Node) -> dict[int, tuple[str, int, Node]]:
    """Path from *top* on, id of the parent (0: none) and node of all in it, by id."""
    found = {top.id: (".", 0, top)}
    waiting = [(".", top)]
    while waiting:
        shown, node = waiting.pop()
        for name, child in node.children.items():
            found[child.id] = f"{shown}/{name}", node.id, child
            waiting.append((f"{shown}/{name}", child))
    return found


def traits(node: Node) -> tuple[Any, ...]:
    """What makes a node count as modified: not where it lies, nor when it was read or moved."""
    quotas = node.names_max, node.bytes_max
    about = node.mode, node.owner, node.group, node.mtime, node.replication, node.xattrs
    return *about, node.access, node.default, quotas, node.chunks
