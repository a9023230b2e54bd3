"""What the parts of the namespace's model share: inodes as a nested tree, callers, permissions.

It shares no code with the product. Refusals are `Refused(name of the error class)`. A path is
followed from the root every time, and totals are counted anew every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from tests.reference.crc32c import crc32c

READ, WRITE, EXECUTE = 4, 2, 1
RESERVED = ".snapshot"
Key = tuple[str, str]
OWNER, GROUP, MASK, OTHER = ("user", ""), ("group", ""), ("mask", ""), ("other", "")


class Refused(Exception):
    """Its one argument is the name of the error class."""

    @property
    def name(self) -> str:
        return str(self.args[0])


def refuse_unless(condition: object, name: str) -> None:
    if not condition:
        raise Refused(name)


class User(NamedTuple):
    """Who asks, of the text "alice:eng,ops"."""

    name: str
    groups: set[str]
    is_super: bool


def user_of(text: str) -> User:
    name, _, groups = text.partition(":")
    members = {group for group in groups.split(",") if group}
    return User(name, members, name == "root" or "supergroup" in members)


class Chunk(NamedTuple):
    """A finished one; version 0: its bytes lie with the inode."""

    chunk_id: int
    version: int
    content: bytes


class Node:
    """A file or directory. `access` holds all entries of its ACL; without one, three of them."""

    def __init__(self, node_id: int, is_file: bool, owner: str, group: str, now_ms: int) -> None:
        self.id = node_id
        self.is_file = is_file
        self.owner, self.group = owner, group
        self.special = 0
        self.access: dict[Key, int] = {OWNER: 0, GROUP: 0, OTHER: 0}
        self.default: dict[Key, int] = {}
        self.mtime = self.atime = self.ctime = now_ms
        self.xattrs: dict[str, bytes] = {}
        self.children: dict[str, Node] = {}
        self.names_max = self.bytes_max = 0
        self.replication = self.chunk_bytes = 0
        self.key = b""
        self.chunks: list[Chunk] = []
        self.holder: int | None = None
        self.reopened = False
        self.open_chunk: tuple[int, int] | None = None  # id, version
        self.replaces_inline = False
        self.replaces = False  # the open chunk, the last finished one
        self.snapshots: dict[str, tuple[int, Node]] = {}  # name to time and copy

    @property
    def mode(self) -> int:
        shown = self.access.get(MASK, self.access[GROUP])
        return self.special | self.access[OWNER] << 6 | shown << 3 | self.access[OTHER]

    def set_mode(self, mode: int) -> None:
        self.special = mode & 0o7000
        self.access[OWNER], self.access[OTHER] = mode >> 6 & 7, mode & 7
        self.access[MASK if MASK in self.access else GROUP] = mode >> 3 & 7

    @property
    def has_acl(self) -> bool:
        return MASK in self.access or bool(self.default)

    @property
    def content(self) -> bytes:
        return b"".join(chunk.content for chunk in self.chunks)

    @property
    def inline(self) -> bool:
        return any(chunk.version == 0 for chunk in self.chunks)

    def walk(self) -> Iterator[Node]:
        """Itself and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()

    def space(self) -> int:
        return sum(len(node.content) * node.replication for node in self.walk())

    def count(self) -> int:
        return sum(1 for _ in self.walk())


checksum = lru_cache(maxsize=1024)(crc32c)


@lru_cache(maxsize=4096)
def _regular_names(path: str) -> tuple[str, ...]:
    return tuple(_names_of(path))


def names_of(path: str) -> list[str]:
    """The names of a path in its regular form; InvalidPath for another."""
    return list(_regular_names(path))


def _names_of(path: str) -> list[str]:
    if path == "/":
        return []
    names = path.split("/")
    try:
        sizes = [len(path.encode()), *(len(name.encode()) for name in names)]
    except UnicodeEncodeError:
        raise Refused("InvalidPath") from None
    too_long = sizes[0] > 4096 or any(size > 255 for size in sizes[1:])
    bad = any(name in ("", ".", "..") for name in names[1:]) or "\0" in path
    refuse_unless(names[0] == "" and len(names) > 1 and not too_long and not bad, "InvalidPath")
    return names[1:]


def text(names: list[str]) -> str:
    return "/" + "/".join(names)


def may(node: Node, user: User, wanted: int) -> bool:
    """POSIX 1003.1e: the owner, else a named user, else the groups, else others."""
    if user.is_super:
        return True
    access = node.access
    if user.name == node.owner:
        return access[OWNER] & wanted == wanted
    mask = access.get(MASK, 7)
    if ("user", user.name) in access:
        return access["user", user.name] & mask & wanted == wanted
    of_groups = [
        bits
        for (kind, name), bits in access.items()
        if kind == "group" and (name or node.group) in user.groups
    ]
    if of_groups:
        return any(bits & mask & wanted == wanted for bits in of_groups)
    return access[OTHER] & wanted == wanted


class Base:
    """State and ways to look. A place is the chain of nodes from the root down to it.

    `doomed_count`: inodes of deleted trees that were too large to be dropped at once.
    """

    def __init__(self, dropped_at_once_max: int) -> None:
        self.dropped_at_once_max = dropped_at_once_max
        self.doomed_count = 0
        self.root = Node(1, False, "root", "supergroup", 0)
        self.root.set_mode(0o755)
        self.next_id, self.next_chunk = 2, 1
        self.clock = 0
        self.heard: dict[int, int] = {}
        self.client = 0

    # ---- looking

    def find(self, path: str, user: User) -> tuple[list[Node], list[str]]:
        """The chain of what exists along *path*, and the names that are missing."""
        names = names_of(path)
        refuse_unless(RESERVED not in names, "InvalidPath")
        chain = [self.root]
        for depth, name in enumerate(names):
            if chain[-1].is_file:
                return chain, names[depth:]
            refuse_unless(may(chain[-1], user, EXECUTE), "AccessDenied")
            if name not in chain[-1].children:
                return chain, names[depth:]
            chain.append(chain[-1].children[name])
        return chain, []

    def walk(self, path: str, user: User) -> list[Node]:
        chain, missing = self.find(path, user)
        if missing:
            raise Refused("NotADirectory" if chain[-1].is_file else "NotFound")
        return chain

    def walk_file(self, path: str, user: User) -> list[Node]:
        chain = self.walk(path, user)
        refuse_unless(chain[-1].is_file, "IsADirectory")
        return chain

    def paths(self) -> dict[str, Node]:
        """Everything by its path."""
        found: dict[str, Node] = {}

        def add(names: list[str], node: Node) -> None:
            found[text(names)] = node
            for name, child in node.children.items():
                add([*names, name], child)

        add([], self.root)
        return found

    def path_of(self, node_id: int) -> str:
        """Where the inode is linked; "": nowhere."""
        return next((path for path, node in self.paths().items() if node.id == node_id), "")

    def chain_of(self, node_id: int) -> list[Node]:
        """From the root to the inode; []: it is linked nowhere."""
        path = self.path_of(node_id)
        return self.walk(path, user_of("root")) if path else []

    # ---- requirements

    def require(self, node: Node, user: User, wanted: int) -> None:
        refuse_unless(may(node, user, wanted), "AccessDenied")

    def require_owner(self, node: Node, user: User) -> None:
        refuse_unless(user.is_super or user.name == node.owner, "AccessDenied")

    def require_removable(self, parent: Node, node: Node, user: User) -> None:
        self.require(parent, user, WRITE | EXECUTE)
        sticky = parent.special & 0o1000 and not user.is_super
        refuse_unless(not sticky or user.name in (parent.owner, node.owner), "AccessDenied")

    def require_quota(self, chain: list[Node], names: int, space: int) -> None:
        """*names* and *space* more fit into every directory of *chain*."""
        for node in chain:
            if names > 0 and node.names_max:
                refuse_unless(node.count() + names <= node.names_max, "QuotaExceeded")
            if space > 0 and node.bytes_max:
                refuse_unless(node.space() + space <= node.bytes_max, "QuotaExceeded")

    def is_silent(self, client: int | None, limit_ms: int) -> bool:
        """Whether the client was not heard of for longer than the limit."""
        assert client is not None
        return client not in self.heard or self.clock - self.heard[client] > limit_ms

    # ---- changes

    def add(self, parent: Node, name: str, is_file: bool, mode: int, owner: str) -> Node:
        node = Node(self.next_id, is_file, owner, parent.group, self.clock)
        self.next_id += 1
        node.set_mode(mode)
        if parent.default:
            inherit(node, parent.default, mode)
        parent.children[name] = node
        self.touch(parent)
        return node

    def unlink(self, parent: Node, node: Node) -> None:
        (name,) = [name for name, child in parent.children.items() if child is node]
        del parent.children[name]
        self.touch(parent)

    def drop(self, parent: Node, node: Node) -> int:
        """Delete *node* with all in it; how many that are."""
        self.unlink(parent, node)
        count = node.count()
        if count > self.dropped_at_once_max:
            self.doomed_count += count
        return count

    def touch(self, node: Node) -> None:
        node.mtime = node.ctime = self.clock

    # ---- answers

    def view(self, node: Node, path: str) -> dict[str, Any]:
        """Every field of the product's FileView."""
        closed = node.is_file and node.holder is None
        return {
            "path": path, "type": "file" if node.is_file else "directory",
            "size": len(node.content), "replication": node.replication,
            "owner": node.owner, "group": node.group, "mode": node.mode,
            "mtime_ms": node.mtime, "ctime_ms": node.ctime, "inode_id": node.id,
            "chunk_bytes": node.chunk_bytes, "under_construction": node.is_file and not closed,
            "child_count": len(node.children),
            "checksum": f"crc32c:{checksum(node.content):08x}" if closed else "",
            "atime_ms": node.atime, "has_acl": node.has_acl, "inline": node.inline,
        }  # fmt: skip


def inherit(node: Node, default: dict[Key, int], mode: int) -> None:
    """A default ACL becomes the new node's own, within *mode*; a directory hands it on."""
    access = dict(default)
    access[OWNER] &= mode >> 6
    access[MASK if MASK in access else GROUP] &= mode >> 3
    access[OTHER] &= mode
    node.access = access
    if not node.is_file:
        node.default = dict(default)
