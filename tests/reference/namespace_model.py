"""The namespace as its rules read: one dictionary from path to entry, nothing clever.

It shares no code with the product. Refusals are `Refused(name of the error class)`.
"""

from __future__ import annotations

from typing import Any

from tests.reference.crc32c import crc32c

CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 1 << 20, 64 << 20


class Refused(Exception):
    @property
    def name(self) -> str:
        return str(self.args[0])


def split(path: str) -> list[str]:
    if path == "/":
        return []
    names = path.split("/")
    too_long = len(path.encode()) > 4096 or any(len(name.encode()) > 255 for name in names)
    bad = any(name in ("", ".", "..") for name in names[1:]) or "\0" in path
    if names[0] != "" or len(names) < 2 or too_long or bad:
        raise Refused("InvalidPath")
    return names[1:]


def text(names: list[str]) -> str:
    return "/" + "/".join(names)


class NamespaceModel:
    """`entries`: path -> {"kind": "directory"} or a file with its chunks and their bytes."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {"/": {"kind": "directory", "id": 1}}
        self.next_id = 2
        self.next_chunk = 1
        self.live_chunks: set[int] = set()

    # ---- looking

    def kind(self, names: list[str]) -> str | None:
        entry = self.entries.get(text(names))
        return None if entry is None else str(entry["kind"])

    def resolve(self, names: list[str]) -> dict[str, Any]:
        for depth in range(len(names) + 1):
            kind = self.kind(names[:depth])
            if kind is None:
                raise Refused("NotFound")
            if kind == "file" and depth < len(names):
                raise Refused("NotADirectory")
        return self.entries[text(names)]

    def below(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        return [other for other in self.entries if other.startswith(prefix) and other != "/"]

    def list_directory(self, path: str) -> list[str]:
        entry = self.resolve(split(path))
        if entry["kind"] == "file":
            return [path]
        depth = len(split(path)) + 1
        return sorted((p for p in self.below(path) if len(split(p)) == depth), key=str.encode)

    def describe(self, path: str) -> dict[str, Any]:
        entry = self.resolve(split(path))
        if entry["kind"] == "directory":
            return {
                "type": "directory",
                "id": entry["id"],
                "children": len(self.list_directory(path)),
            }
        content = b"".join(chunk["bytes"] for chunk in entry["chunks"] if chunk["done"])
        is_open = entry["holder"] is not None
        done = [chunk for chunk in entry["chunks"] if chunk["done"]]
        return {
            "type": "file", "id": entry["id"], "size": len(content), "open": is_open,
            "checksum": "" if is_open else f"crc32c:{crc32c(content):08x}",
            "chunks": [(c["id"], c["version"], len(c["bytes"])) for c in done],
        }  # fmt: skip

    # ---- changing

    def _make(self, path: str, entry: dict[str, Any]) -> None:
        self.entries[path] = {**entry, "id": self.next_id}
        self.next_id += 1

    def mkdirs(self, path: str) -> None:
        names = split(path)
        for depth in range(len(names)):
            if self.kind(names[:depth]) == "file":
                raise Refused("NotADirectory")
        if self.kind(names) == "file":
            raise Refused("AlreadyExists")
        for depth in range(1, len(names) + 1):
            if self.kind(names[:depth]) is None:
                self._make(text(names[:depth]), {"kind": "directory"})

    def create(
        self, client: int, path: str, chunk_bytes: int, overwrite: bool, create_parents: bool
    ) -> int:
        names = split(path)
        if not CHUNK_BYTES_MIN <= chunk_bytes <= CHUNK_BYTES_MAX:
            raise Refused("InvalidArgument")
        if not names:
            raise Refused("IsADirectory")
        for depth in range(len(names)):
            if self.kind(names[:depth]) == "file":
                raise Refused("NotADirectory")
        if not create_parents and self.kind(names[:-1]) is None:
            raise Refused("NotFound")
        if self.kind(names) == "directory":
            raise Refused("IsADirectory")
        if self.kind(names) == "file":
            if not overwrite:
                raise Refused("AlreadyExists")
            self._drop(path)
        self.mkdirs(text(names[:-1]))
        self._make(
            path, {"kind": "file", "holder": client, "chunks": [], "chunk_bytes": chunk_bytes}
        )
        return int(self.entries[path]["id"])

    def _drop(self, path: str) -> int:
        doomed = [path, *self.below(path)]
        for name in doomed:
            for chunk in self.entries.pop(name).get("chunks", ()):
                self.live_chunks.remove(chunk["id"])
        return len(doomed)

    def path_of(self, inode_id: int) -> str | None:
        found = [path for path, entry in self.entries.items() if entry["id"] == inode_id]
        return found[0] if found else None

    def _held(self, client: int, inode_id: int) -> dict[str, Any]:
        path = self.path_of(inode_id)
        if path is None or self.entries[path]["kind"] != "file":
            raise Refused("LeaseExpired")
        entry = self.entries[path]
        if entry["holder"] is None:
            raise Refused("LeaseExpired")
        if entry["holder"] != client:
            raise Refused("FileUnderConstruction")
        return entry

    def _settle(
        self, entry: dict[str, Any], done: tuple[int, int, bytes] | None, abandon: int
    ) -> None:
        by_id = {chunk["id"]: chunk for chunk in entry["chunks"]}
        finish = None
        if done is not None:
            chunk_id, version, content = done
            if chunk_id not in by_id:
                raise Refused("UnknownChunk")
            chunk = by_id[chunk_id]
            if chunk["done"]:
                if (chunk["version"], chunk["bytes"]) != (version, content):
                    raise Refused("StaleChunkVersion")
            elif version < chunk["version"]:
                raise Refused("StaleChunkVersion")
            elif not 0 < len(content) <= entry["chunk_bytes"]:
                raise Refused("InvalidArgument")
            else:
                finish = chunk
        if abandon:
            if abandon not in by_id:
                raise Refused("UnknownChunk")
            if by_id[abandon]["done"] or by_id[abandon] is finish:
                raise Refused("InvalidArgument")
        for chunk in entry["chunks"]:
            if not chunk["done"] and chunk is not finish and chunk["id"] != abandon:
                raise Refused("InvalidArgument")
        if finish is not None and done is not None:
            finish.update(done=True, version=done[1], bytes=done[2])
        if abandon:
            entry["chunks"] = [c for c in entry["chunks"] if c["id"] != abandon]
            self.live_chunks.remove(abandon)

    def allocate(
        self, client: int, inode_id: int, done: tuple[int, int, bytes] | None, abandon: int
    ) -> int:
        entry = self._held(client, inode_id)
        self._settle(entry, done, abandon)
        chunk_id = self.next_chunk
        self.next_chunk += 1
        entry["chunks"].append({"id": chunk_id, "version": 1, "bytes": b"", "done": False})
        self.live_chunks.add(chunk_id)
        return chunk_id

    def complete(
        self, client: int, inode_id: int, done: tuple[int, int, bytes] | None, abandon: int
    ) -> None:
        entry = self._held(client, inode_id)
        self._settle(entry, done, abandon)
        entry["holder"] = None

    def abandon(self, client: int, inode_id: int) -> None:
        self._held(client, inode_id)
        path = self.path_of(inode_id)
        assert path is not None
        self._drop(path)

    def delete(self, path: str, recursive: bool) -> int:
        names = split(path)
        if not names:
            raise Refused("InvalidArgument")
        entry = self.resolve(names)
        if entry["kind"] == "directory" and self.below(path) and not recursive:
            raise Refused("DirectoryNotEmpty")
        return self._drop(path)

    def rename(self, source: str, destination: str) -> None:
        from_names, to_names = split(source), split(destination)
        if not from_names:
            raise Refused("InvalidRename")
        self.resolve(from_names)
        if source == destination:
            return
        if destination.startswith(source + "/"):
            raise Refused("InvalidRename")
        parent = self.resolve(to_names[:-1])
        if parent["kind"] == "file":
            raise Refused("NotADirectory")
        if destination in self.entries:
            raise Refused("AlreadyExists")
        for path in [source, *self.below(source)]:
            self.entries[destination + path[len(source) :]] = self.entries.pop(path)
