"""Random operations around snapshots, held against copies taken when each snapshot was made."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from pydfsnode.errors import DomainError
from pydfsnode.meta import ops, queries, snapshot_queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.inodes import Extras
from pydfsnode.meta.results import Appended
from pydfsnode.meta.state import Namespace

from .harness import MIB, Harness


class Thing(NamedTuple):
    """A file or directory at one time."""

    inode_id: int
    parent_id: int
    type: str
    replication: int
    told: tuple[object, ...]
    ctime_ms: int
    chunks: tuple[tuple[int, int, int, int, int], ...]
    checksum: str
    child_count: int

    def modified(self, other: Thing) -> bool:
        mine = (self.told, self.replication, self.chunks)
        return mine != (other.told, other.replication, other.chunks)


Copy = dict[str, Thing]
"""By path below the top; "" is the top itself."""


def copy(namespace: Namespace, top: str, page: int = 1000) -> Copy:
    """All that is at and below *top*, read through the queries."""
    found: Copy = {}
    waiting = [("", 0)]
    while waiting:
        below, parent_id = waiting.pop()
        path = (top.rstrip("/") + below) or "/"
        view = queries.stat(namespace, path, NOBODY_ASKS)
        chunks: tuple[tuple[int, int, int, int, int], ...] = ()
        if view.type == "file":
            located = queries.locate(namespace, path, NOBODY_ASKS)[1]
            chunks = tuple((c.chunk_id, c.version, c.offset, c.length, c.crc32c) for c in located)
            file = namespace.tree.table.get(view.inode_id)
            checksum = view.checksum
            if view.under_construction:
                assert file is not None
                checksum = f"crc32c:{file.crc32c:08x}"
        else:
            checksum = ""
            waiting += [(f"{below}/{name}", view.inode_id) for name in names(namespace, path, page)]
        told = (
            view.size, view.owner, view.group, view.mode,
            view.mtime_ms, view.chunk_bytes, view.has_acl, view.inline, extras(namespace, path),
        )  # fmt: skip
        found[below] = Thing(
            view.inode_id,
            parent_id,
            view.type,
            view.replication,
            told,
            view.ctime_ms,
            chunks,
            checksum,
            view.child_count,
        )
    return found


def extras(namespace: Namespace, path: str) -> Extras:
    """The ACLs and extended attributes of *path*."""
    tree = namespace.tree
    if "/.snapshot" in path:
        return snapshot_queries.attributes_at(tree, path, NOBODY_ASKS, 0)[1] or Extras()
    return tree.extras.get(tree.walk(path, NOBODY_ASKS).inode_id) or Extras()


def names(namespace: Namespace, path: str, page: int) -> list[str]:
    """The names in *path*, asked for page by page."""
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else ""
        listing = queries.list_directory(namespace, path, NOBODY_ASKS, after, page)
        found += [view.path.rpartition("/")[2] for view in listing.entries]
        more = listing.more
    assert found == sorted(set(found), key=str.encode)
    return found


def differences(older: Copy, newer: Copy) -> set[tuple[str, str, str]]:
    """(kind, path, target) from one copy to another, by comparing all of both."""
    before = {thing.inode_id: path for path, thing in older.items()}
    after = {thing.inode_id: path for path, thing in newer.items()}
    found: set[tuple[str, str, str]] = set()
    for inode_id, path in before.items():
        thing = older[path]
        if inode_id not in after:
            if thing.parent_id in after:
                found.add(("-", f".{path}", ""))
            continue
        now = newer[after[inode_id]]
        if thing.modified(now):
            found.add(("M", f".{path}", ""))
        moved = path.rpartition("/")[2] != after[inode_id].rpartition("/")[2]
        if path and (moved or thing.parent_id != now.parent_id):
            found.add(("R", f".{path}", f".{after[inode_id]}"))
    for inode_id, path in after.items():
        if inode_id not in before and newer[path].parent_id in before:
            found.add(("+", f".{path}", ""))
    return found


class Stream:
    """A namespace, the snapshots in it, and a copy of what each saw."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.harness = Harness()
        self.copies: dict[tuple[int, str], Copy] = {}  # by directory's inode id and name
        self.open: list[tuple[int, int, int]] = []  # inode, client, chunk
        self.freed: list[int] = []
        self.told: dict[int, int] = {}  # chunk to the replication that was last told

    # ---- operations

    def path(self) -> str:
        return "/" + "/".join(self.rng.choice("abcd") for _ in range(self.rng.randrange(1, 5)))

    def some(self) -> str:
        """A path that mostly exists."""
        known = [path for path in copy(self.harness.namespace, "/") if path]
        return self.rng.choice(known) if known and self.rng.random() < 0.95 else self.path()

    def directory(self) -> str:
        found = copy(self.harness.namespace, "/").items()
        known = [path for path, thing in found if thing.type == "directory"]
        return self.rng.choice(known) or "/"

    def step(self) -> str:
        """One operation; refused ones too. Returns what it was."""
        kind = self.rng.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        self.harness.now_ms += self.rng.randrange(3)
        try:
            getattr(self, f"do_{kind}")()
        except DomainError as error:
            return f"{kind}: {error}"
        finally:
            self.freed += self.harness.namespace.drain_freed()
        return kind

    def run(self, kind: Any, *fields: Any, client: int = 1) -> Any:
        return self.harness.run(kind, *fields, client=client)

    def do_mkdirs(self) -> None:
        self.harness.mkdirs(self.path())

    def do_create(self) -> None:
        client = self.rng.randrange(1, 4)
        overwrite = self.rng.random() < 0.5
        view = self.harness.create(
            self.path(), client=client, overwrite=overwrite, create_parents=True,
            replication=self.rng.randrange(1, 4),
        )  # fmt: skip
        self.open.append((view.inode_id, client, 0))

    def do_file(self) -> None:
        lengths = [self.rng.randrange(1, 99) for _ in range(self.rng.randrange(4))]
        place = f"{self.directory().rstrip('/')}/{self.rng.choice('abcd')}"
        self.harness.write(place, *lengths, overwrite=True)

    def do_write(self) -> None:
        """The next chunk of an open file, and maybe its end."""
        if not self.open:
            return
        inode_id, client, chunk = self.open.pop(self.rng.randrange(len(self.open)))
        done = None
        if chunk:
            done = ops.ChunkDone(chunk, 1, self.rng.randrange(1, 99), self.rng.randrange(2**32))
        if self.rng.random() < 0.5:
            self.harness.complete(inode_id, done, client=client)
            return
        made = self.harness.allocate(inode_id, done, client=client)
        self.open.append((inode_id, client, made.chunk_id))

    def do_inline(self) -> None:
        content = self.rng.randbytes(self.rng.randrange(1, 9))
        self.run(ops.CreateInline, self.path(), 2, MIB, 0, self.rng.random() < 0.7, True, content)

    def do_append(self) -> None:
        appended: Appended = self.run(ops.Append, self.some())
        inode_id = appended.view.inode_id
        if self.rng.random() < 0.5:
            content = self.rng.randbytes(self.rng.randrange(1, 9))
            self.run(ops.CompleteInline, inode_id, content)
        self.open.append((inode_id, 1, 0))

    def do_truncate(self) -> None:
        path = self.some()
        located = queries.locate(self.harness.namespace, path, NOBODY_ASKS)[1]
        self.run(ops.Truncate, path, self.rng.choice([0, *(c.offset for c in located)]))

    def do_concat(self) -> None:
        by_directory: dict[int, list[str]] = {}
        for path, thing in copy(self.harness.namespace, "/").items():
            if thing.chunks and thing.chunks[0][1]:
                by_directory.setdefault(thing.parent_id, []).append(path)
        several = [files for files in by_directory.values() if len(files) > 1]
        if several:
            target, *sources = self.rng.choice(several)
            self.run(ops.Concat, target, tuple(sources))

    def do_delete(self) -> None:
        self.harness.delete(self.some(), recursive=self.rng.random() < 0.8)

    def do_trash(self) -> None:
        self.run(ops.MoveToTrash, self.some())

    def do_rename(self) -> None:
        place = f"{self.directory().rstrip('/')}/{self.rng.choice('abcd')}"
        self.harness.rename(self.some(), place, overwrite=self.rng.random() < 0.5)

    def do_attributes(self) -> None:
        path, value = self.some(), self.rng.randrange(4)
        change: tuple[Any, ...] = self.rng.choice([
            (ops.SetMode, 0o700 + value),
            (ops.SetOwner, f"user{value}", ""),
            (ops.SetReplication, value + 1),
            (ops.SetTimes, value, -1),
            (ops.SetXattr, f"user.{value}", b"x"),
            (ops.SetAcl, (f"user:bob:r-{'-x'[value % 2]}",), "modify"),
        ])  # fmt: skip
        self.run(change[0], path, *change[1:])

    def do_create_snapshot(self) -> None:
        path, name = self.directory(), self.rng.choice("pqrst")
        now = copy(self.harness.namespace, path)
        view = self.run(ops.CreateSnapshot, path, name)
        assert view.inode_id == now[""].inode_id
        self.copies[view.inode_id, name] = now

    def do_delete_snapshot(self) -> None:
        if self.copies:
            directory_id, name = self.rng.choice(list(self.copies))
            self.run(ops.DeleteSnapshot, self.path_of(directory_id), name)
            del self.copies[directory_id, name]

    def do_rename_snapshot(self) -> None:
        if self.copies:
            directory_id, name = self.rng.choice(list(self.copies))
            new = self.rng.choice("pqrst")
            self.run(ops.RenameSnapshot, self.path_of(directory_id), name, new)
            self.copies[directory_id, new] = self.copies.pop((directory_id, name))

    def do_reclaim(self) -> None:
        self.run(ops.Reclaim, self.rng.randrange(1, 5))

    def do_restart(self) -> None:
        before = self.harness.namespace
        self.told |= {w.chunk_id: w.replication for w in before.drain_changed_chunks()}
        self.harness.restart()
        after = self.harness.namespace
        assert after.state_hash() == before.state_hash()
        assert derived(after) == derived(before)

    # ---- what must hold

    def path_of(self, directory_id: int) -> str:
        table = self.harness.namespace.tree.table
        directory = table.get(directory_id)
        assert directory is not None
        path: str = table.path(directory)
        return path

    def check(self) -> None:
        """Every snapshot tells what was there when it was made."""
        namespace = self.harness.namespace
        for (directory_id, name), was in self.copies.items():
            top = f"{self.path_of(directory_id).rstrip('/')}/.snapshot/{name}"
            assert copy(namespace, top, self.rng.randrange(1, 4)) == was, top
            self._check_summary(top, was)

    def _check_summary(self, top: str, was: Copy) -> None:
        below = self.rng.choice(list(was))
        inside = [was[path] for path in was if path == below or path.startswith(f"{below}/")]
        files = [thing for thing in inside if thing.type == "file"]
        found = queries.summary(self.harness.namespace, top + below, NOBODY_ASKS)
        assert (found.directories, found.files) == (len(inside) - len(files), len(files))
        sizes = [(c[3], t.replication) for t in files for c in t.chunks]
        assert found.bytes == sum(size for size, _ in sizes)
        assert found.bytes_replicated == sum(size * copies for size, copies in sizes)

    def check_differences(self) -> None:
        """Between any two snapshots of a directory, and between one and now."""
        if not self.copies:
            return
        namespace = self.harness.namespace
        directory_id, name = self.rng.choice(list(self.copies))
        path = self.path_of(directory_id)
        sides = {n: was for (d, n), was in self.copies.items() if d == directory_id}
        sides[""] = copy(namespace, path)
        other = self.rng.choice(list(sides))
        for begin, end in ((name, other), (other, name)):
            found = snapshot_queries.diff(namespace, path, begin, end, NOBODY_ASKS)
            assert found == sorted(found)
            told = [(d.kind, d.path, d.target) for d in found]
            assert set(told) == differences(sides[begin], sides[end])
            assert len(told) == len(set(told))

    def finish_reclaiming(self) -> None:
        tree = self.harness.namespace.tree
        while tree.doomed.rows or tree.history.is_purging:
            self.run(ops.Reclaim, 100)
        self.freed += self.harness.namespace.drain_freed()

    def check_chunks(self) -> None:
        """With nothing left to reclaim: exactly the chunks that something needs are kept."""
        self.finish_reclaiming()
        namespace = self.harness.namespace
        tree = namespace.tree
        held = {c for t in copy(namespace, "/").values() for c in t.chunks}
        held |= {c for was in self.copies.values() for t in was.values() for c in t.chunks}
        needed = {c[0] for c in held} | set(tree.open_chunks)
        kept = {c for c in range(1, tree.next_chunk_id) if not namespace.is_garbage(c)}
        assert kept == needed
        self._check_wanted()
        assert len(self.freed) == len(set(self.freed))
        assert set(self.freed).isdisjoint(needed)
        inline = {c[0]: c[3] for c in held if not c[1]}
        assert tree.inline.total_bytes == sum(inline.values())
        for content_id, size in inline.items():
            content = self.harness.read_inline(content_id)
            assert content is not None
            assert len(content) == size

    def _check_wanted(self) -> None:
        """Chunks are wanted as the file or the snapshot does that wants most."""
        namespace = self.harness.namespace
        wanted: dict[int, int] = {}
        for was in [copy(namespace, "/"), *self.copies.values()]:
            for thing in was.values():
                for chunk_id, version, *_ in thing.chunks:
                    if version:
                        wanted[chunk_id] = max(wanted.get(chunk_id, 0), thing.replication)
        expected = sorted(wanted.items())
        found = sorted((want.chunk_id, want.replication) for want in namespace.iter_wanted())
        assert found == expected
        self.told |= {w.chunk_id: w.replication for w in namespace.drain_changed_chunks()}
        assert {c: self.told[c] for c, _ in expected} == dict(expected)


def derived(namespace: Namespace) -> tuple[object, ...]:
    """What the index of past things derives, in a form that two of them can be compared in."""
    index = namespace.tree.history.index
    in_order = [
        {key: list(items) for key, items in blocks.items()}
        for blocks in (index._names, index._seen_by, index.orphans)
    ]
    return (
        index.live, index.of_directory, index._links, index._versions, index._holders, in_order,
    )  # fmt: skip


_WEIGHTS = {
    "mkdirs": 5, "create": 3, "write": 9, "file": 7, "inline": 3, "append": 4, "truncate": 3,
    "concat": 3, "delete": 4, "trash": 1, "rename": 8, "attributes": 5, "reclaim": 3, "restart": 2,
    "create_snapshot": 4, "delete_snapshot": 3, "rename_snapshot": 1,
}  # fmt: skip
