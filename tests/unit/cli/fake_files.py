"""A file system in a dictionary, with the methods of `AsyncFileSystem` that the verbs use."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from stat import filemode
from typing import Any

from pydfsnode.client.model import (
    Acl,
    ChunkLocation,
    ChunkserverState,
    ClusterStatus,
    Difference,
    FileLocations,
    FileStatus,
    Replica,
    SnapshotInfo,
    Summary,
)
from pydfsnode.errors import (
    AccessDenied,
    AlreadyExists,
    DirectoryNotEmpty,
    DomainError,
    IsADirectory,
    NotADirectory,
    NotFound,
    QuotaExceeded,
)

NOW_MS = 1_700_000_000_000
Reads = Any


@dataclass
class Node:
    """A file, or a directory when there is no content."""

    content: bytes | None = None
    mode: int = 0o644
    owner: str = "ann"
    group: str = "staff"
    replication: int = 3
    mtime_ms: int = NOW_MS
    atime_ms: int = NOW_MS
    copies: int = 3
    is_open: bool = False
    entries: tuple[str, ...] = ()
    quota: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)


class FakeFiles:
    """Everything is Ann's. `closed`: paths that she may not read or write."""

    stalest = None
    replication = 0

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"/": Node(mode=0o755)}
        self.closed: set[str] = set()
        self.calls: list[tuple[Any, ...]] = []
        self.trash_full = False
        self.differences: list[Difference] = []
        self.kept: dict[str, list[SnapshotInfo]] = {}
        self.live = 3

    def tree(self, *paths: str, content: bytes = b"") -> None:
        """Make files, and directories where a path ends with "/", with their parents."""
        for path in paths:
            names = path.strip("/").split("/")
            for depth in range(1, len(names)):
                self.nodes.setdefault("/" + "/".join(names[:depth]), Node(mode=0o755))
            is_directory = path.endswith("/")
            made = Node(mode=0o755) if is_directory else Node(content)
            self.nodes["/" + "/".join(names)] = made

    # ---- the connection

    async def __aenter__(self) -> FakeFiles:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def waiting_because(self) -> str | None:
        return None

    # ---- inside

    def _at(self, path: str, *, open_to: bool = False) -> Node:
        path = path.rstrip("/") or "/"
        if open_to and path in self.closed:
            raise AccessDenied(f"user=ann, access=READ, inode={path}")
        if path not in self.nodes:
            above = self.nodes.get(path.rpartition("/")[0] or "/")
            if above is not None and above.content is not None:
                raise NotADirectory(f"'{path}' has a file in its way")
            raise NotFound(f"'{path}' does not exist")
        return self.nodes[path]

    def _below(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        return sorted(p for p in self.nodes if p.startswith(prefix) and p != "/")

    def _status(self, path: str) -> FileStatus:
        node = self._at(path)
        content = node.content
        children = [p for p in self._below(path) if "/" not in p[len(path.rstrip("/")) + 1 :]]
        return FileStatus(
            path=path.rstrip("/") or "/",
            type="directory" if content is None else "file",
            size=len(content or b""),
            replication=0 if content is None else node.replication,
            owner=node.owner,
            group=node.group,
            mode=node.mode,
            mtime_ms=node.mtime_ms,
            atime_ms=node.atime_ms,
            ctime_ms=NOW_MS,
            checksum="" if content is None else "crc32c:0000000a",
            chunk_bytes=0 if content is None else 1 << 20,
            under_construction=node.is_open,
            child_count=len(children) if content is None else 0,
            has_acl=bool(node.entries),
        )

    def _file(self, path: str) -> bytes:
        content = self._at(path, open_to=True).content
        if content is None:
            raise IsADirectory(f"'{path}' is a directory")
        return content

    # ---- looking

    async def info(self, path: str, *, consistency: Reads = None) -> FileStatus:
        return self._status(path)

    async def exists(self, path: str, *, consistency: Reads = None) -> bool:
        return path in self.nodes

    async def isdir(self, path: str, *, consistency: Reads = None) -> bool:
        return path in self.nodes and self.nodes[path].content is None

    async def ls(self, path: str, *, consistency: Reads = None) -> list[FileStatus]:
        return [entry async for entry in self.scandir(path)]

    async def scandir(self, path: str, *, consistency: Reads = None) -> AsyncIterator[FileStatus]:
        if self._at(path, open_to=True).content is not None:
            yield self._status(path)
            return
        for entry in self._below(path):
            if "/" not in entry[len(path.rstrip("/")) + 1 :]:
                yield self._status(entry)

    async def find(
        self,
        path: str,
        pattern: str = "*",
        type: str | None = None,
        *,
        consistency: Reads = None,
    ) -> AsyncIterator[FileStatus]:
        self._at(path)
        for found in [path, *self._below(path)]:
            status = self._status(found)
            if type in (None, status.type) and fnmatchcase(status.name, pattern):
                yield status

    async def du(self, path: str, *, consistency: Reads = None) -> Summary:
        self._at(path, open_to=True)
        within = [self.nodes[p] for p in {path, *self._below(path)}]
        files = [node for node in within if node.content is not None]
        size = sum(len(node.content or b"") for node in files)
        spread = sum(len(node.content or b"") * node.replication for node in files)
        names, space = self.nodes[path].quota
        return Summary(
            directories=len(within) - len(files),
            files=len(files),
            bytes=size,
            bytes_replicated=spread,
            names_quota=names,
            space_quota=space,
        )

    async def locations(self, path: str, *, consistency: Reads = None) -> FileLocations:
        node = self._at(path)
        replicas = tuple(Replica(f"c{n}", "") for n in range(node.copies))
        chunk = ChunkLocation(1, 1, 0, len(node.content or b""), 0, replicas)
        return FileLocations(self._status(path), (chunk,))

    async def cluster_status(self) -> ClusterStatus:
        servers = [
            ChunkserverState(f"c{n}", "live", 0, 1 << 30, 3 << 30, "", "", 0)
            for n in range(self.live)
        ]
        return ClusterStatus("testcluster", "OK", [], "m1", 1, 1, 1, [], servers)

    async def open_reader(self, path: str, *, consistency: Reads = None) -> FakeReader:
        return FakeReader(self._file(path))

    async def xattrs(self, path: str) -> dict[str, bytes]:
        return dict(self._at(path).xattrs)

    async def acl(self, path: str) -> Acl:
        node = self._at(path)
        user, group, other = (filemode(node.mode)[at : at + 3] for at in (1, 4, 7))
        access = [f"user::{user}", *node.entries, f"other::{other.replace('t', 'x')}"]
        if not node.entries:
            access.insert(1, f"group::{group}")
        return Acl(node.owner, node.group, node.mode, tuple(access), ())

    async def snapshots(self, path: str) -> list[SnapshotInfo]:
        self._at(path)
        return self.kept.get(path, [])

    async def snapshot_diff(self, path: str, from_: str, to: str = "") -> list[Difference]:
        self.calls.append(("snapshot_diff", path, from_, to))
        return self.differences

    # ---- changing

    async def mkdir(self, path: str, create_parents: bool = True) -> FileStatus:
        if path in self.nodes:
            raise AlreadyExists(f"'{path}' exists")
        self._at(path.rpartition("/")[0] or "/")
        self.tree(path + "/")
        return self._status(path)

    async def makedirs(self, path: str, exist_ok: bool = False) -> FileStatus:
        self.tree(path + "/")
        return self._status(path)

    async def mv(self, source: str, destination: str) -> FileStatus:
        self._at(source)
        if await self.isdir(destination):
            destination = destination.rstrip("/") + "/" + source.rpartition("/")[2]
        if destination in self.nodes:
            raise AlreadyExists(f"'{destination}' exists")
        for path in [source, *self._below(source)]:
            self.nodes[destination + path[len(source) :]] = self.nodes.pop(path)
        return self._status(destination)

    async def rm(self, path: str, recursive: bool = False) -> int:
        self._at(path)
        gone = [path, *self._below(path)]
        if len(gone) > 1 and not recursive:
            raise DirectoryNotEmpty(f"'{path}' has {len(gone) - 1} entries")
        for each in gone:
            del self.nodes[each]
        return len(gone)

    async def trash(self, path: str) -> str:
        self._at(path)
        if self.trash_full:
            raise QuotaExceeded("The DiskSpace quota of '/user/ann' is exceeded")
        target = "/user/ann/.Trash/Current" + path
        self.tree(target.rpartition("/")[0] + "/")
        if target in self.nodes:
            target += f" {NOW_MS}"
        await self.mv(path, target)
        return target

    async def restore(self, path: str) -> FileStatus:
        self._at(path)
        target = "/" + path.split("/", 5)[5].partition(" ")[0]
        if target in self.nodes:
            raise AlreadyExists(f"'{target}' exists: rename it first")
        return await self.mv(path, target)

    async def empty_trash(self) -> int:
        gone = self._below("/user/ann/.Trash")
        for path in gone:
            del self.nodes[path]
        return len(gone)

    async def set_times(
        self, path: str, mtime_ms: int | None = None, atime_ms: int | None = None
    ) -> FileStatus:
        node = self._at(path)
        node.mtime_ms = node.mtime_ms if mtime_ms is None else mtime_ms
        node.atime_ms = node.atime_ms if atime_ms is None else atime_ms
        return self._status(path)

    async def chmod(self, path: str, mode: int) -> FileStatus:
        self._at(path, open_to=True).mode = mode
        return self._status(path)

    async def chown(self, path: str, owner: str = "", group: str = "") -> FileStatus:
        node = self._at(path, open_to=True)
        node.owner, node.group = owner or node.owner, group or node.group
        return self._status(path)

    async def set_replication(self, path: str, replication: int) -> FileStatus:
        self._at(path).replication = replication
        return self._status(path)

    async def set_xattr(
        self, path: str, name: str, value: bytes, create: bool = False, replace: bool = False
    ) -> FileStatus:
        self._at(path).xattrs[name] = value
        return self._status(path)

    async def remove_xattr(self, path: str, name: str) -> FileStatus:
        if name not in self._at(path, open_to=True).xattrs:
            raise NotFound(f"'{path}' has no attribute {name}")
        del self.nodes[path].xattrs[name]
        return self._status(path)

    async def set_acl(
        self, path: str, entries: Sequence[str], change: str = "modify"
    ) -> FileStatus:
        self.calls.append(("set_acl", path, tuple(entries), change))
        return self._status(path)

    async def set_quota(
        self, path: str, names: int | None = None, space_bytes: int | None = None
    ) -> FileStatus:
        node = self._at(path)
        had = node.quota
        node.quota = (
            had[0] if names is None else names, had[1] if space_bytes is None else space_bytes
        )  # fmt: skip
        return self._status(path)

    async def create_snapshot(self, path: str, name: str) -> str:
        self._at(path)
        self.kept.setdefault(path, []).append(SnapshotInfo(name, NOW_MS))
        return f"{path}/.snapshot/{name}"

    async def delete_snapshot(self, path: str, name: str) -> None:
        self.calls.append(("delete_snapshot", path, name))

    async def rename_snapshot(self, path: str, old: str, new: str) -> None:
        self.calls.append(("rename_snapshot", path, old, new))

    # ---- content

    async def pipe_file(self, path: str, value: bytes, *, overwrite: bool = True) -> FileStatus:
        if path in self.nodes and not overwrite:
            raise AlreadyExists(f"'{path}' exists")
        self.tree(path, content=value)
        return self._status(path)

    async def open_writer(self, path: str, *, overwrite: bool = True) -> FakeWriter:
        await self.pipe_file(path, b"", overwrite=overwrite)
        return FakeWriter(self.nodes[path])

    async def append(self, path: str) -> FakeWriter:
        self._file(path)
        return FakeWriter(self.nodes[path])

    async def truncate(self, path: str, size: int) -> FileStatus:
        content = self._file(path)
        if size > len(content):
            raise DomainError(f"'{path}' has {len(content)} bytes")
        self.nodes[path].content = content[:size]
        return self._status(path)

    async def concat(self, target: str, sources: Sequence[str]) -> FileStatus:
        contents = [self._file(source) for source in sources]
        self.nodes[target].content = b"".join([self._file(target), *contents])
        for source in sources:
            del self.nodes[source]
        return self._status(target)


class FakeReader:
    """The content of a file when it was opened."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aenter__(self) -> FakeReader:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def packets(self, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        found = self._content[start:end]
        for position in range(0, len(found), 1000):
            yield found[position : position + 1000]


class FakeWriter:
    """Adds to a file."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __aenter__(self) -> FakeWriter:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def write(self, data: bytes) -> int:
        self._node.content = (self._node.content or b"") + data
        return len(data)
