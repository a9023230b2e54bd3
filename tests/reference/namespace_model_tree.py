"""The model's directories: make, create, delete, move, list, sum up."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from tests.reference.namespace_model_base import (
    EXECUTE,
    READ,
    WRITE,
    Base,
    Node,
    Refused,
    User,
    may,
    names_of,
    refuse_unless,
    text,
)

MIB = 1 << 20
INLINE_BYTES_MAX = 4096
SOFT_LEASE_MS = 60_000


class Trees(Base):
    """Operations 1, 2, 6, 7, 8, 23, 47 and 48, and the questions about directories.

    `keys_made` counts the files that got a key of their own.
    """

    keys_made = 0

    # ---- questions

    def stat(self, path: str, user: User) -> dict[str, Any]:
        return self.view(self.walk(path, user)[-1], path)

    def list_directory(self, path: str, user: User, after: str, limit: int) -> Any:
        """The views of one page, and whether there is more."""
        return self.page_of(self.walk(path, user)[-1], path, user, after, limit)

    def page_of(self, node: Node, path: str, user: User, after: str, limit: int) -> Any:
        if node.is_file:
            return ([] if after else [self.view(node, path)]), False
        self.require(node, user, READ | EXECUTE)
        names = sorted(node.children, key=str.encode)
        names = [name for name in names if name.encode() > after.encode()]
        page = [self.view(node.children[n], join(path, n)) for n in names[:limit]]
        return page, len(names) > limit

    def summary(self, path: str, user: User) -> tuple[int, ...]:
        return self.sums_of(self.walk(path, user)[-1], user)

    def sums_of(self, node: Node, user: User) -> tuple[int, ...]:
        if not node.is_file:
            self.require(node, user, READ | EXECUTE)
        below = list(node.walk())
        files = [each for each in below if each.is_file]
        return (
            len(below) - len(files), len(files), sum(len(file.content) for file in files),
            node.space(), node.names_max, node.bytes_max,
        )  # fmt: skip

    def find_names(self, path: str, user: User, pattern: str, kind: str) -> list[dict[str, Any]]:
        """What has a name like *pattern* below *path*, itself too; "": any; kind "": both."""
        return self.names_in(self.walk(path, user)[-1], path, user, pattern, kind)

    def names_in(
        self, top: Node, path: str, user: User, pattern: str, kind: str
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def look(node: Node, name: str, at: str) -> None:
            view = self.view(node, at)
            if fnmatchcase(name, pattern or "*") and kind in ("", view["type"]):
                found.append(view)
            if not node.is_file and may(node, user, READ | EXECUTE):
                for below in sorted(node.children, key=str.encode):
                    look(node.children[below], below, join(at, below))

        look(top, ["", *names_of(path)][-1], path)
        return found

    # ---- making

    def mkdirs(self, user: User, path: str, mode: int) -> dict[str, Any]:
        refuse_unless(0 <= mode <= 0o7777, "InvalidArgument")
        chain, missing = self.find(path, user)
        if not missing:
            refuse_unless(not chain[-1].is_file, "AlreadyExists")
            return self.view(chain[-1], path)
        self._require_makeable(chain, user)
        self.require_quota(chain, len(missing), 0)
        return self.view(self._make(chain[-1], missing, mode or 0o755, user), path)

    def _require_makeable(self, chain: list[Node], user: User) -> None:
        refuse_unless(not chain[-1].is_file, "NotADirectory")
        self.require(chain[-1], user, WRITE | EXECUTE)

    def _make(self, node: Node, names: list[str], mode: int, user: User) -> Node:
        for depth, name in enumerate(names, 1):
            above = 0o300 if depth < len(names) else 0
            node = self.add(node, name, False, mode | above, user.name)
        return node

    def create(
        self, user: User, path: str, replication: int, chunk_bytes: int, mode: int,
        overwrite: bool, create_parents: bool,
    ) -> dict[str, Any]:  # fmt: skip
        file = self._make_file(
            user, path, replication, chunk_bytes, mode, overwrite, create_parents, 0
        )
        file.holder = self.client
        return self.view(file, path)

    def create_chunked(
        self, user: User, path: str, replication: int, chunk_bytes: int, mode: int,
        overwrite: bool, create_parents: bool, targets: Sequence[str],
    ) -> dict[str, Any]:  # fmt: skip
        refuse_unless(1 <= len(set(targets)) == len(targets) <= 16, "InvalidArgument")
        file = self._make_file(
            user, path, replication, chunk_bytes, mode, overwrite, create_parents, chunk_bytes
        )
        file.holder = self.client
        file.open_chunk = (self.next_chunk, 1)
        self.next_chunk += 1
        return self.view(file, path)

    def create_inline(
        self, user: User, path: str, replication: int, chunk_bytes: int, mode: int,
        overwrite: bool, create_parents: bool, content: bytes,
    ) -> dict[str, Any]:  # fmt: skip
        refuse_unless(len(content) <= INLINE_BYTES_MAX, "InvalidArgument")
        file = self._make_file(
            user, path, replication, chunk_bytes, mode, overwrite, create_parents, len(content)
        )
        self.set_inline(file, content)
        return self.view(file, path)

    def create_keyed(
        self, user: User, path: str, replication: int, chunk_bytes: int, mode: int,
        overwrite: bool, create_parents: bool, key: bytes, targets: Sequence[str],
        content: bytes | None,
    ) -> dict[str, Any]:  # fmt: skip
        refuse_unless(len(key) == 32, "InvalidArgument")
        self._drawn = key
        try:
            layout = user, path, replication, chunk_bytes, mode, overwrite, create_parents
            if content is not None:
                return self.create_inline(*layout, content)
            return self.create_chunked(*layout, targets) if targets else self.create(*layout)
        finally:
            self._drawn = b""

    _drawn = b""

    def _wants_key(self, chain: list[Node]) -> bool:
        said = [node.xattrs.get("trusted.seal") for node in chain]
        return [choice for choice in said if choice in (b"on", b"off", b"file")][-1:] == [b"file"]

    def set_inline(self, file: Node, content: bytes) -> None:
        raise NotImplementedError

    def _make_file(
        self, user: User, path: str, replication: int, chunk_bytes: int, mode: int,
        overwrite: bool, create_parents: bool, size: int,
    ) -> Node:  # fmt: skip
        refuse_unless(0 <= mode <= 0o7777, "InvalidArgument")
        refuse_unless(1 <= replication <= 16, "InvalidArgument")
        refuse_unless(MIB <= chunk_bytes <= 64 * MIB, "InvalidArgument")
        chain, missing = self.find(path, user)
        if missing:
            refuse_unless(not chain[-1].is_file, "NotADirectory")
            refuse_unless(create_parents or len(missing) == 1, "NotFound")
            self._require_makeable(chain, user)
            self.require_quota(chain, len(missing), size * replication)
            wants_key = self._wants_key(chain)
            refuse_unless(self._drawn or not wants_key, "KeyNeeded")
            parent = self._make(chain[-1], missing[:-1], 0o755, user)
        else:
            found = chain[-1]
            self._require_overwritable(chain, user, overwrite)
            parent = chain[-2]
            more = size * replication - len(found.content) * found.replication
            self.require_quota(chain[:-1], 0, more)
            wants_key = self._wants_key(chain[:-1])
            refuse_unless(self._drawn or not wants_key, "KeyNeeded")
            self.drop(parent, found)
        file = self.add(parent, names_of(path)[-1], True, mode or 0o644, user.name)
        file.replication, file.chunk_bytes = replication, chunk_bytes
        if wants_key:
            file.key = self._drawn
            self.keys_made += 1
        return file

    def _require_overwritable(self, chain: list[Node], user: User, overwrite: bool) -> None:
        found = chain[-1]
        refuse_unless(found.is_file, "IsADirectory")
        refuse_unless(overwrite, "AlreadyExists")
        self.require(found, user, WRITE)
        self.require_removable(chain[-2], found, user)

    # ---- removing and moving

    def require_deletable(self, chain: list[Node], user: User) -> None:
        """The parent lets it go, and all that is in it may be seen and taken out."""
        node = chain[-1]
        self.require_removable(chain[-2], node, user)
        for each in node.walk():
            refuse_unless(not each.snapshots, "InvalidArgument")
        for each in node.walk():
            if each.children:
                self.require(each, user, READ | WRITE | EXECUTE)

    def delete(self, user: User, path: str, recursive: bool) -> int:
        chain = self.walk(path, user)
        refuse_unless(len(chain) > 1, "InvalidArgument")
        refuse_unless(recursive or not chain[-1].children, "DirectoryNotEmpty")
        self.require_deletable(chain, user)
        return self.drop(chain[-2], chain[-1])

    def reclaim(self, user: User, count: int) -> int:
        refuse_unless(user.is_super, "AccessDenied")
        refuse_unless(1 <= count <= 4096, "InvalidArgument")
        dropped = min(count, self.doomed_count)
        self.doomed_count -= dropped
        return dropped

    def rename(self, user: User, source: str, destination: str, overwrite: bool) -> dict[str, Any]:
        chain = self.walk(source, user)
        node = chain[-1]
        refuse_unless(len(chain) > 1, "InvalidRename")
        if source == destination:
            return self.view(node, destination)
        refuse_unless(not destination.startswith(source + "/"), "InvalidRename")
        refuse_unless(destination != "/", "AlreadyExists")
        target, missing = self.find(destination, user)
        if missing and (len(missing) > 1 or target[-1].is_file):
            raise Refused("NotADirectory" if target[-1].is_file else "NotFound")
        existing = None if missing else target.pop()
        if existing is not None:
            both_files = node.is_file and existing.is_file and overwrite
            both_directories = not node.is_file and not existing.is_file and not existing.children
            refuse_unless(both_files or both_directories, "AlreadyExists")
            self.require_deletable([*target, existing], user)
        self.move(user, chain, target, names_of(destination)[-1], existing)
        return self.view(node, destination)

    def move(
        self, user: User, chain: list[Node], target: list[Node], name: str, existing: Node | None
    ) -> None:
        """From the end of *chain* into the directory at the end of *target*."""
        node = chain[-1]
        self.require_removable(chain[-2], node, user)
        self.require(target[-1], user, WRITE | EXECUTE)
        names, space = node.count(), node.space()
        if existing is not None:
            names, space = names - 1, space - existing.space()
        self.require_quota([each for each in target if each not in chain[:-1]], names, space)
        if existing is not None:
            self.drop(target[-1], existing)
        self.unlink(chain[-2], node)
        target[-1].children[name] = node
        self.touch(target[-1])
        node.ctime = self.clock


def join(path: str, name: str) -> str:
    return text([*names_of(path), name])
