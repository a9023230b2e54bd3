"""One step after the other on the namespace and on its model, which must agree at each."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import msgspec

from pydfsnode._fast import crc32c
from pydfsnode.errors import DomainError
from pydfsnode.meta import attributes, ops, queries, snapshot_queries
from pydfsnode.meta.administration import BALANCE, SAFE_MODE
from pydfsnode.meta.caller import parse_caller
from pydfsnode.meta.codec import decode_op, encode_op
from pydfsnode.meta.find import find
from pydfsnode.meta.inline import TABLE_INLINE, inline_key
from pydfsnode.meta.results import Applied, Outcome, Rejected, WantedChunk
from pydfsnode.meta.rolling_digest import WINDOW_MS, WINDOWS_MAX
from pydfsnode.meta.sealing import key_of_chunk
from pydfsnode.meta.sessions import SessionBounds
from pydfsnode.meta.snapshot_diff import diff
from pydfsnode.meta.state import Namespace
from tests.reference.namespace_model import QUESTIONS, NamespaceModel, Refused

from .meta_ops import ASKERS, CLIENTS, NAMES, Choose, OpDraw

BOUNDS = SessionBounds(idle_ms=1 << 60, outcomes_per_session=1 << 20)
"""Nothing is forgotten: a session that sleeps is a test of its own."""
START_MS = 1_700_000_000_000
KINDS: dict[str, Any] = {kind.__name__: kind for kind in ops.OPS.values()}
GROWING = [
    "Create", "CreateInline", *["AllocateChunk", "Concat", "Rename"] * 2, "CompleteInline",
    "SetReplication", "SetReplication", "MoveToTrash", "RestoreTrash", "Mkdirs",
]  # fmt: skip
"""What takes room under a quota."""
OF_WRITERS = {
    "AllocateChunk",
    "Complete",
    "CompleteInline",
    "Truncate",
    "ResumeChunk",
    "RecordChunk",
}
"""They find something to do only when a file is open."""


class MetaSteps:
    """`stored`: the rows on disk. `replicas`: what the table of replicas was told is wanted.

    `applied` and `refused` count the operations by type, the latter with the error too.
    """

    def __init__(self, dropped_at_once_max: int, root_mode: int = 0o777) -> None:
        self.namespace = Namespace(BOUNDS)
        self.model = NamespaceModel(dropped_at_once_max)
        self.stored: dict[tuple[int, bytes], bytes] = {}
        self.replicas: dict[int, WantedChunk] = {}
        self.seqs: dict[int, int] = {}
        self.asked: list[tuple[ops.AnyOp, Outcome]] = []
        self.clock = START_MS
        self.applied: dict[str, int] = {}
        self.refused: dict[tuple[str, str], int] = {}
        self.both("SetMode", 1, "root", ("/", root_mode))

    # ---- operations

    def operate(self, kind: str, choose: Choose) -> None:
        self.clock += choose.of([0, 5, 5, 5, 1000])
        if self.model.safe_mode and choose.below(3) == 0:
            kind = "SetSafeMode"  # or a walk would hardly change anything
        if kind in OF_WRITERS and not self.model.open_files() and choose.below(10):
            kind = choose.of(["Create", "Append"])
        drawn = OpDraw(self.model, choose).draw(rule_of(kind))
        self.both(kind, *drawn)

    def both(self, kind: str, client: int, user: str, fields: tuple[Any, ...]) -> None:
        seq = self.seqs[client] = self.seqs.get(client, 0) + 1
        op = KINDS[kind](client, seq, 1, self.clock, user, *told(kind, fields))
        was_purging = self.namespace.tree.history.is_purging
        outcome = self.send(op)
        refused, expected = "", None
        try:
            expected = self.model.apply(kind, client, user, self.clock, fields)
        except Refused as refusal:
            refused = refusal.name
        if refused != "KeyNeeded":  # of which nothing is remembered
            self.asked.append((op, outcome))
        if refused:
            assert isinstance(outcome, Rejected), f"{op} should be refused: {refused}"
            assert type(outcome.error()).__name__ == refused, f"{op} was refused: {outcome}"
            self.refused[kind, refused] = self.refused.get((kind, refused), 0) + 1
            return
        assert isinstance(outcome, Applied), f"{op} was refused: {outcome}"
        found = answer(outcome.result)
        if was_purging and kind == "Reclaim":
            # Past things of deleted snapshots are counted too; the model has no such.
            assert expected <= found <= fields[0], op
        else:
            assert found == expected, (op, found, expected)
        self.applied[kind] = self.applied.get(kind, 0) + 1

    def send(self, op: ops.AnyOp) -> Outcome:
        return self.namespace.apply(decode_op(encode_op(op)), self.namespace.applied_index + 1)

    # ---- what happens beside operations

    def ask_again(self, choose: Choose) -> None:
        """A retried operation gets its first answer, whatever happened since."""
        op, outcome = choose.of(self.asked)
        assert self.send(op) == outcome

    def wait(self, choose: Choose) -> None:
        """Time passes: leases end, what lies in the trash grows old."""
        limit_ms = choose.of([60_000, 600_000])
        opened = self.model.open_files()
        if not opened:
            self.clock += limit_ms
            return
        file = choose.of(opened)
        # Exactly at the limit, or just past it, somebody wants the file.
        self.clock = max(
            self.clock, self.model.heard.get(file.holder, 0) + limit_ms + choose.below(2)
        )
        path, client = self.model.path_of(file.id), choose.of(CLIENTS)
        kind, user, fields = choose.of(
            [
                ("Append", "root", (path,)),
                ("RecoverLease", "carol", (path,)),
                ("Truncate", "root", (path, 0, None)),
                ("Create", "root", (path, 1, 1 << 20, 0, True, False)),
                ("ExpireLeases", "root", ((file.id,),)),
                ("ExpireLeases", "root", ((file.id,), True)),
            ]
        )
        self.both(kind, client, user, fields)

    def write(self, choose: Choose) -> None:
        """A closed file with a chunk, written at one go."""
        inode_id = self.model.next_id
        path = "/" + choose.of(NAMES)
        layout = choose.of([1, 2, 3]), 1 << 20, 0, False, False
        self.both("Create", 1, "root", (path, *layout))
        if self.model.path_of(inode_id) != path:
            return
        chunk_id, content = self.model.next_chunk, choose.of([b"x", b"hello", b"-" * 100])
        self.both("AllocateChunk", 1, "root", (inode_id, None, 0, ("c1", "c2")))
        if self.model.next_chunk > chunk_id:
            self.both("Complete", 1, "root", (inode_id, (chunk_id, 1, content), 0))

    def squeeze(self, choose: Choose) -> None:
        """An operation under a quota that it just keeps, or just exceeds."""
        kind = choose.of(GROWING)
        client, user, fields = OpDraw(self.model, choose).draw(rule_of(kind))
        trial = copy.deepcopy(self.model)
        try:
            trial.apply(kind, client, user, self.clock, fields)
        except Refused:
            return
        before = {node.id: (node.count(), node.space()) for node in self.model.root.walk()}
        if not trial.root.children or not self.model.root.children:
            return
        there = [node for node in trial.root.walk() if node.children and node.id in before]
        grown = [node for node in there if before[node.id] != (node.count(), node.space())]
        node = choose.of(sorted(grown or there, key=lambda each: each.id))
        path = self.model.path_of(node.id)
        if path:
            open_files = [file for file in node.walk() if file.open_chunk]
            room = sum(file.chunk_bytes * file.replication for file in open_files)
            quotas = node.count() - choose.below(2), node.space() + room - choose.below(2)
            self.both("SetQuota", 1, "root", (path, *quotas))
            self.both(kind, client, user, fields)
            self.both("SetQuota", 1, "root", (self.model.path_of(node.id), 0, 0))

    def drain(self, choose: Choose) -> None:
        """The rows are written; maybe the master is started again from them."""
        inline, _ = self.namespace.tree.inline.drain_rows()
        for table, key, value in [*self.namespace.drain_rows(), *inline]:
            if value is None:
                self.stored.pop((table, key), None)
            else:
                self.stored[table, key] = value
        kept = {key for table, key in self.stored if table == TABLE_INLINE}
        needed = {inline_key(key) for key in self.model.inline_contents()}
        assert kept == needed if self.is_settled else kept >= needed
        again = Namespace(BOUNDS)
        for (table, key), value in self.stored.items():
            if table != TABLE_INLINE:
                again.load_row(table, key, value)
        again.finish_load()
        assert again.state_hash() == self.namespace.state_hash()
        after_ms = self.namespace.tree.clock_ms - WINDOWS_MAX * WINDOW_MS
        assert again.digest_slices(after_ms) == self.namespace.digest_slices(after_ms)
        if choose.of([False, True]):
            self.check_chunks()  # a restart loses what was not drained, as a master does
            self.namespace = again
            self.replicas = {chunk.chunk_id: chunk for chunk in again.iter_wanted()}

    def look(self, choose: Choose) -> None:
        """Any question about any path by anybody."""
        draw = OpDraw(self.model, choose)
        question, path, user = choose.of(QUESTIONS), draw.seen_path(), choose.of(ASKERS)
        if choose.below(3) == 0:
            path = draw.place(lambda node: node.has_acl)
        more: tuple[Any, ...] = ()
        if question == "list_directory":
            more = choose.of(["", "", "b", *NAMES, "zz"]), choose.of([1, 2, 1000])
        elif question == "find_names":
            more = choose.of(["", "*", "a", "[ab]", "c?d"]), choose.of(["", "file", "directory"])
        elif question == "diff":
            (path, first), (_, second) = draw.snapshot(), draw.snapshot()
            more = choose.of([(first, ""), ("", first), (first, second)])
        self.ask(question, path, user, *more)

    def ask(self, question: str, path: str, user: str, *more: Any) -> None:
        found: Any
        expected: Any
        try:
            expected = self.model.ask(question, path, user, *more)
        except Refused as refused:
            expected = refused.name
        try:
            found = ASK[question](self.namespace, path, parse_caller(user), *more)
        except DomainError as error:
            found = type(error).__name__
        assert found == expected, (question, path, user, more, found, expected)

    # ---- agreement

    @property
    def is_settled(self) -> bool:
        """Whether nothing deleted waits to be dropped."""
        return not self.model.doomed_count and not self.namespace.tree.history.is_purging

    def check_tree(self) -> None:
        """Every question about every path; and the counters."""
        nodes = self.model.paths()
        for path, node in nodes.items():
            for question in QUESTIONS[:-2]:
                if node.is_file or question != "locate":
                    self.ask_whole(question, path)
            for first in node.snapshots:
                for second in ("", *node.snapshots):
                    self.ask("diff", path, "root", first, second)
        self.ask("find_names", "/", "root", "", "")
        self.check_administration()
        self.check_trust()
        for path in self.model.past_paths():
            for question in QUESTIONS[:-3]:
                self.ask_whole(question, path)
            if path.endswith("/.snapshot"):
                self.ask("find_names", path, "root", "", "")
        if not self.model.doomed_count:
            files = sum(node.is_file for node in nodes.values())
            assert self.namespace.file_count == files
            assert self.namespace.directory_count == len(nodes) - files

    def ask_whole(self, question: str, path: str) -> None:
        more = ("", 1000) if question == "list_directory" else ()
        self.ask(question, path, "root", *more)

    def check_trust(self) -> None:
        found, model = self.namespace.tree.trust, self.model
        revoked = {s: (row.reason, row.since_ms, row.user) for s, row in found.revoked.items()}
        assert revoked == model.revoked
        tokens = {t: msgspec.structs.astuple(row)[1:] for t, row in found.tokens.items()}
        assert tokens == model.tokens
        authority = found.authority
        assert (authority is None) == (model.signer is None)
        if authority is not None:
            assert (authority.phase, authority.roots) == (model.phase, model.roots)
            assert (authority.signer, authority.coming) == (model.signer, model.coming)
            assert (authority.renew_ms, dict(authority.renew_nodes)) == model.renew

    def check_administration(self) -> None:
        """Who is out of service, and what the cluster is told to do."""
        found, model = self.namespace.tree.administration, self.model
        duties = {
            name: (duty.since_ms, duty.user, (duty.state, duty.until_ms))
            for name, duty in found.duties.items()
        }
        assert duties == model.duties
        safe_mode, balance = found.mode(SAFE_MODE), found.mode(BALANCE)
        assert (safe_mode and (safe_mode.since_ms, safe_mode.user, ())) == model.safe_mode
        told = balance and (balance.threshold_ppm, balance.bytes_per_s)
        assert (balance and (balance.since_ms, balance.user, told)) == model.balance
        assert found.chunk_keys == model.chunk_keys
        assert found.chunk_key_epoch == model.chunk_key_epoch
        assert self.namespace.tree.file_keys.forgetting.orders == model.forget_orders
        self.check_file_keys()
        marks = self.namespace.tree.audit_marks.newest
        assert {t: msgspec.structs.astuple(row)[2:] for t, row in marks.items()} == (
            model.audit_marks
        )

    def check_file_keys(self) -> None:
        """Every file that is there or in a snapshot has its key, and no other has one."""
        tree, expected = self.namespace.tree, self.model.file_keys()
        found = {inode_id: row.key for inode_id, row in tree.file_keys.keys.rows.items()}
        assert found == expected if self.is_settled else found.items() >= expected.items()
        assert tree.file_keys.forgetting.removed == self.model.keys_made - len(found)
        for node in self.model.everything():
            for chunk_id, version, _ in node.chunks:
                if version:
                    assert (key_of_chunk(tree, chunk_id) or b"") == node.key

    def check_chunks(self) -> None:
        """What chunkservers and the state table are told to keep is what files need."""
        namespace, expected = self.namespace, self.model.wanted()
        live = expected.keys() | self.model.open_chunks()
        for chunk_id in namespace.drain_freed():
            assert chunk_id not in live
            assert namespace.is_garbage(chunk_id)
            self.replicas.pop(chunk_id, None)
        for chunk in namespace.drain_changed_chunks():
            self.replicas[chunk.chunk_id] = chunk
        wanted = {chunk.chunk_id: chunk for chunk in namespace.iter_wanted()}
        assert bare(self.replicas) == bare(wanted)
        contents = self.model.inline_contents()
        for content_id, content in contents.items():
            assert self.read_inline(content_id) == content
        held = wanted.keys() | namespace.tree.open_chunks.keys()
        assert live <= held
        assert all(bare(wanted)[chunk_id][:2] == expected[chunk_id][:2] for chunk_id in expected)
        assert not any(namespace.is_garbage(chunk_id) for chunk_id in live)
        if self.is_settled:
            assert live == held
            assert bare(wanted) == expected
            assert namespace.tree.inline.total_bytes == sum(map(len, contents.values()))

    def read_inline(self, content_id: int) -> bytes | None:
        content = self.namespace.tree.inline.get(content_id)
        if content is not None:
            return content
        return self.stored.get((TABLE_INLINE, inline_key(content_id)))


def rule_of(kind: str) -> str:
    """The name of an operation in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()


def bare(chunks: dict[int, WantedChunk]) -> dict[int, tuple[int, int, int]]:
    """Version, length and replication: who wrote a chunk is told once only."""
    return {c.chunk_id: (c.version, c.length, c.replication) for c in chunks.values()}


def told(kind: str, fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """*fields* as the operation carries them: of what was written only length and checksum."""
    if kind not in ("AllocateChunk", "Complete", "Truncate", "RecordChunk", "FinishRecovery"):
        return fields
    at = 2 if kind == "Truncate" else 1
    word = fields[at]
    if word is None:
        return fields
    done = ops.ChunkDone(word[0], word[1], len(word[2]), crc32c(word[2]))
    return *fields[:at], done, *fields[at + 1 :]


def answer(result: Any) -> Any:
    """A result in the model's words."""
    kind = type(result).__name__
    if kind == "FileView":
        return msgspec.structs.asdict(result)
    if kind == "Appended":
        return msgspec.structs.asdict(result.view), result.content_id
    if kind == "Done":
        return None
    values = msgspec.structs.astuple(result)
    return values[0] if kind == "Removed" else values


def _list(namespace: Namespace, path: str, caller: Any, after: str, limit: int) -> Any:
    page = queries.list_directory(namespace, path, caller, after, limit)
    return [answer(view) for view in page.entries], page.more


def _locate(namespace: Namespace, path: str, caller: Any) -> Any:
    view, chunks = queries.locate(namespace, path, caller)
    offset = 0
    for chunk in chunks:
        assert chunk.offset == offset
        offset += chunk.length
    return answer(view), [(chunk.chunk_id, chunk.version, chunk.length) for chunk in chunks]


def _find(namespace: Namespace, path: str, caller: Any, pattern: str, kind: str) -> Any:
    """Two matches at a time."""
    found, after, more = [], "", True
    while more:
        step = find(namespace, path, caller, pattern, kind, after, 2)
        found += [answer(view) for view in step.entries]
        after, more = step.next, step.more
    return found


def _diff(namespace: Namespace, path: str, caller: Any, first: str, second: str) -> Any:
    found = diff(namespace, path, first, second, caller)
    return [msgspec.structs.astuple(difference) for difference in found]


def _tuple_of(question: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *asked: msgspec.structs.astuple(question(*asked))


ASK: dict[str, Callable[..., Any]] = {
    "stat": lambda *asked: answer(queries.stat(*asked)),
    "list_directory": _list,
    "locate": _locate,
    "summary": _tuple_of(queries.summary),
    "find_names": _find,
    "diff": _diff,
    "get_xattrs": attributes.get_xattrs,
    "get_acl": _tuple_of(attributes.get_acl),
    "list_snapshots": lambda *asked: [tuple(found) for found in snapshot_queries.snapshots(*asked)],
    "quota_of": _tuple_of(attributes.quota_of),
}
