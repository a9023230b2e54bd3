"""One step after the other on the namespace and on its model, which must agree at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pydfsnode._fast import crc32c
from pydfsnode.errors import DomainError
from pydfsnode.meta import ops, queries
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.results import Applied, Outcome, Rejected
from pydfsnode.meta.state import Namespace
from tests.reference.namespace_model import NamespaceModel, Refused

NAMES = ["a", "b", "ü"]
ODD_PATHS = [
    "", "a", "/a/", "//", "/a//b", "/..", "/a/./b", "/\0", "/" + "x" * 256, "/a" * 2100,
]  # fmt: skip
CONTENTS = [b"x", b"yz", b"hello", b"\0\0\0", b"-" * 100, b""]
MIB = 1 << 20
Word = tuple[int, int, bytes]


class Choose(Protocol):
    """Where chance comes from."""

    def of(self, things: Sequence[Any]) -> Any: ...

    def below(self, count: int) -> int: ...


class MetaSteps:
    """`files`: [client, inode id, chunk ids] of every file created, the newest last."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.model = NamespaceModel()
        self.stored: dict[tuple[int, bytes], bytes] = {}
        self.seqs = {1: 0, 2: 0}
        self.asked: list[tuple[ops.AnyOp, Outcome]] = []
        self.files: list[tuple[int, int, list[int]]] = []
        self.clock = 0
        self.applied: dict[str, int] = {}

    def both(
        self, client: int, kind: Any, fields: tuple[Any, ...], model: Callable[[], Any]
    ) -> tuple[Any, Any] | None:
        """(result, what the model says), None when both refuse for the same reason."""
        self.seqs[client] += 1
        self.clock += 5
        op = kind(client, self.seqs[client], 1, self.clock, "u", *fields)
        outcome = self.send(op)
        self.asked.append((op, outcome))
        refused = ""
        try:
            expected = model()
        except Refused as refusal:
            refused = refusal.name
        if refused:
            assert isinstance(outcome, Rejected), f"{op} should be refused: {refused}"
            assert type(outcome.error()).__name__ == refused, op
            return None
        assert isinstance(outcome, Applied), f"{op} was refused: {outcome}"
        self.applied[kind.__name__] = self.applied.get(kind.__name__, 0) + 1
        return outcome.result, expected

    def send(self, op: ops.AnyOp) -> Outcome:
        return self.namespace.apply(decode_op(encode_op(op)), self.namespace.applied_index + 1)

    def path(self, choose: Choose) -> str:
        """Mostly one that exists, or a new one in a directory or file that exists."""
        odds = choose.below(20)
        if odds == 0:
            return str(choose.of(ODD_PATHS))
        path = str(choose.of(sorted(self.model.entries)))
        for _ in range((odds > 6) + (odds > 17)):
            path = path.rstrip("/") + "/" + choose.of(NAMES)
        return path

    # ---- operations

    def mkdirs(self, choose: Choose) -> None:
        path = self.path(choose)
        self.both(1, ops.Mkdirs, (path, 0), lambda: self.model.mkdirs(path))

    def create(self, choose: Choose) -> None:
        client, path = choose.of([1, 2]), self.path(choose)
        overwrite, create_parents = choose.of([False, True]), choose.of([False, True])
        chunk_bytes = choose.of([MIB, MIB, MIB, MIB, MIB - 1])
        answer = self.both(
            client, ops.Create, (path, 3, chunk_bytes, 0, overwrite, create_parents),
            lambda: self.model.create(client, path, chunk_bytes, overwrite, create_parents),
        )  # fmt: skip
        if answer is not None:
            assert answer[0].inode_id == answer[1]
            self.files.append((client, answer[1], []))

    def word(self, choose: Choose) -> tuple[int, int, Word | None, int, list[int]]:
        """Client, inode id, word on the last chunk, chunk to abandon: mostly, not always, apt."""
        held = {e["id"] for e in self.model.entries.values() if e.get("holder") is not None}
        still_open = [file for file in self.files if file[1] in held]
        files = self.files if choose.below(10) == 0 else still_open
        client, inode_id, chunks = choose.of(files[-3:] or [(1, 1, [])])
        odds = choose.below(20)
        known = [*chunks[-2:], 1, 99]
        done: Word | None = None
        abandon = 0
        if odds < 15 and chunks:  # as a writer should: the last chunk is finished, or dropped
            if odds < 12:
                done = (chunks[-1], choose.of([1, 1, 2]), choose.of(CONTENTS))
            else:
                abandon = chunks[-1]
        elif odds >= 16:
            done = (choose.of(known), choose.below(3), choose.of(CONTENTS))
            abandon = choose.of([0, *known])
        if odds == 19:
            client = 3 - client
        return client, inode_id, done, abandon, chunks

    @staticmethod
    def chunk_done(done: Word | None) -> ops.ChunkDone | None:
        return None if done is None else ops.ChunkDone(*done[:2], len(done[2]), crc32c(done[2]))

    def allocate(self, choose: Choose) -> None:
        client, inode_id, done, abandon, chunks = self.word(choose)
        answer = self.both(
            client, ops.AllocateChunk, (inode_id, self.chunk_done(done), abandon, ("c1", "c2")),
            lambda: self.model.allocate(client, inode_id, done, abandon),
        )  # fmt: skip
        if answer is not None:
            assert answer[0].chunk_id == answer[1]
            chunks.append(answer[1])

    def complete(self, choose: Choose) -> None:
        client, inode_id, done, abandon, _ = self.word(choose)
        answer = self.both(
            client, ops.Complete, (inode_id, self.chunk_done(done), abandon),
            lambda: self.model.complete(client, inode_id, done, abandon),
        )  # fmt: skip
        if answer is not None:
            assert answer[0].path == self.model.path_of(inode_id)

    def abandon(self, choose: Choose) -> None:
        client, inode_id, *_ = self.word(choose)
        self.both(client, ops.Abandon, (inode_id,), lambda: self.model.abandon(client, inode_id))

    def delete(self, choose: Choose) -> None:
        path, recursive = self.path(choose), choose.below(4) == 0
        answer = self.both(
            1, ops.Delete, (path, recursive), lambda: self.model.delete(path, recursive)
        )
        if answer is not None:
            assert answer[0].inodes == answer[1]

    def rename(self, choose: Choose) -> None:
        source, destination = self.path(choose), self.path(choose)
        self.both(
            1, ops.Rename, (source, destination), lambda: self.model.rename(source, destination)
        )

    # ---- what happens beside operations

    def ask_again(self, choose: Choose) -> None:
        if self.asked:
            op, outcome = choose.of(self.asked)
            assert self.send(op) == outcome

    def drain(self, choose: Choose) -> None:
        for table, key, value in self.namespace.drain_rows():
            if value is None:
                self.stored.pop((table, key), None)
            else:
                self.stored[table, key] = value
        again = Namespace()
        for (table, key), value in self.stored.items():
            again.load_row(table, key, value)
        again.finish_load()
        assert again.state_hash() == self.namespace.state_hash()
        if choose.of([False, True]):
            self.check_chunks()  # a restart loses what was not drained, as a master does
            self.namespace = again

    def look(self, choose: Choose) -> None:
        path = self.path(choose)
        try:
            expected: list[str] | str = self.model.list_directory(path)
        except Refused as refused:
            expected = refused.name
        try:
            listing = queries.list_directory(self.namespace, path)
            found: list[str] | str = [entry.path for entry in listing.entries]
        except DomainError as error:
            found = type(error).__name__
        assert found == expected

    # ---- agreement

    def check_tree(self) -> None:
        namespace, model = self.namespace, self.model
        for path in model.entries:
            view = queries.stat(namespace, path)
            found: dict[str, Any] = {"type": view.type, "id": view.inode_id}
            if view.type == "directory":
                found["children"] = view.child_count
            else:
                found |= {
                    "size": view.size, "open": view.under_construction, "checksum": view.checksum,
                    "chunks": [
                        (c.chunk_id, c.version, c.length)
                        for c in queries.locate(namespace, path)[1]
                    ],
                }  # fmt: skip
            assert found == model.describe(path)
        kinds = [entry["kind"] for entry in model.entries.values()]
        assert namespace.file_count == kinds.count("file")
        assert namespace.directory_count == kinds.count("directory")

    def check_chunks(self) -> None:
        namespace = self.namespace
        assert set(namespace.tree.chunks) == self.model.live_chunks
        freed = set(namespace.drain_freed())
        finished = {wanted.chunk_id for wanted in namespace.drain_changed_chunks()}
        assert not freed & self.model.live_chunks
        assert finished <= self.model.live_chunks
        assert all(namespace.is_garbage(chunk_id) for chunk_id in freed)
        assert {chunk.chunk_id for chunk in namespace.iter_wanted()} == {
            c["id"]
            for entry in self.model.entries.values()
            for c in entry.get("chunks", ())
            if c["done"]
        }
