"""Every kind of change and question of a namespace of 100,000 files, through the state machine.

Changes are log entries, as masters apply them: a round applies COUNT of them. What a round needs
is made before it, and the rows that it touched are drained after it, outside of what is measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from pydfsnode._fast import encode_entry
from pydfsnode.cli.bench_meta import CHANGES
from pydfsnode.meta import find, ops, queries
from pydfsnode.meta.caller import NOBODY_ASKS
from pydfsnode.meta.codec import encode_op
from pydfsnode.meta.inline import TABLE_INLINE
from pydfsnode.meta.results import Applied
from pydfsnode.meta.rows import Row
from pydfsnode.meta.state import Namespace
from pydfsnode.raft.types import KIND_OPERATION
from pydfsnode.roles.master.machine import NamespaceMachine, load_namespace
from pydfsnode.roles.master.service import views
from pydfsnode.rpc.pb import dfs_pb2 as pb

FILES, PER_DIRECTORY = 100_000, 1000
COUNT = 256
DRAINED = 1024
ROUNDS = 20
TERM, CLIENT, USER = 1, 7, "alice:supergroup"
CONTENT = bytes(range(256)) * 4
MIB = 1 << 20
Changes = list[ops.AnyOp]


def path_of(number: int) -> str:
    return f"/many/{number // PER_DIRECTORY:04d}/file-{number:08d}"


class World:
    """A state machine with its log; every name that `fresh` gives is new."""

    def __init__(self) -> None:
        self.namespace = Namespace()
        self.machine = NamespaceMachine(self.namespace, self._drain_chunks)
        self._seq = itertools.count(1)
        self._fresh = itertools.count()

    def _drain_chunks(self) -> None:
        self.namespace.drain_freed()
        self.namespace.drain_changed_chunks()

    def head(self) -> tuple[int, int, int, int, str]:
        seq = next(self._seq)
        return CLIENT, seq, seq, 1_000, USER

    def fresh(self) -> str:
        return f"/fresh/{next(self._fresh):08d}"

    def entries(self, changes: Changes) -> list[bytes]:
        first = self.machine.applied_index + 1
        return [
            encode_entry(index, TERM, KIND_OPERATION, encode_op(change))
            for index, change in enumerate(changes, first)
        ]

    def apply(self, entries: list[bytes]) -> list[object]:
        return self.machine.apply(self.machine.applied_index + 1, entries)

    def do(self, changes: Changes) -> list[Row]:
        """Apply what a round needs; its rows."""
        outcomes = self.apply(self.entries(changes))
        assert all(isinstance(outcome, Applied) for outcome in outcomes), outcomes
        return self.machine.drain_rows()

    def create(self, path: str) -> ops.Create:
        return ops.Create(*self.head(), path, 3, 64 * MIB, 0o644, False, True)

    def create_inline(self, path: str) -> ops.CreateInline:
        return ops.CreateInline(*self.head(), path, 3, 64 * MIB, 0o644, False, True, CONTENT)

    def files(self, count: int) -> list[str]:
        """Paths of files made for this."""
        paths = [self.fresh() for _ in range(count)]
        self.do([self.create_inline(path) for path in paths])
        return paths


@pytest.fixture(scope="module")
def filled() -> tuple[World, list[Row]]:
    """FILES files, and what the state table holds of them."""
    world, stored = World(), dict[tuple[int, bytes], bytes | None]()
    for first in range(0, FILES, PER_DIRECTORY):
        numbers = range(first, first + PER_DIRECTORY)
        for table, key, value in world.do([world.create_inline(path_of(n)) for n in numbers]):
            stored[table, key] = value
    rows: list[Row] = [
        (table, key, value)
        for (table, key), value in stored.items()
        if value is not None and table != TABLE_INLINE  # contents stay on disk
    ]
    return world, rows


@pytest.fixture
def world(filled: tuple[World, list[Row]]) -> World:
    return filled[0]


# ---- changes


def mkdirs(world: World) -> Changes:
    return [ops.Mkdirs(*world.head(), world.fresh(), 0o755) for _ in range(COUNT)]


def create(world: World) -> Changes:
    return [world.create(world.fresh()) for _ in range(COUNT)]


def create_inline(world: World) -> Changes:
    return [world.create_inline(world.fresh()) for _ in range(COUNT)]


def allocate_and_complete(world: World) -> Changes:
    """Half of them allocate the chunk of a file that is open, the others close the file with it."""
    tree = world.namespace.tree
    count = COUNT // 2
    inode_ids = range(tree.next_inode_id, tree.next_inode_id + count)
    world.do([world.create(world.fresh()) for _ in inode_ids])
    chunk_ids = range(tree.next_chunk_id, tree.next_chunk_id + count)
    changes: Changes = []
    for inode_id, chunk_id in zip(inode_ids, chunk_ids, strict=True):
        targets = ("c1", "c2", "c3")
        changes.append(ops.AllocateChunk(*world.head(), inode_id, None, 0, targets))
        changes.append(ops.Complete(*world.head(), inode_id, ops.ChunkDone(chunk_id, 1, 1000, 7)))
    return changes


def rename(world: World) -> Changes:
    return [ops.Rename(*world.head(), path, path + "r") for path in world.files(COUNT)]


def delete(world: World) -> Changes:
    return [ops.Delete(*world.head(), path, False) for path in world.files(COUNT)]


def set_mode(world: World) -> Changes:
    return [ops.SetMode(*world.head(), path_of(i * 300), 0o600) for i in range(COUNT)]


def set_xattr(world: World) -> Changes:
    return [
        ops.SetXattr(*world.head(), path_of(i * 300), "user.tag", b"value", False, False)
        for i in range(COUNT)
    ]


def flood(world: World) -> Changes:
    """The mix of `pydfsnode bench meta`."""
    there = world.files(COUNT)
    kinds: dict[str, Callable[[], ops.AnyOp]] = {
        "d": lambda: ops.Mkdirs(*world.head(), world.fresh(), 0o755),
        "c": lambda: world.create(world.fresh()),
        "r": lambda: ops.Rename(*world.head(), there.pop(), world.fresh()),
        "x": lambda: ops.Delete(*world.head(), there.pop(), False),
    }
    return [kinds[CHANGES[number % len(CHANGES)]]() for number in range(COUNT)]


@pytest.mark.benchmark(group=f"namespace: {COUNT} changes applied")
@pytest.mark.parametrize(
    "changes",
    [
        mkdirs, create, create_inline, allocate_and_complete, rename, delete, set_mode, set_xattr,
        flood,
    ],
    ids=lambda changes: changes.__name__,
)  # fmt: skip
def test_change(
    benchmark: BenchmarkFixture, world: World, changes: Callable[[World], Changes]
) -> None:
    def setup() -> tuple[tuple[list[bytes]], dict[str, object]]:
        world.machine.drain_rows()
        return (world.entries(changes(world)),), {}

    outcomes = benchmark.pedantic(  # type: ignore[no-untyped-call]
        world.apply, setup=setup, rounds=ROUNDS, warmup_rounds=2
    )
    assert all(isinstance(outcome, Applied) for outcome in outcomes), outcomes


# ---- the state table


@pytest.mark.benchmark(group=f"namespace: rows of {DRAINED} changes drained")
@pytest.mark.parametrize("changes", [create, create_inline, flood], ids=lambda c: c.__name__)
def test_drain_rows(
    benchmark: BenchmarkFixture, world: World, changes: Callable[[World], Changes]
) -> None:
    def setup() -> None:
        world.machine.drain_rows()
        for made in [changes(world) for _ in range(DRAINED // COUNT)]:
            world.apply(world.entries(made))

    rows = benchmark.pedantic(  # type: ignore[no-untyped-call]
        world.machine.drain_rows, setup=setup, rounds=ROUNDS, warmup_rounds=2
    )
    assert len(rows) > 1


@pytest.mark.benchmark(group=f"namespace: {FILES} files loaded")
def test_load(benchmark: BenchmarkFixture, filled: tuple[World, list[Row]]) -> None:
    loaded = benchmark.pedantic(  # type: ignore[no-untyped-call]
        load_namespace, (filled[1],), rounds=5, warmup_rounds=1
    )
    assert queries.summary(loaded, "/", NOBODY_ASKS).files == FILES


# ---- questions


def stat(namespace: Namespace) -> bytes:
    request = pb.StatRequest(path=path_of(77_777))
    return views.stat(namespace, request, NOBODY_ASKS).SerializeToString()


def list_100(namespace: Namespace) -> bytes:
    path, _, name = path_of(77_777).rpartition("/")
    request = pb.ListRequest(path=path, start_after=name, limit=100)
    return views.list_directory(namespace, request, NOBODY_ASKS).SerializeToString()


def locate(namespace: Namespace) -> object:
    return queries.locate(namespace, path_of(77_777), NOBODY_ASKS)


def summary(namespace: Namespace) -> bytes:
    request = pb.SummaryRequest(path="/many")
    return views.summary(namespace, request, NOBODY_ASKS).SerializeToString()


def find_step(namespace: Namespace) -> object:
    """As many inodes as one step may look at, a tenth of which match."""
    return find.find(namespace, "/many", NOBODY_ASKS, "*7")


@pytest.mark.benchmark(group="namespace: one question")
@pytest.mark.parametrize(
    "ask", [stat, list_100, locate, summary, find_step], ids=lambda ask: ask.__name__
)
def test_question(
    benchmark: BenchmarkFixture, world: World, ask: Callable[[Namespace], object]
) -> None:
    assert benchmark(ask, world.namespace)
