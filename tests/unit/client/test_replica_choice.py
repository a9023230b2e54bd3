"""ReplicaChoice: near, quick and well servers first, and every one of them is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pydfsnode.client import replica_choice
from pydfsnode.client.model import Replica
from pydfsnode.client.replica_choice import FRESH_MS, SMALL_BYTES, SUSPECT_MS, ReplicaChoice
from pydfsnode.limits import MIB

A, B, C = (
    Replica("a", "a:1", "/dc1/r1"), Replica("b", "b:1", "/dc1/r2"), Replica("c", "c:1", "/dc2/r1")
)  # fmt: skip
ALL = (A, B, C)


class Time:
    """Milliseconds, set by hand."""

    now_ms = 1000.0

    def __call__(self) -> float:
        return self.now_ms


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def choose(time: Time) -> Callable[..., ReplicaChoice]:
    def make(rack: str = "", chance: Callable[[], float] = lambda: 1.0) -> ReplicaChoice:
        return ReplicaChoice(rack, time, chance)

    return make


@pytest.fixture
def choice(choose: Callable[..., ReplicaChoice]) -> ReplicaChoice:
    return choose()


def first(choice: ReplicaChoice, length: int = 4096, replicas: tuple[Replica, ...] = ALL) -> str:
    return choice.in_order(replicas, length)[0].node_id


def names(choice: ReplicaChoice, length: int = 4096) -> str:
    return "".join(replica.node_id for replica in choice.in_order(ALL, length))


def measured(choice: ReplicaChoice, length: int = 4096, **first_ms: float) -> None:
    for replica in ALL:
        if replica.node_id in first_ms:
            choice.record(replica).first_packet(length, first_ms[replica.node_id])


def test_the_masters_order_is_kept_where_nothing_is_known(choice: ReplicaChoice) -> None:
    assert names(choice) == "abc"
    assert choice.in_order((C, A), 10) == [C, A]
    assert choice.in_order((), 10) == []


@pytest.mark.parametrize(
    ("rack", "order"),
    [("/dc1/r2", "bac"), ("/dc2/r1", "cab"), ("/dc1/r9", "abc"), ("/dc2/r7", "cab"), ("", "abc")],
)
def test_near_replicas_come_first(
    choose: Callable[..., ReplicaChoice], rack: str, order: str
) -> None:
    assert names(choose(rack)) == order


def test_a_server_that_moved_is_as_far_as_its_new_rack(
    choose: Callable[..., ReplicaChoice],
) -> None:
    choice = choose("/dc1/r2")
    assert names(choice) == "bac"
    moved = Replica("b", "b:1", "/dc2/r5")
    assert [replica.node_id for replica in choice.in_order((moved, A), 1)] == ["a", "b"]


def test_the_quicker_server_comes_first_but_small_differences_do_not_count(
    choice: ReplicaChoice,
) -> None:
    measured(choice, a=2.0, b=1.9, c=1.0)
    assert names(choice) == "cba"
    measured(choice, c=7.0)
    assert names(choice) == "abc", "1.9 to 2.2 ms are alike: the masters' order"


def test_times_of_small_and_large_reads_are_apart(choice: ReplicaChoice) -> None:
    measured(choice, a=1.0, b=2.0, c=2.0)
    measured(choice, SMALL_BYTES + 1, a=30.0, b=8.0, c=30.0)
    assert first(choice, SMALL_BYTES) == "a"
    assert first(choice, 4 * MIB) == "b"


def test_reads_under_way_send_the_next_one_elsewhere(choice: ReplicaChoice) -> None:
    asked = []
    for _ in range(6):
        replica = choice.in_order(ALL, 4 * MIB)[0]
        choice.record(replica).began(4 * MIB)
        asked.append(replica.node_id)
    assert asked == ["a", "b", "c", "a", "b", "c"]
    choice.record(B).ended(4 * MIB)
    assert first(choice, 4 * MIB) == "b"


def test_a_server_with_less_throughput_gets_less(choice: ReplicaChoice) -> None:
    measured(choice, 4 * MIB, a=1.0, b=1.0, c=1.0)
    for replica, took_ms in ((A, 80.0), (B, 10.0), (C, 10.0)):
        choice.record(replica).rest(3 * MIB, took_ms)
    asked = []
    for _ in range(10):
        replica = choice.in_order(ALL, 4 * MIB)[0]
        choice.record(replica).began(4 * MIB)
        asked.append(replica.node_id)
    assert asked.count("a") <= 1


def test_a_quick_server_with_much_under_way_is_relieved_by_slower_ones(
    choice: ReplicaChoice,
) -> None:
    measured(choice, a=1.0, b=2.0, c=3.9)
    asked = ""
    for _ in range(8):
        asked += first(choice)
        choice.record({"a": A, "b": B, "c": C}[asked[-1]]).began(4096)
    assert asked.count("a") > asked.count("b") > asked.count("c") == 1


def test_an_old_throughput_is_forgotten_too(choice: ReplicaChoice, time: Time) -> None:
    measured(choice, 4 * MIB, a=1.0, b=1.0, c=1.0)
    choice.record(A).rest(3 * MIB, 80.0)
    assert names(choice, 4 * MIB) == "bca"
    time.now_ms += FRESH_MS + 1
    assert names(choice, 4 * MIB) == "abc"


def test_a_slow_server_comes_after_the_others_though_it_is_near(
    choose: Callable[..., ReplicaChoice],
) -> None:
    choice = choose("/dc1/r1")
    measured(choice, a=3.0, b=1.0, c=1.0)
    assert names(choice) == "abc", "three times as slow, but near"
    measured(choice, a=30.0)
    assert names(choice) == "bca"


def test_a_failed_server_is_asked_last_until_it_is_forgiven(
    choose: Callable[..., ReplicaChoice], time: Time
) -> None:
    choice = choose("/dc1/r1")
    choice.record(A).failed()
    assert names(choice) == "bca"
    time.now_ms += SUSPECT_MS - 1
    assert names(choice) == "bca"
    time.now_ms += 2
    assert names(choice) == "abc"


def test_who_fails_often_is_suspected_longer_but_not_for_ever(
    choice: ReplicaChoice, time: Time
) -> None:
    for _ in range(100):
        choice.record(A).failed()
    time.now_ms += SUSPECT_MS + 1
    assert names(choice) == "bca"
    time.now_ms += SUSPECT_MS + 1
    assert names(choice) == "abc"


def test_when_all_failed_the_one_that_failed_least_is_first(
    choice: ReplicaChoice, time: Time
) -> None:
    for replica in (A, A, B, C, C):
        choice.record(replica).failed()
    assert names(choice)[0] == "b"
    assert len(names(choice)) == 3


def test_an_old_experience_is_forgotten(choice: ReplicaChoice, time: Time) -> None:
    measured(choice, a=100.0, b=1.0, c=1.0)
    assert names(choice) == "bca"
    time.now_ms += FRESH_MS + 1
    assert names(choice) == "abc"


def test_now_and_then_another_is_asked_and_the_same_chances_ask_the_same(
    choose: Callable[..., ReplicaChoice],
) -> None:
    def asked(seed: int) -> str:
        choice = choose(chance=random.Random(seed).random)
        measured(choice, a=1.0, b=2.0, c=2.0)
        return "".join(first(choice) for _ in range(1000))

    assert asked(1) == asked(1) != asked(2)
    assert 5 <= asked(1).count("b") <= 50
    assert asked(1).count("a") + asked(1).count("b") == 1000


def test_failed_servers_are_not_explored(choose: Callable[..., ReplicaChoice]) -> None:
    choice = choose(chance=lambda: 0.0)
    assert first(choice) == "b"
    choice.record(B).failed()
    choice.record(C).failed()
    assert first(choice) == "a"


def test_the_table_is_bounded_and_forgets_who_was_not_read_from(
    choice: ReplicaChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_choice, "SERVERS_MAX", 10)
    measured(choice, a=100.0)
    held = choice.record(A)
    for number in range(50):
        if number % 5 == 0:
            choice.record(C).failed()
        choice.record(Replica(f"n{number}", "x"))
    assert len(choice) == 10
    assert choice.record(C).failures(1000.0), "it was used again and again"
    held.ended(0)  # of a read that still ran
    assert choice.record(A) is not held
