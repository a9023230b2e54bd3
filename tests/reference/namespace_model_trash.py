"""The model's trash: /user/NAME/.Trash with Current and checkpoints named by their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.reference.namespace_model_base import (
    EXECUTE,
    WRITE,
    Node,
    Refused,
    User,
    names_of,
    refuse_unless,
    text,
)
from tests.reference.namespace_model_tree import Trees

ORIGIN = "trusted.trash.origin"
"""The attribute that says where something came from whose name was taken in the trash."""
STAMP = "%y%m%d%H%M%S"


def in_trash(names: list[str]) -> bool:
    return len(names) > 2 and names[0] == "user" and names[2] == ".Trash"


class Trash(Trees):
    """Operations 24, 28, 29 and 30."""

    def move_to_trash(self, user: User, path: str) -> dict[str, Any]:
        chain = self.walk(path, user)
        names, node = names_of(path), chain[-1]
        home = ["user", user.name]
        refuse_unless(names and not in_trash(names), "InvalidArgument")
        refuse_unless(home[: len(names)] != names, "InvalidArgument")
        self.require_removable(chain[-2], node, user)
        refuse_unless(not any(each.snapshots for each in node.walk()), "InvalidArgument")
        target, taken, missing = self._place(user, names)
        name = names[-1]
        if not missing:
            free = [name, f"{name} {self.clock}", f"{name} {self.clock}-{node.id}"]
            left = [each for each in free if each not in target[-1].children]
            refuse_unless(left, "AlreadyExists")
            name = left[0]
        moved = text([*taken, name])
        names_of(moved)
        self._require_room(chain, target, len(missing))
        directory = target[-1]
        for new, mode, owner, origin in missing:
            directory = self._add_bare(directory, new, mode, owner)
            if origin:
                directory.xattrs[ORIGIN] = origin.encode()
        self._relocate(chain, directory, name)
        node.xattrs.pop(ORIGIN, None)
        if [*taken, name][4:] != names:
            node.xattrs[ORIGIN] = path.encode()
        return self.view(node, moved)

    def _place(self, user: User, names: list[str]) -> tuple[list[Node], list[str], list[Any]]:
        """The chain of what is there, the names of all directories, and the ones to make."""
        chain, taken, missing = [self.root], list[str](), list[Any]()
        for depth, name in enumerate(["user", user.name, ".Trash", "Current", *names[:-1]]):
            child = None if missing else chain[-1].children.get(name)
            origin = ""
            if child is not None and child.is_file:
                refuse_unless(depth > 3, "NotADirectory")
                name, origin = f"{name} {self.clock}", text(names[: depth - 3])
                child = chain[-1].children.get(name)
                refuse_unless(child is None or not child.is_file, "AlreadyExists")
            taken.append(name)
            if child is None:
                owner = "root" if depth == 0 else user.name
                missing.append((name, 0o755 if depth < 2 else 0o700, owner, origin))
                continue
            chain.append(child)
            if depth > 0:
                self.require(child, user, EXECUTE)
        if len(chain) > 2:
            self.require(chain[-1], user, WRITE | EXECUTE)
        return chain, taken, missing

    def _add_bare(self, parent: Node, name: str, mode: int, owner: str) -> Node:
        """A directory that inherits no ACL: a trash is its owner's."""
        default, parent.default = parent.default, {}
        node = self.add(parent, name, False, mode, owner)
        parent.default = default
        return node

    def _require_room(self, chain: list[Node], target: list[Node], made: int) -> None:
        node = chain[-1]
        for each in target:
            comes = each not in chain[:-1]
            names, space = (node.count(), node.space()) if comes else (0, 0)
            self.require_quota([each], made + names, space)

    def _relocate(self, chain: list[Node], directory: Node, name: str) -> None:
        node = chain[-1]
        self.unlink(chain[-2], node)
        directory.children[name] = node
        self.touch(directory)
        node.ctime = self.clock

    def restore_trash(self, user: User, path: str) -> dict[str, Any]:
        chain = self.walk(path, user)
        names, node = names_of(path), chain[-1]
        refuse_unless(len(names) > 4 and in_trash(names), "InvalidArgument")
        self.require_removable(chain[-2], node, user)
        origin = text(names[4:])
        for depth in range(5, len(names) + 1):
            marked = chain[depth].xattrs.get(ORIGIN)
            if marked:
                try:
                    start = marked.decode()
                except UnicodeDecodeError:
                    raise Refused("InvalidPath") from None
                origin = start + (text(names[depth:]) if names[depth:] else "")
        target, missing = self.find(origin, user)
        refuse_unless(missing, "AlreadyExists")
        self._require_makeable(target, user)
        refuse_unless(node not in target, "InvalidRename")
        self._require_room(chain, target, len(missing) - 1)
        directory = self._make(target[-1], missing[:-1], 0o755, user)
        self._relocate(chain, directory, missing[-1])
        node.xattrs.pop(ORIGIN, None)
        return self.view(node, origin)

    # ---- what goes for good

    def _trash_of(self, name: str) -> list[Node]:
        """The chain to a user's trash; []: there is none."""
        chain = [self.root]
        for each in ("user", name, ".Trash"):
            if each not in chain[-1].children:
                return []
            chain.append(chain[-1].children[each])
        return [] if chain[-1].is_file else chain

    def _checkpoints(self, trash: Node) -> list[tuple[str, Node, int]]:
        found: list[tuple[str, Node, int]] = []
        for name in sorted(trash.children, key=str.encode):
            digits = name.partition("-")[0]
            if len(digits) == 12 and digits.isdecimal() and not trash.children[name].is_file:
                since = datetime.strptime(digits, STAMP).replace(tzinfo=UTC)
                found.append((name, trash.children[name], int(since.timestamp()) * 1000))
        return found

    def roll_trash(self, user: User, roll_ms: int, keep_ms: int, users: Sequence[str]) -> int:
        refuse_unless(user.is_super, "AccessDenied")
        removed = 0
        for name in users:
            for trash in self._trash_of(name)[-1:]:
                self._roll(trash, roll_ms)
                for _, node, since in self._checkpoints(trash):
                    kept = any(each.snapshots for each in node.walk())
                    if self.clock - since > keep_ms and not kept:
                        removed += self.drop(trash, node)
        return removed

    def _roll(self, trash: Node, roll_ms: int) -> None:
        current = trash.children.get("Current")
        if current is None or not current.children or self.clock - current.atime < roll_ms:
            return
        stamp = datetime.fromtimestamp(self.clock // 1000, UTC).strftime(STAMP)
        for free in (stamp, *(f"{stamp}-{again}" for again in range(1, 9))):
            if free not in trash.children:
                self._relocate([trash, current], trash, free)
                return

    def empty_trash(self, user: User) -> int:
        trash = self._trash_of(user.name)
        if not trash:
            return 0
        found = [node for _, node, _ in self._checkpoints(trash[-1])]
        current = trash[-1].children.get("Current")
        if current is not None and not current.is_file:
            found.append(current)
        deletable: list[Node] = []
        errors: list[Refused] = []
        for node in found:
            try:
                self.require_deletable([*trash, node], user)
                deletable.append(node)
            except Refused as error:
                errors.append(error)
        if errors and not deletable:
            raise errors[0]
        return sum(self.drop(trash[-1], node) for node in deletable)
