"""The checker of histories, on histories known to be good and known to be bad."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.linearizability import UNKNOWN, Names, Operation, Undecided, is_linearizable

Event = tuple[tuple[Any, ...], Any, float, float]
NEVER = float("inf")


def history(*events: Event) -> list[Operation]:
    return [Operation(call, called, returned, result) for call, result, called, returned in events]


def create(owner: str, result: Any, called: float, returned: float, name: str = "a") -> Event:
    return ("create", name, owner), result, called, returned


def stat(owner: Any, called: float, returned: float, name: str = "a") -> Event:
    return ("stat", name), owner, called, returned


def delete(result: Any, called: float, returned: float, name: str = "a") -> Event:
    return ("delete", name), result, called, returned


def rename(source: str, to: str, result: Any, called: float, returned: float) -> Event:
    return ("rename", source, to), result, called, returned


def mkdir(owner: str, result: Any, called: float, returned: float) -> Event:
    return ("mkdir", "a", owner), result, called, returned


GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "one after the other": history(
        stat(None, 1, 2), create("x", "ok", 3, 4), stat("x", 5, 6), delete("ok", 7, 8),
        stat(None, 9, 10),
    ),
    "a read beside a write sees it": history(create("x", "ok", 1, 10), stat("x", 2, 3)),
    "a read beside a write does not see it": history(create("x", "ok", 1, 10), stat(None, 2, 3)),
    "equal moments overlap": history(create("x", "ok", 1, 2), stat(None, 2, 3)),
    "of two creates at once one wins": history(
        create("x", "ok", 1, 10), create("y", "exists", 2, 9), stat("x", 11, 12)
    ),
    "an unknown write that happened": history(create("x", UNKNOWN, 1, NEVER), stat("x", 5, 6)),
    "an unknown write that never happened": history(
        create("x", UNKNOWN, 1, NEVER), stat(None, 5, 6), stat(None, 7, 8)
    ),
    "an unknown write that happened late": history(
        create("x", UNKNOWN, 1, NEVER), stat(None, 5, 6), create("y", "ok", 7, 8),
        delete("ok", 9, 10), stat("x", 11, 12),
    ),
    "an unknown delete between two creates": history(
        create("x", "ok", 1, 2), delete(UNKNOWN, 3, NEVER), create("y", "ok", 5, 6),
        stat("y", 7, 8),
    ),
    "a rename moves the owner": history(
        create("x", "ok", 1, 2), rename("a", "b", "ok", 3, 4), stat(None, 5, 6),
        stat("x", 7, 8, "b"),
    ),
    "a rename onto itself changes nothing": history(
        create("x", "ok", 1, 2), rename("a", "a", "ok", 3, 4), stat("x", 5, 6)
    ),
    "mkdir of what is there gives its first owner": history(
        mkdir("x", "x", 1, 2), mkdir("y", "x", 3, 4), delete("ok", 5, 6)
    ),
    "reads of many clients see a write in its order": history(
        create("x", "ok", 1, 20), stat(None, 2, 3), stat("x", 4, 9), stat("x", 10, 11),
        stat("x", 5, 12),
    ),
}  # fmt: skip

BAD: dict[str, list[Operation]] = {
    "stale read": history(create("x", "ok", 1, 2), stat(None, 3, 4)),
    "lost write": history(create("x", "ok", 1, 2), create("y", "ok", 3, 4)),
    "read of what nobody wrote": history(stat("x", 1, 2)),
    "read before the write began": history(stat("x", 1, 2), create("x", "ok", 3, 4)),
    "double apply": history(
        create("x", "ok", 1, 2), delete("ok", 3, 4), stat("x", 5, 6)
    ),
    "a delete that took effect twice": history(
        create("x", "ok", 1, 2), delete("ok", 3, 4), delete("ok", 5, 6)
    ),
    "both of two creates at once won": history(
        create("x", "ok", 1, 10), create("y", "ok", 2, 9)
    ),
    "two reads that disagree on the order": history(
        create("x", "ok", 1, 20), stat("x", 2, 3), stat(None, 4, 5)
    ),
    "an unknown write that came and went": history(
        create("x", UNKNOWN, 1, NEVER), stat("x", 2, 3), stat(None, 4, 5)
    ),
    "an unknown write that happened twice": history(
        create("x", UNKNOWN, 1, NEVER), stat("x", 2, 3), delete("ok", 4, 5), stat("x", 6, 7)
    ),
    "a refusal without a reason": history(create("x", "exists", 1, 2)),
    "absent though it was there all the time": history(
        create("x", "ok", 1, 2), delete("absent", 3, 4), stat("x", 5, 6)
    ),
    "a rename that left a copy behind": history(
        create("x", "ok", 1, 2), rename("a", "b", "ok", 3, 4), stat("x", 5, 6)
    ),
    "a rename that lost the file": history(
        create("x", "ok", 1, 2), rename("a", "b", "ok", 3, 4), stat(None, 5, 6, "b")
    ),
    "mkdir that replaced a directory": history(mkdir("x", "x", 1, 2), mkdir("y", "y", 3, 4)),
    "a follower that lags behind what its client wrote": history(
        create("x", "ok", 1, 2), delete("ok", 3, 4), create("y", "ok", 5, 6), stat("x", 7, 8)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_accepted(name: str) -> None:
    assert is_linearizable(GOOD[name], Names())


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found(name: str) -> None:
    assert not is_linearizable(BAD[name], Names())


def test_the_order_of_the_list_does_not_matter() -> None:
    assert all(is_linearizable(operations[::-1], Names()) for operations in GOOD.values())
    assert not any(is_linearizable(operations[::-1], Names()) for operations in BAD.values())


def test_a_long_history_of_one_client_is_checked_in_linear_time() -> None:
    events: list[Event] = []
    for moment in range(0, 12_000, 4):
        events.append(create(f"u{moment}", "ok", moment, moment + 1))
        events.append(delete("ok", moment + 2, moment + 3))
    assert is_linearizable(history(*events), Names(), steps_max=30_000)


def test_a_search_that_grows_too_large_says_so() -> None:
    unknown = [create(f"u{i}", UNKNOWN, i, NEVER, f"n{i}") for i in range(20)]
    with pytest.raises(Undecided):
        is_linearizable(history(*unknown, stat("nobody", 30, 31)), Names(), steps_max=5_000)
