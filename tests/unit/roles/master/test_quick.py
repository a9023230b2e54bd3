"""The quick ways of a batch propose the same bytes and give the same answers as the handlers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.client.consistency import Consistency
from pydfsnode.errors import PydfsError
from pydfsnode.meta import ops
from pydfsnode.meta.codec import decode_op
from pydfsnode.obs.metrics import metrics
from pydfsnode.roles.master.service.queries import SHORT_LIST_ENTRIES_MAX
from pydfsnode.roles.master.service.writing import FileDefaults
from pydfsnode.rpc.pb import dfs_pb2 as pb
from tests.unit.roles.master.service_bench import ANN, BOB, ServiceBench

STEPS = 400
DEFAULTS = FileDefaults(2, 3 * limits.CHUNK_BYTES_MIN, inline_total_bytes_max=2000)
PATHS = ["/", "/a", "/a/b", "/a/b/ü", "/a/c", "/d", "/d/" + "x" * 200, "/missing/x", "no path", ""]


def change(rng: random.Random, op: pb.OpId) -> tuple[str, Any]:
    path = rng.choice(PATHS)
    kind = rng.randrange(6)
    if kind == 0:
        return "Mkdirs", pb.MkdirsRequest(op=op, path=path, mode=rng.choice([0, 0o700, 0o40000]))
    if kind == 1:
        return "Delete", pb.DeleteRequest(op=op, path=path, recursive=rng.random() < 0.5)
    if kind == 2:
        return "Rename", pb.RenameRequest(
            op=op, source=path, destination=rng.choice(PATHS), overwrite=rng.random() < 0.5
        )
    content = None if kind == 3 else bytes(rng.choice([0, 1, 700, limits.INLINE_BYTES_MAX + 1]))
    return "Create", pb.CreateRequest(
        op=op, path=path, content=content, replication=rng.choice([0, 3, 17]),
        chunk_bytes=rng.choice([0, limits.CHUNK_BYTES_MIN]), mode=rng.choice([0, 0o600]),
        overwrite=rng.random() < 0.5, create_parents=rng.random() < 0.5,
    )  # fmt: skip


def question(rng: random.Random) -> tuple[str, Any]:
    path = rng.choice([*PATHS, "/s/.snapshot/x", "/s/.snapshot/x/b"])
    kind = rng.randrange(3)
    if kind == 0:
        return "Stat", pb.StatRequest(path=path)
    if kind == 1:
        return "Locate", pb.LocateRequest(path=path)
    return "List", pb.ListRequest(
        path=path, start_after=rng.choice(["", "b"]), limit=rng.choice([0, 1, 100])
    )


async def alone(bench: ServiceBench, method: str, request: Any, who: Any) -> object:
    try:
        return await bench.ask(method, request, who)
    except PydfsError as error:
        return type(error), error.message


async def together(bench: ServiceBench, method: str, request: Any, who: Any) -> object:
    (answer,) = await bench.batch((method, request), identity=who)
    if isinstance(answer, PydfsError):
        return type(answer), answer.message
    return answer.SerializeToString()


@pytest.mark.parametrize("seed", range(5))
async def test_both_ways_are_the_same(seed: int) -> None:
    rng = random.Random(seed)
    handled, quick = ServiceBench(defaults=DEFAULTS), ServiceBench(defaults=DEFAULTS)
    for bench in (handled, quick):
        await bench.ask("Mkdirs", pb.MkdirsRequest(op=bench.op(), path="/s/b"))
        await bench.ask(
            "CreateSnapshot", pb.CreateSnapshotRequest(op=bench.op(), path="/s", name="x")
        )
    failed = 0
    for _ in range(STEPS):
        who = rng.choice([ANN, ANN, BOB])
        method, request = change(rng, handled.op()) if rng.random() < 0.7 else question(rng)
        answer = await alone(handled, method, request, who)
        assert await together(quick, method, request, who) == answer, (method, request)
        failed += isinstance(answer, tuple)
    assert quick.driver.payloads == handled.driver.payloads
    assert STEPS / 8 < failed < STEPS * 7 / 8, "both kinds of answers were seen"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ServiceBench:
    made = ServiceBench(defaults=DEFAULTS)

    def unexpected(*_: object) -> None:
        raise AssertionError("the handler was called")

    monkeypatch.setattr("pydfsnode.roles.master.service.batch_items._Work.step", unexpected)
    return made


CASES: list[Callable[[pb.OpId], tuple[str, Any]]] = [
    lambda op: ("Mkdirs", pb.MkdirsRequest(op=op, path="/d", mode=0o755)),
    lambda op: ("Create", pb.CreateRequest(
        op=op, path="/f", replication=2, chunk_bytes=limits.CHUNK_BYTES_MIN, mode=0o644,
        overwrite=True, create_parents=True,
    )),
    lambda op: ("Create", pb.CreateRequest(op=op, path="/f", content=b"")),
    lambda op: ("Create", pb.CreateRequest(op=op, path="/f", content=b"x" * 1000)),
    lambda op: ("Rename", pb.RenameRequest(op=op, source="/x", destination="/b", overwrite=True)),
    lambda op: ("Delete", pb.DeleteRequest(op=op, path="/missing", recursive=True)),
    lambda op: ("Stat", pb.StatRequest(path="/")),
    lambda op: ("Locate", pb.LocateRequest(path="/")),
    lambda op: ("List", pb.ListRequest(path="/", limit=SHORT_LIST_ENTRIES_MAX)),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(CASES)))
async def test_what_clients_ask_all_the_time_goes_the_quick_way(
    bench: ServiceBench, case: int
) -> None:
    await bench.batch(CASES[case](bench.op()))


async def test_a_content_goes_where_the_handler_would_put_it() -> None:
    bench = ServiceBench(defaults=DEFAULTS)
    kinds: list[type] = []
    for number, size in enumerate((1000, 900, 101, 100, 1, 0)):
        request = pb.CreateRequest(op=bench.op(), path=f"/{number}", content=bytes(size))
        await bench.batch(("Create", request))
        kinds.append(type(decode_op(bench.driver.payloads[-1])))
    inline, opened = ops.CreateInline, ops.Create
    assert kinds == [inline, inline, opened, inline, opened, inline]


async def test_what_a_read_that_does_not_say_gets_is_the_configurations() -> None:
    bench = ServiceBench(Consistency.parse("stale"))
    answers = await bench.batch(
        ("Stat", pb.StatRequest(path="/")), ("List", pb.ListRequest(path="/", limit=10))
    )
    assert bench.driver.reads == []
    assert all(answer.HasField("freshness") for answer in answers)


async def test_what_a_read_says_goes_before_the_quick_way() -> None:
    bench = ServiceBench()
    await bench.batch(("Create", pb.CreateRequest(op=bench.op(), path="/f", content=b"")))
    lease = pb.ReadOptions(mode=pb.ReadOptions.LEASE)
    answers = await bench.batch(
        ("Stat", pb.StatRequest(path="/", read=lease)),
        ("List", pb.ListRequest(path="/", limit=10, read=lease)),
        ("Locate", pb.LocateRequest(path="/f", read=lease)),
        ("Stat", pb.StatRequest(path="/")),
    )
    assert [answer.HasField("freshness") for answer in answers] == [True, True, True, False]


async def test_reads_are_counted_one_by_one() -> None:
    bench = ServiceBench()

    def counted() -> float:
        sample = 'pydfs_namespace_reads_total{mode="linearizable"} '
        (line,) = [
            line for line in metrics().render().decode().splitlines() if line.startswith(sample)
        ]
        return float(line.removeprefix(sample))

    before = counted()
    await bench.batch(*[("Stat", pb.StatRequest(path="/"))] * 5)
    assert counted() - before == 5
