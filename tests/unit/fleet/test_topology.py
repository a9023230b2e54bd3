"""Racks as paths, and how well replicas are spread over them."""

from __future__ import annotations

import itertools

import pytest

from pydfsnode.fleet.topology import (
    DEFAULT,
    Spread,
    concentration,
    crowding,
    distance,
    domains,
    is_better,
    parse_rack,
    rack_path,
)
from pydfsnode.ids import rack_parts

R1, R2, R3 = ("dc1", "a", "r1"), ("dc1", "a", "r2"), ("dc1", "b", "r1")
FAR = ("dc2", "a", "r1")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "/default"), ("/", "/default"), ("default", "/default"), ("r7", "/r7"),
        ("/dc1/room2/rack-7.b_x", "/dc1/room2/rack-7.b_x"), ("/" + "/".join("abcdefgh"),) * 2,
    ],
)  # fmt: skip
def test_a_rack_is_a_path(text: str, path: str) -> None:
    assert rack_path(parse_rack(text)) == path
    assert parse_rack(path) == rack_parts(path) == rack_parts(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("//r1", "'' is no name"), ("/a/", "'' is no name"), ("/a b", "'a b' is no name"),
        ("/..", "'..' is no name"), ("/" + "x" * 65, "is no name"), ("/\u00e4", "is no name"),
        ("/a\n", "is no name"), ("/" + "/".join("abcdefghi"), "9 levels, 8"),
        ("/" + "x/" * 127 + "xx", "257 characters, 255"),
    ],
)  # fmt: skip
def test_what_is_no_rack_is_refused_and_counts_as_the_default(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rack_parts(text)
    assert parse_rack(text) == DEFAULT


def test_distance_is_steps_up_and_down() -> None:
    assert distance(R1, R1) == 0
    assert distance(R1, R2) == distance(R2, R1) == 2
    assert distance(R1, R3) == 4
    assert distance(R1, FAR) == 6
    assert distance(("dc1",), R1) == 2
    assert domains(R1) == [("dc1",), ("dc1", "a"), R1]


def test_crowding_counts_who_shares_each_domain_the_widest_first() -> None:
    assert crowding(R2, [R1, R3, FAR]) == (2, 1, 0, 0)
    assert crowding(R1, [R1]) == (1, 1, 1, 1)
    assert crowding(FAR, [R1, R2]) == (0, 0, 0, 0)
    assert crowding(("dc1",), [R1, ("dc1",)]) == (2, 1)


def test_the_widest_domain_decides_which_spread_is_better() -> None:
    assert concentration([R1, FAR]) == ()
    assert concentration([R1, R2]) == (1, 1)
    assert concentration([R1, R3]) == (1,)
    assert concentration([R1, R1, R2, FAR]) == (3, 3, 1, 1)
    assert is_better(concentration([R1, R3]), concentration([R1, R2]))
    assert is_better(concentration([R1, R1, FAR]), concentration([R1, R2, R3]))
    assert not is_better(concentration([R1, R3]), concentration([R2, R3]))


def test_moving_one_replica_to_where_fewer_are_always_makes_it_better() -> None:
    racks = [R1, R2, R3, FAR, ("dc2", "b", "r1")]
    for placed in itertools.product(racks, repeat=3):
        stay = list(placed[1:])
        best = min(racks, key=lambda rack, stay=stay: crowding(rack, stay))  # type: ignore[misc]
        after, before = concentration([*stay, best]), concentration(placed)
        assert after == before or is_better(after, before), (placed, best)


def test_a_best_spread_is_known_without_trying() -> None:
    two = Spread([("r1",), ("r2",)])
    assert two.is_best((("r1",), ("r2",)))
    assert two.is_best((("r1",), ("r2",), ("r1",)))
    assert not two.is_best((("r1",), ("r1",)))
    assert not two.is_best((("r1",), ("r1",), ("r1",), ("r2",)))
    deep = Spread([R1, R2, R3, FAR])
    assert deep.is_best((R1, R3, FAR))
    assert not deep.is_best((R1, R2, R3))
    assert not deep.is_best((R1, R2, FAR))
    assert Spread([]).is_best((R1,))
