"""Majorities of one and of two sets of voters against the definition, counted by brute force."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from pydfsnode.raft import quorum
from pydfsnode.raft.configuration import Configuration

MEMBERS = tuple(f"m{number}" for number in range(1, 10))
VOTERS = st.lists(st.sampled_from(MEMBERS), max_size=9, unique=True).map(sorted).map(tuple)
INDEXES = st.lists(st.integers(0, 12), min_size=9, max_size=9)


@cache
def majorities(voters: tuple[str, ...]) -> list[frozenset[str]]:
    """Every set of *voters* with more than half of them."""
    sizes = range(len(voters) // 2 + 1, len(voters) + 1)
    return [frozenset(chosen) for size in sizes for chosen in combinations(voters, size)]


def subsets(count: int) -> list[tuple[str, ...]]:
    return [c for size in range(count + 1) for c in combinations(MEMBERS[:count], size)]


def check_committed(
    voters: tuple[str, ...], outgoing: tuple[str, ...], held: dict[str, int]
) -> None:
    halves = [half for half in (voters, outgoing) if half] if voters else [voters]
    expected = min(
        max((min(held[m] for m in chosen) for chosen in majorities(half)), default=0)
        for half in halves
    )
    found = Configuration(voters, outgoing, ("m9",))
    assert quorum.joint_committed(found, held.__getitem__) == expected, (voters, outgoing, held)


def test_committed_in_every_small_configuration() -> None:  # traps B7, E4
    for voters, outgoing in product(subsets(4), repeat=2):
        for indexes in product(range(3), repeat=4):
            check_committed(voters, outgoing, dict(zip(MEMBERS[:4], indexes, strict=True)))


@given(VOTERS, VOTERS, INDEXES)
@settings(max_examples=1_000, deadline=None)
def test_committed_is_what_a_majority_of_each_set_holds(
    voters: tuple[str, ...], outgoing: tuple[str, ...], indexes: list[int]
) -> None:
    check_committed(voters, outgoing, dict(zip(MEMBERS, indexes, strict=True)))


def test_every_vote_in_every_small_configuration() -> None:  # traps A10, B7
    for voters, outgoing in product(subsets(5), repeat=2):
        for granted in subsets(5):
            votes = frozenset(granted)
            won = any(chosen <= votes for chosen in majorities(voters))
            if outgoing:
                won = won and any(chosen <= votes for chosen in majorities(outgoing))
            found = Configuration(voters, outgoing)
            assert quorum.joint_majority(found, votes.__contains__) == won, (found, votes)


def test_no_two_decisions_in_a_change_miss_each_other() -> None:
    """Raft §6: decisions of the old and of the joint configuration share a voter, so do those of
    the joint and of the final one.
    """
    sets = [chosen for chosen in subsets(5) if chosen]
    everybody = frozenset(MEMBERS[:5])
    for old, new in product(sets, repeat=2):
        joint = Configuration(old).joint_with(new, (), {})
        assert joint.is_joint == (old != new)
        assert joint.final() == Configuration(new)
        for deciding in (*majorities(old), *majorities(new)):
            others = everybody - deciding
            assert not quorum.joint_majority(joint, others.__contains__), (old, new, deciding)
