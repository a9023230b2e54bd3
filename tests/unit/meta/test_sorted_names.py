"""The kept order of a large directory."""

from __future__ import annotations

import random

from pydfsnode.meta.sorted_names import SortedNames


def test_it_equals_a_sorted_list_through_thousands_of_changes() -> None:
    rng = random.Random(5)
    names = {f"{rng.random()}" for _ in range(3000)}
    kept = SortedNames(names)
    for _ in range(6000):
        if rng.random() < 0.6 or not names:
            name = f"{rng.random()}"
            names.add(name)
            kept.add(name)
        else:
            name = rng.choice(sorted(names)) if rng.random() < 0.01 else next(iter(names))
            names.remove(name)
            kept.remove(name)
    ordered = sorted(names)
    assert kept.after("", len(names) + 1) == ordered
    for at in range(0, len(ordered), 97):
        assert kept.after(ordered[at], 5) == ordered[at + 1 : at + 6]


def test_it_grows_from_nothing_and_shrinks_to_nothing() -> None:
    kept = SortedNames([])
    names = [f"{n:05}" for n in range(5000)]
    for name in reversed(names):
        kept.add(name)
    assert kept.after("", 10_000) == names
    for name in names:
        kept.remove(name)
    assert kept.after("", 1) == []
    kept.add("x")
    assert kept.after("", 2) == ["x"]


def test_the_order_is_that_of_the_utf8_bytes() -> None:
    names = ["z", "é", "\U0001f600", "￿", "Z", "a"]
    assert SortedNames(names).after("", 9) == sorted(names, key=str.encode)


def test_a_page_may_start_after_a_name_that_is_gone() -> None:
    assert SortedNames(["a", "c", "e"]).after("b", 1) == ["c"]
