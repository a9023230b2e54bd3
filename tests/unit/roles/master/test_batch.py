"""Several calls in one message: each item has its own rights, answer or error, and its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pydfsnode import limits
from pydfsnode.errors import (
    AccessDenied,
    InvalidArgument,
    InvariantViolation,
    MalformedMessage,
    MessageTooLarge,
    NotFound,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    ReadOnly,
    UnknownMethod,
)
from pydfsnode.roles.master.callers import Callers
from pydfsnode.roles.master.consensus import Consensus
from pydfsnode.roles.master.service.batch import Batching
from pydfsnode.roles.master.service.batch_items import ANSWER_BYTES_MAX, BatchWay
from pydfsnode.roles.master.service.namespace import SERVICE
from pydfsnode.roles.master.service.quick import WEIGHT_MAX, Quick, QuickRead
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.pb import dfs_pb2 as pb
from pydfsnode.rpc.server_call import SteppedCall
from pydfsnode.runtime.clock import ManualClock
from pydfsnode.runtime.turns import SLICE_S, Turns
from pydfsnode.security.identity import Identity
from tests.unit.roles.master.service_bench import BOB, ServiceBench, item_of

CHUNKSERVER = Identity("testcluster", "chunkserver", "c1")
STAT = ("Stat", pb.StatRequest(path="/"))


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench()


def mkdirs(bench: ServiceBench, path: str) -> tuple[str, Any]:
    return "Mkdirs", pb.MkdirsRequest(op=bench.op(), path=path)


def create(bench: ServiceBench, path: str) -> tuple[str, Any]:
    return "Create", pb.CreateRequest(op=bench.op(), path=path, content=b"content")


def kinds(answers: list[Any]) -> list[type]:
    return [type(answer) for answer in answers]


async def soon(condition: Callable[[], bool]) -> None:
    for _ in range(20):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to pass")


# ---- each item is a call of its own


async def test_changes_and_questions_of_all_kinds_are_answered_in_their_order(
    bench: ServiceBench,
) -> None:
    await bench.batch(mkdirs(bench, "/e"))
    answers = await bench.batch(
        create(bench, "/f"),
        ("SetMode", pb.SetModeRequest(op=bench.op(), path="/f", mode=0o600)),
        STAT,
        ("Stat", pb.StatRequest(path="/f")),
        ("GetAcl", pb.GetAclRequest(path="/f")),
        ("Delete", pb.DeleteRequest(op=bench.op(), path="/e")),
    )
    assert kinds(answers) == [
        pb.CreateResponse, pb.SetModeResponse, pb.StatResponse, pb.StatResponse, pb.GetAclResponse,
        pb.DeleteResponse,
    ]  # fmt: skip
    assert answers[0].status.path == "/f"
    assert answers[1].status.mode == 0o600
    assert answers[2].status.path == "/"
    assert answers[3].status.mode == 0o600, "reads are made when all changes are"
    assert answers[5].inodes == 1
    assert await bench.batch() == []


async def test_an_error_is_one_items_only_and_says_all(bench: ServiceBench) -> None:
    answers = await bench.batch(
        mkdirs(bench, "/d"),
        ("Delete", pb.DeleteRequest(op=bench.op(), path="/missing")),
        ("Stat", pb.StatRequest(path="/gone")),
        ("Rename", pb.RenameRequest(source="/d", destination="/e")),
        ("Stat", b"\xff"),
        ("Mkdirs", b"\xff"),
        ("List", b"\xff"),
        ("SetMode", b"\xff"),
        STAT,
    )
    assert kinds(answers) == [
        pb.MkdirsResponse, NotFound, NotFound, InvalidArgument, MalformedMessage, MalformedMessage,
        MalformedMessage, MalformedMessage, pb.StatResponse,
    ]  # fmt: skip
    assert [answers[at].fields["path"] for at in (1, 2)] == ["/missing", "/gone"]


async def test_a_change_asked_again_gets_its_first_answer(bench: ServiceBench) -> None:
    asked = create(bench, "/f")
    first, again = await bench.batch(asked, asked)
    (later,) = await bench.batch(asked)
    assert first == again == later


async def test_methods_that_cannot_be_batched_are_refused_by_themselves(
    bench: ServiceBench,
) -> None:
    answers = await bench.batch(("Format", b""), ("Batch", pb.BatchRequest()), ("", b""), STAT)
    assert kinds(answers) == [UnknownMethod] * 3 + [pb.StatResponse]
    assert "'Format'" in answers[0].message


async def test_each_item_needs_the_rights_that_it_needs_alone(bench: ServiceBench) -> None:
    answers = await bench.batch(mkdirs(bench, "/d"), STAT, identity=CHUNKSERVER)
    assert kinds(answers) == [UnknownMethod] * 2
    assert bench.driver.payloads == []
    answers = await bench.batch(mkdirs(bench, "/d"), STAT, identity=BOB)
    assert kinds(answers) == [AccessDenied, pb.StatResponse]
    await bench.batch(("SetMode", pb.SetModeRequest(op=bench.op(), path="/", mode=0o700)))
    (answer,) = await bench.batch(("Stat", pb.StatRequest(path="/x")), identity=BOB)
    assert isinstance(answer, AccessDenied)


async def test_too_many_items_are_refused_whole(bench: ServiceBench) -> None:
    asked = [mkdirs(bench, f"/{number}") for number in range(limits.BATCH_ITEMS_MAX + 1)]
    with pytest.raises(InvalidArgument, match=str(limits.BATCH_ITEMS_MAX)):
        await bench.batch(*asked)
    assert bench.driver.payloads == []
    assert len(await bench.batch(*asked[1:])) == limits.BATCH_ITEMS_MAX


@pytest.mark.parametrize("limit", [100, 0], ids=["quick", "handler"])
async def test_an_answer_too_large_is_to_be_asked_for_alone(
    bench: ServiceBench, limit: int
) -> None:
    for start in (0, 50):
        await bench.batch(*[create(bench, f"/{start + at}" + "x" * 240) for at in range(50)])
    listing = pb.ListRequest(path="/", limit=limit)
    answers = await bench.batch(("List", listing), STAT)
    assert kinds(answers) == [MessageTooLarge, pb.StatResponse]
    assert len(await bench.ask("List", listing)) > ANSWER_BYTES_MAX


# ---- one wait for all


async def test_all_reads_of_a_message_share_one_barrier(bench: ServiceBench) -> None:
    bench.driver.at_once = False
    batch = asyncio.ensure_future(bench.batch(STAT, mkdirs(bench, "/d"), STAT, STAT))
    await soon(lambda: bool(bench.driver.waiting))
    assert bench.driver.reads == [3], "it counts as three, and is asked for before the wait"
    bench.driver.apply()
    bench.driver.confirm()
    answers = await batch
    assert [answers[at].status.child_count for at in (0, 2, 3)] == [1, 1, 1]


async def test_reads_that_cannot_be_confirmed_fail_and_changes_do_not(bench: ServiceBench) -> None:
    bench.driver.at_once = False
    batch = asyncio.ensure_future(bench.batch(STAT, mkdirs(bench, "/d"), STAT))
    await soon(lambda: bool(bench.driver.waiting))
    bench.driver.barriers[0].set_exception(NotLeader("m2 leads", leader_hint="m2=h:1"))
    bench.driver.apply()
    answers = await batch
    assert kinds(answers) == [NotLeader, pb.MkdirsResponse, NotLeader]
    assert answers[0].fields["leader_hint"] == "m2=h:1"


async def test_who_does_not_lead_says_so_to_each(bench: ServiceBench) -> None:
    bench.driver.is_leader = False
    answers = await bench.batch(mkdirs(bench, "/d"), STAT, ("GetAcl", pb.GetAclRequest(path="/")))
    assert kinds(answers) == [NotLeader] * 3
    assert {answer.fields["leader_hint"] for answer in answers} == {"m2=h:1"}


async def test_what_the_log_refuses_fails_one_by_one(bench: ServiceBench) -> None:
    bench.driver.refusal = Overloaded("too many wait", retry_after_ms=50)
    answers = await bench.batch(mkdirs(bench, "/d"), STAT)
    assert kinds(answers) == [Overloaded, pb.StatResponse]
    assert answers[0].fields["retry_after_ms"] == "50"


async def test_an_unknown_outcome_is_its_items_only(bench: ServiceBench) -> None:
    bench.driver.at_once = False
    batch = asyncio.ensure_future(bench.batch(mkdirs(bench, "/d"), mkdirs(bench, "/e")))
    await soon(lambda: len(bench.driver.waiting) == 2)
    bench.driver.waiting[0].set_exception(OutcomeUnknown("the leader changed"))
    bench.driver.apply()
    assert kinds(await batch) == [OutcomeUnknown, pb.MkdirsResponse]


async def test_a_read_only_leader_answers_what_is_asked(bench: ServiceBench) -> None:
    driver: Any = bench.driver
    consensus = Consensus(driver, bench.namespace, ManualClock(), read_only=True)
    way = BatchWay(consensus, Callers(), Turns(), consensus.leader_barrier)
    batching = Batching(bench.handlers, bench.service._quick, way)
    items = [item_of(*mkdirs(bench, "/d")), item_of(*STAT)]
    encoded: Any = await batching.batch(pb.BatchRequest(items=items), bench.call())
    answers = encoded.message().answers
    assert pb.ErrorInfo.FromString(answers[0].error).code == ReadOnly.code
    assert answers[1].response


# ---- callers that leave, and bugs


class Handlers:
    """Two handlers beside the service's: one that waits and one that does what it is told."""

    def __init__(self, bench: ServiceBench) -> None:
        self.bench = bench
        self.ended: list[str] = []
        self.error: Exception = ZeroDivisionError()
        self.never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handlers = {
            **bench.handlers,
            f"{SERVICE}SetMode": self.wait,
            f"{SERVICE}SetOwner": self.fail,
        }
        way = BatchWay(bench.consensus, Callers(), Turns(), bench.consensus.leader_barrier)
        self.batching = Batching(handlers, bench.service._quick, way)

    async def wait(self, request: pb.SetModeRequest, call: CallContext) -> pb.SetModeResponse:
        try:
            await self.never
        finally:
            self.ended.append(request.path)
        return pb.SetModeResponse()

    async def fail(self, request: pb.SetOwnerRequest, call: CallContext) -> pb.SetOwnerResponse:
        await self.bench.consensus.leader_barrier()
        raise self.error

    def begin(self, *asked: tuple[str, Any]) -> asyncio.Future[Any]:
        request = pb.BatchRequest(items=[item_of(*one) for one in asked])
        return asyncio.ensure_future(self.batching.batch(request, self.bench.call()))


@pytest.fixture
async def handlers(bench: ServiceBench) -> Handlers:
    return Handlers(bench)


WAITS = [("SetMode", pb.SetModeRequest(path=path)) for path in ("/1", "/2")]
FAILS = ("SetOwner", pb.SetOwnerRequest())


@pytest.mark.parametrize("first", ["change", "read", "handler"])
async def test_a_call_that_is_cancelled_ends_all_that_waits(handlers: Handlers, first: str) -> None:
    """As the framed transport runs it: without a task, whose future alone is cancelled."""
    bench = handlers.bench
    bench.driver.at_once = False
    asked = {"change": [mkdirs(bench, "/d"), STAT], "read": [STAT], "handler": []}[first]
    ended: list[type[BaseException]] = []

    async def serve() -> None:
        request = pb.BatchRequest(items=[item_of(*one) for one in [*asked, *WAITS]])
        try:
            await handlers.batching.batch(request, bench.call())
        except asyncio.CancelledError as error:
            ended.append(type(error))

    call: Any = SimpleNamespace(connection=SimpleNamespace(loop=asyncio.get_running_loop()))
    stepped = SteppedCall(call, serve())
    stepped.start()
    assert not handlers.ended
    stepped.cancel()
    await soon(lambda: bool(ended))
    assert handlers.ended == ["/1", "/2"]
    bench.driver.apply()
    bench.driver.confirm()


@pytest.mark.parametrize("first", ["change", "read", "handler"])
async def test_a_caller_that_leaves_ends_all_that_waits(handlers: Handlers, first: str) -> None:
    bench = handlers.bench
    bench.driver.at_once = False
    asked = {"change": [mkdirs(bench, "/d"), STAT], "read": [STAT], "handler": []}[first]
    batch = handlers.begin(*asked, *WAITS)
    await asyncio.sleep(0)
    assert not handlers.ended
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert handlers.ended == ["/1", "/2"]
    bench.driver.apply()
    bench.driver.confirm()


async def test_what_was_proposed_for_a_caller_that_left_takes_effect_or_not_but_disturbs_nobody(
    handlers: Handlers,
) -> None:
    bench = handlers.bench
    bench.driver.at_once = False
    batch = handlers.begin(mkdirs(bench, "/d"), mkdirs(bench, "/e"))
    await asyncio.sleep(0)
    batch.cancel()
    await asyncio.wait([batch])
    bench.driver.apply()
    bench.driver.at_once = True
    (answer,) = await bench.batch(STAT)
    assert answer.status.child_count == 2


@pytest.mark.parametrize("error", [ZeroDivisionError(), InvariantViolation("broken")])
async def test_a_bug_in_a_handler_fails_the_message_and_ends_the_others(
    handlers: Handlers, error: Exception
) -> None:
    """The connection logs it and says "internal error"; a broken promise stops the node."""
    handlers.error = error
    batch = handlers.begin(WAITS[0], FAILS, WAITS[1])
    await soon(batch.done)
    with pytest.raises(type(error)):
        await batch
    assert handlers.ended == ["/1"], "the other one had not begun"


async def test_a_bug_that_shows_after_the_wait_fails_the_message_as_well(
    handlers: Handlers,
) -> None:
    handlers.bench.driver.at_once = False
    batch = handlers.begin(FAILS, *WAITS)
    await asyncio.sleep(0)
    handlers.bench.driver.confirm()
    with pytest.raises(ZeroDivisionError):
        await batch
    assert handlers.ended == ["/1", "/2"]


async def test_a_broken_promise_of_a_quick_way_stops_the_node_too(
    bench: ServiceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.driver, "propose", lambda *_: done("no outcome at all"))
    with pytest.raises(InvariantViolation, match="FileView was answered with 'no outcome"):
        await bench.batch(mkdirs(bench, "/d"), STAT)


def done(value: object) -> asyncio.Future[object]:
    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    future.set_result(value)
    return future


# ---- turns


class Busy:
    """Reads that take `cost_s` each; `order` is whose they were."""

    def __init__(self, bench: ServiceBench, cost_s: float, weight: int) -> None:
        self.now_s = 0.0
        self.cost_s = cost_s
        self.order: list[str] = []
        self.call = bench.call
        quick = Quick(reads={"Stat": QuickRead(lambda request: request, self.answer, weight)})
        turns = Turns(lambda: self.now_s)
        way = BatchWay(bench.consensus, Callers(), turns, bench.consensus.leader_barrier)
        self.batching = Batching(bench.handlers, quick, way)

    def answer(self, _namespace: object, request: bytes, _caller: object) -> bytes:
        self.now_s += self.cost_s
        self.order.append(request.decode())
        return b""

    async def ask(self, peer: str, count: int) -> None:
        request = pb.BatchRequest(items=[item_of("Stat", peer.encode())] * count)
        await self.batching.batch(request, self.call(peer=peer))


async def test_who_asks_much_lets_others_have_their_turn_between_items(
    bench: ServiceBench,
) -> None:
    busy = Busy(bench, SLICE_S, WEIGHT_MAX)
    many, few = (
        asyncio.ensure_future(busy.ask("many", 20)),
        asyncio.ensure_future(busy.ask("few", 2)),
    )
    await few
    assert not many.done()
    assert busy.order.index("few") <= 2
    await many
    assert busy.order.count("many") == 20


async def test_short_items_are_answered_some_at_a_time(bench: ServiceBench) -> None:
    busy = Busy(bench, SLICE_S / WEIGHT_MAX, 1)
    many, few = (
        asyncio.ensure_future(busy.ask("many", 60)),
        asyncio.ensure_future(busy.ask("few", 2)),
    )
    await few
    assert not many.done()
    assert busy.order.index("few") <= 2 * WEIGHT_MAX
    await many
