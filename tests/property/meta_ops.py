"""Operations for the namespace and its model: mostly apt ones, on few names, users and clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from pydfsnode.meta.trust import Signer
from tests.reference.namespace_model import NamespaceModel
from tests.reference.namespace_model_base import Node

NAMES = ["a", "b", "ü", "c d"]
ODD_PATHS = [
    "", "a", "/a/", "//", "/a//b", "/..", "/a/./b", "/\0", "/" + "x" * 256, "/a" * 2100,
    "/a/.snapshot", "/.snapshot/x", "/a/.snapshot/s1/b",
]  # fmt: skip
USERS = [
    "alice:eng", "alice:eng", "bob:eng,ops", "carol", *["root"] * 4, "dave:supergroup",
]  # fmt: skip
ASKERS = ["alice:eng", "bob:eng,ops", "carol", "eve:ops", "root"]
CLIENTS = [1, 2, 3]
CONTENTS = [b"x", b"yz", b"hello", b"\0\0\0", b"-" * 100, b""]
INLINE = [b"", b"in", b"inline", b"inline", b"\0" * 300, b"i" * 4096, b"i" * 4097]
MODES = [
    0o777,
    0o775,
    0o744,
    0o733,
    0o047,
    0,
    0o777,
    0o755,
    0o700,
    0o770,
    0o750,
    0o1777,
    0o640,
    0o444,
    0o7777,
    0o10000,
]
XATTRS = [
    "user.a",
    "user.a",
    "user.a",
    "user.b",
    "trusted.seal",
    "trusted.seal",
    "trusted.c",
    "trusted.trash.origin",
    "user.",
    "raw.x",
    "nothing",
]
ENTRIES = [
    "user::rwx", "group::r-x", "other::---", "other::rwx", "mask::rwx", "mask::r--", "user:bob:rwx",
    "user:carol:r--", "group:ops:rwx", "group:eng:---", "default:user::rwx", "default:user:bob:r-x",
    "default:group::rwx", "default:mask::r-x", "default:other::r-x", "user:bob", "bad",
    "mask:x:rwx",
]  # fmt: skip
SNAPSHOTS = [*["s1", "s2"] * 8, "ü", "", "..", "s/1", ".snapshot"]
DUTY_STATES = ["decommissioning", "decommissioned", "maintenance", "in service", "away"]
MIB = 1 << 20


class Choose(Protocol):
    """Where chance comes from."""

    def of(self, things: Sequence[Any]) -> Any: ...

    def below(self, count: int) -> int: ...


class Drawn(NamedTuple):
    """An operation: by which client and user, with which fields.

    A writer's word on a chunk is (id, version, bytes written).
    """

    client: int
    user: str
    fields: tuple[Any, ...]


class OpDraw:
    """Draws operations that fit what is in *model*; a method for each type, in snake case."""

    def __init__(self, model: NamespaceModel, choose: Choose) -> None:
        self.model = model
        self.choose = choose

    def draw(self, kind: str) -> Drawn:
        rule: Callable[[], Any] = getattr(self, kind)
        drawn = rule()
        return drawn if isinstance(drawn, Drawn) else self.anybody(*drawn)

    def anybody(self, *fields: Any) -> Drawn:
        return Drawn(self.choose.of(CLIENTS), self.choose.of(USERS), fields)

    def one_in(self, count: int) -> bool:
        return self.choose.below(count) == 0

    # ---- paths

    def path(self) -> str:
        """Mostly one that exists, or a new one in a directory or file that exists."""
        odds = self.choose.below(30)
        if odds == 0:
            return str(self.choose.of(ODD_PATHS))
        path = str(self.choose.of(sorted(self.model.paths())))
        for _ in range((odds > 10) + (odds > 26)):
            path = path.rstrip("/") + "/" + self.choose.of(NAMES)
        return path

    def new_path(self) -> str:
        """Mostly a new one, or one to be replaced."""
        if self.one_in(4):
            return self.path()
        if self.one_in(3):
            return "/" + str(self.choose.of(NAMES))
        return self.directory().rstrip("/") + "/" + str(self.choose.of(NAMES))

    def seen_path(self) -> str:
        """Where a question may lead: into a snapshot too."""
        past = self.model.past_paths()
        if not past or self.one_in(2):
            return self.path()
        path = str(self.choose.of(sorted(past)))
        return path + "/" + self.choose.of(NAMES) if self.one_in(4) else path

    def place(self, apt: Callable[[Node], object], trash: bool = False) -> str:
        """The path of what is *apt*, most of the time."""
        found = [
            path
            for path, node in self.model.paths().items()
            if apt(node) and (not trash or "/.Trash/" in path)
        ]
        return str(self.choose.of(sorted(found))) if found and not self.one_in(8) else self.path()

    def existing(self) -> str:
        return self.place(lambda node: node is not self.model.root)

    def file(self) -> str:
        return self.place(lambda node: node.is_file)

    def directory(self) -> str:
        return self.place(lambda node: not node.is_file)

    # ---- directories

    def mkdirs(self) -> Any:
        return self.new_path(), self.choose.of(MODES)

    def create(self) -> Any:
        layout = self.choose.of([1, 3]), self.choose.of([MIB, MIB, 2 * MIB])
        if self.one_in(20):
            layout = self.choose.of([(0, MIB), (17, MIB), (1, MIB - 1), (1, 1 << 27)])
        mode = -1 if self.one_in(20) else self.choose.of([0, 0, 0o666, 0o660, 0o600])
        flags = self.choose.of([False, True]), self.choose.of([False, True])
        return self.new_path(), *layout, mode, *flags

    def create_chunked(self) -> Any:
        return *self.create(), self.choose.of([("c1", "c2"), ("c3",), ("c3",), (), ("c1", "c1")])

    def create_inline(self) -> Any:
        return *self.create(), self.choose.of(INLINE)

    def create_keyed(self) -> Any:
        key = bytes([self.choose.below(256)]) * self.choose.of([32, 32, 32, 31])
        targets = self.choose.of([("c1", "c2"), ("c3",), (), ("c1", "c1")])
        content = self.choose.of(INLINE) if self.one_in(3) else None
        return *self.create(), key, targets, content

    def delete(self) -> Any:
        """Mostly by somebody whom permissions bind."""
        client, user = self.choose.of(CLIENTS), self.choose.of(ASKERS)
        return Drawn(client, user, (self.existing(), self.one_in(2)))

    def rename(self) -> Any:
        source = self.existing()
        destination = self.new_path()
        if self.one_in(3):
            same = self.model.paths().get(source, self.model.root).is_file
            destination = self.place(lambda node: node.is_file == same and not node.children)
        if self.one_in(10):
            destination = source + "/" + self.choose.of(NAMES)
        return source, destination, self.one_in(2)

    def reclaim(self) -> Any:
        return Drawn(9, self.choose.of(["root", "root", "alice:eng"]), (self.choose.below(6),))

    # ---- files

    def writer(self) -> tuple[int, str, Node | None]:
        """Client, user and file, mostly one that the client writes."""
        files = [node for node in self.model.root.walk() if node.is_file]
        held = [node for node in files if node.holder is not None]
        pool = files if self.one_in(10) else held
        if not pool:
            return self.choose.of(CLIENTS), self.choose.of(USERS), None
        file = self.choose.of(sorted(pool, key=lambda node: node.id))
        client = file.holder if file.holder and not self.one_in(15) else self.choose.of(CLIENTS)
        return client, self.choose.of(USERS), file

    def word(self, file: Node | None) -> tuple[Any, int]:
        """The word on the last chunk, and a chunk to abandon."""
        opened = file.open_chunk if file else None
        odds = self.choose.below(20)
        if opened and odds < 13:
            version = opened[1] + self.choose.of([0, 0, 1])
            return (opened[0], version, self.choose.of(CONTENTS[: 5 if odds else 6])), 0
        if opened and odds < 15:
            return None, opened[0]
        if odds < 18:
            return None, 0
        known = [1, 99, *(c.chunk_id for c in (file.chunks if file else []))]
        word = (self.choose.of(known), self.choose.below(3), self.choose.of(CONTENTS))
        return self.choose.of([None, word]), self.choose.of([0, *known])

    def allocate_chunk(self) -> Drawn:
        client, user, file = self.writer()
        targets: tuple[str, ...] = self.choose.of([("c1", "c2"), ("c3",)])
        if self.one_in(20):
            targets = self.choose.of([(), ("c1", "c1")])
        word = (None, 0) if self.one_in(3) else self.word(file)
        return Drawn(client, user, (file.id if file else 1, *word, targets, self.one_in(2)))

    def record_chunk(self) -> Drawn:
        client, user, file = self.writer()
        word, _ = self.word(file)
        return Drawn(client, user, (file.id if file else 99, word or (1, 1, b"x")))

    def resume_chunk(self) -> Drawn:
        client, user, file = self.writer()
        opened = file.open_chunk if file else None
        chunk_id = opened[0] if opened and not self.one_in(10) else self.choose.of([0, 1, 99])
        targets: tuple[str, ...] = self.choose.of([("c1", "c2"), ("c4",), ("c4",), ()])
        return Drawn(client, user, (file.id if file else 1, chunk_id, targets))

    def finish_recovery(self) -> Drawn:
        files = [node for node in self.model.root.walk() if node.is_file]
        taken = [node for node in files if node.holder == 0]
        pool = taken if taken and not self.one_in(10) else files
        file = self.choose.of(sorted(pool, key=lambda node: node.id)) if pool else None
        user = self.choose.of(["root", "root", "root", "carol"])
        return Drawn(9, user, (file.id if file else 99, self.word(file)[0]))

    def complete(self) -> Drawn:
        client, user, file = self.writer()
        return Drawn(client, user, (file.id if file else 99, *self.word(file)))

    def complete_inline(self) -> Drawn:
        client, user, file = self.writer()
        return Drawn(client, user, (file.id if file else 99, self.choose.of(INLINE)))

    def abandon(self) -> Drawn:
        client, user, file = self.writer()
        return Drawn(client, user, (file.id if file else 1,))

    def append(self) -> Any:
        return (self.file(),)

    def truncate(self) -> Any:
        client, _, file = self.writer()
        if file is None or self.one_in(2):
            return self.file(), self.choose.of([0, 0, 1, 5, 100, 10**6, -1]), None
        edges, total = [0], 0
        for chunk in file.chunks:
            total += len(chunk.content)
            edges.append(total)
        size, tail = self.choose.of(edges), None
        inside = [n for n, chunk in enumerate(file.chunks) if len(chunk.content) > 1]
        if file.open_chunk and inside:
            cut = self.choose.of(inside)
            size = edges[cut] + 1 + self.choose.below(len(file.chunks[cut].content) - 1)
            tail = (*file.open_chunk, file.chunks[cut].content[: size - edges[cut]])
        return Drawn(client, "root", (self.model.path_of(file.id), size, tail))

    def concat(self) -> Any:
        by_directory: dict[str, list[str]] = {}
        for path, node in sorted(self.model.paths().items()):
            if node.chunks and not node.inline and node.holder is None:
                by_directory.setdefault(path.rpartition("/")[0], []).append(path)
        groups = [group for group in by_directory.values() if len(group) > 1]
        pool = self.choose.of(groups) if groups and not self.one_in(6) else [self.file()]
        target = self.choose.of(pool)
        others = [path for path in pool if path != target or self.one_in(6)] or [self.file()]
        fields = target, tuple(others[: self.choose.of([1, 1, 1, 2, 0])])
        return self.anybody(*fields) if self.one_in(4) else Drawn(1, "root", fields)

    def renew_lease(self) -> Any:
        return ()

    def recover_lease(self) -> Any:
        return (self.place(lambda node: node.holder is not None),)

    def expire_leases(self) -> Any:
        held = [node.id for node in self.model.root.walk() if node.holder is not None]
        user = self.choose.of(["root", "root", "root", "carol"])
        inode_ids = tuple(self.choose.of([*held, 1, 99]) for _ in range(3))
        return Drawn(9, user, (inode_ids, self.one_in(2)))

    # ---- attributes

    def set_replication(self) -> Any:
        path = self.place(lambda node: node.open_chunk) if self.one_in(2) else self.file()
        return path, self.choose.of([1, 2, 5, 5, 0, 17])

    def set_owner(self) -> Any:
        owner = self.choose.of(["", "", "alice", "bob", "x:y"])
        return self.existing(), owner, self.choose.of(["", "eng", "ops", "supergroup"])

    def set_mode(self) -> Any:
        return self.existing(), self.choose.of(MODES)

    def set_times(self) -> Any:
        past, later = 1_600_000_000_000, 1_800_000_000_000
        times = [*[-1, 0, past, later] * 3, -2, 1 << 60]
        return self.existing(), self.choose.of(times), self.choose.of(times)

    def set_xattr(self) -> Any:
        name = self.choose.of(XATTRS)
        value = self.choose.of([b"", b"v", b"/a/b", b"\xff", b"x" * 9000])
        if name == "trusted.seal":
            value = self.choose.of([b"file", b"file", b"off", b"perhaps"])
        return self.existing(), name, value, self.one_in(4), self.one_in(4)

    def remove_xattr(self) -> Any:
        return self.place(lambda node: node.xattrs), self.choose.of(XATTRS)

    def set_acl(self) -> Any:
        changes = ["set", "modify", "modify", "remove", "remove_default", "remove_all", "odd"]
        change = self.choose.of(changes)
        if change in ("remove_default", "remove_all") and not self.one_in(8):
            return self.place(lambda node: node.has_acl), (), change
        base: Sequence[str] = ()
        if change == "set" and not self.one_in(4):
            base = self.choose.of([ENTRIES[:3], ("user::rwx", "group::---", "other::rwx")])
        count = self.choose.below(3) + (change != "set")
        return self.existing(), (*base, *(self.choose.of(ENTRIES) for _ in range(count))), change

    def set_quota(self) -> Any:
        """Often just about what is there already, so that the next operation meets the limit."""
        path = self.directory()
        node = self.model.paths().get(path, self.model.root)
        names = self.choose.of([-1, 0, 0, 0, 8, -2, *(node.count() + n for n in (0, 1, 2))])
        room = [0, 3, 7, 500, MIB, MIB + 3, 3 * MIB, 3 * MIB + 20, 6 * MIB + 9]
        space = self.choose.of([-1, *[0] * 4, *(node.space() + more for more in room)])
        if node is self.model.root or self.one_in(3):
            names = space = 0  # for soon nothing would fit any more
        return Drawn(1, self.choose.of(["root", "root", "alice:eng"]), (path, names, space))

    # ---- trash

    def move_to_trash(self) -> Any:
        return (self.existing(),)

    def restore_trash(self) -> Any:
        return (self.place(lambda node: True, trash=True),)

    def empty_trash(self) -> Any:
        return ()

    def roll_trash(self) -> Any:
        users = tuple(self.choose.of(["alice", "bob", "root", "nobody", ""]) for _ in range(3))
        times = self.choose.of([0, 1000, 10**9]), self.choose.of([0, 50_000, 10**9])
        return Drawn(9, self.choose.of(["root", "root", "alice:eng"]), (*times, users))

    # ---- snapshots

    def create_snapshot(self) -> Any:
        return self.directory(), self.choose.of(SNAPSHOTS)

    def delete_snapshot(self) -> Any:
        return self.snapshot()

    def rename_snapshot(self) -> Any:
        return *self.snapshot(), self.choose.of(SNAPSHOTS)

    def snapshot(self) -> tuple[str, str]:
        """A directory and the name of a snapshot of it, mostly."""
        found = [(p, name) for p, node in self.model.paths().items() for name in node.snapshots]
        if found and not self.one_in(8):
            path, name = self.choose.of(sorted(found))
            return path, name
        return self.directory(), self.choose.of(SNAPSHOTS)

    # ---- orders of operators

    def set_duty(self) -> Any:
        names = self.choose.of([("c1",), ("c2",), ("c1", "c3")])
        if self.one_in(8):
            names = self.choose.of([(), ("c" * 65,), ("",)])
        state = self.choose.of(DUTY_STATES)
        until_ms = self.choose.of([0, 1, self.model.clock + 50])
        return Drawn(1, self.operator(), (names, state, until_ms))

    def set_safe_mode(self) -> Any:
        return Drawn(1, self.operator(), (not self.model.safe_mode and self.one_in(2),))

    def set_balance(self) -> Any:
        threshold_ppm = self.choose.of([-1, 0, 1, 100_000, 1_000_000, 1_000_001])
        return Drawn(1, self.operator(), (threshold_ppm, self.choose.of([-1, 0, 1, 1 << 62])))

    def add_chunk_key(self) -> Any:
        key = bytes([self.choose.below(256)]) * self.choose.of([32, 32, 32, 31, 0])
        epoch = self.model.chunk_key_epoch + self.choose.of([1, 1, 1, 0, -1, 2])
        return Drawn(1, self.operator(), (epoch, key))

    def drop_chunk_keys(self) -> Any:
        below = self.model.chunk_key_epoch + self.choose.of([0, 0, -1, -2, 1])
        return Drawn(1, self.operator(), (below,))

    def forget_keys(self) -> Any:
        return Drawn(1, self.operator(), (self.model.forget_orders + self.choose.of([1, 1, 0, 2]),))

    def mark_audit(self) -> Any:
        node, trail = self.choose.of(["m1", "m2", "m2", ""]), self.choose.of("ab") * 16
        record, made_ms = self.choose.of([1, 2, 3, 4, 0, 1 << 63]), self.choose.of([5, 0, -1])
        sha256 = self.choose.of("01") * self.choose.of([64, 64, 64, 63])
        signature = self.choose.of("23") * self.choose.of([16, 256, 16, 15, 257])
        fields = node, trail, record, sha256, made_ms, signature, self.choose.of(["pem", ""])
        return Drawn(1, self.operator(), fields)

    # ---- whom the cluster believes

    def revoke_certificates(self) -> Any:
        serials = self.choose.of([("1f",), ("2a", "1f"), ("ffee",), (), ("0f",), ("1F",)])
        return Drawn(1, self.operator(), (serials, self.choose.of(["", "lost", "x" * 201])))

    def add_join_token(self) -> Any:
        role = self.choose.of(["master", "chunkserver", "gateway", "chunkserver", "user"])
        name = self.choose.of(["c4", "c4", "c5", "..", ""])
        expires_ms = self.model.clock + self.choose.of([0, 10, 2000, 7 * 86_400_000 + 1])
        fields = f"{self.choose.below(3):016x}", "1" * 64, role, name, ("h1",), expires_ms
        return Drawn(1, self.operator(), fields)

    def use_join_token(self) -> Any:
        token = self.choose.of([*sorted(self.model.tokens), "f" * 16])
        secret, key = self.choose.of(["1", "1", "1", "2"]) * 64, self.choose.of("ab") * 64
        return Drawn(1, self.operator(), (token, secret, key))

    def set_authority(self) -> Any:
        step = self.choose.of(
            ["install", "trust", "reissue", "drop", "abort", "renew", "renew", "leap"]
        )
        with_signer = step in ("install", "trust") or self.one_in(8)
        signer = Signer(self.choose.of(["r1", "r2", "r3"]), "c", "k") if with_signer else None
        nodes = self.choose.of([(), (), ("c1",), ("c1", "c2")])
        return Drawn(1, self.operator(), (step, signer, nodes))

    def operator(self) -> str:
        """Mostly one who may."""
        return str(self.choose.of(["root", "root", "dave:supergroup", "alice:eng"]))
