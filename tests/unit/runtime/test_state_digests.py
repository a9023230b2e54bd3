"""Masters that made different things of the same entries (INV-SAME)."""

from __future__ import annotations

import pytest

from pydfsnode.errors import StateDiverged
from pydfsnode.raft.configuration import Configuration
from pydfsnode.runtime.state_digests import KEPT_INDEXES_MAX, StateDigests

THREE = Configuration(("m1#01", "m2#02", "m3#03"))
TWO = Configuration(("m1#01", "m2#02"))
A, B, C = (b"\2" + letter * 15 for letter in (b"a", b"b", b"c"))


def test_equal_digests_are_no_news() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m1#01")
    digests.heard("m2#02", 1024, A, THREE, "m1#01")
    digests.heard("m3#03", 1024, A, THREE, "m1#01")


def test_who_differs_from_a_majority_stops_and_names_it() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m2#02")
    digests.heard("m2#02", 1024, B, THREE, "m2#02")
    with pytest.raises(StateDiverged, match=r"entry 1024 differs from that of m2, m3"):
        digests.heard("m3#03", 1024, B, THREE, "m2#02")


def test_a_slow_master_compares_with_what_it_heard_before() -> None:
    digests = StateDigests("m1#01")
    digests.heard("m2#02", 1024, B, THREE, "m2#02")
    digests.heard("m3#03", 1024, B, THREE, "m2#02")
    with pytest.raises(StateDiverged):
        digests.own(1024, A, THREE, "m2#02")


def test_the_majority_goes_on() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m1#01")
    digests.heard("m2#02", 1024, A, THREE, "m1#01")
    digests.heard("m3#03", 1024, B, THREE, "m1#01")


def test_three_different_ones_decide_nothing() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m1#01")
    digests.heard("m2#02", 1024, B, THREE, "m1#01")
    digests.heard("m3#03", 1024, C, THREE, "m1#01")


def test_a_learner_outvotes_nobody() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m1#01")
    digests.heard("m2#02", 1024, B, THREE, "m1#01")
    digests.heard("m9#09", 1024, B, THREE, "m1#01")


def test_of_two_masters_the_follower_stops() -> None:
    leader, follower = StateDigests("m1#01"), StateDigests("m2#02")
    leader.own(1024, A, TWO, "m1#01")
    leader.heard("m2#02", 1024, B, TWO, "m1#01")
    follower.own(1024, B, TWO, "m1#01")
    with pytest.raises(StateDiverged):
        follower.heard("m1#01", 1024, A, TWO, "m1#01")


def test_masters_whose_digests_hold_other_things_are_not_compared() -> None:
    digests = StateDigests("m1#01")
    digests.own(1024, A, THREE, "m2#02")
    digests.heard("m2#02", 1024, b"\3" + B[1:], THREE, "m2#02")
    digests.heard("m3#03", 1024, b"\3" + B[1:], THREE, "m2#02")
    digests.own(2048, A, TWO, "m2#02")
    digests.heard("m2#02", 2048, b"\3" + B[1:], TWO, "m2#02")


def test_old_indexes_are_forgotten() -> None:
    digests = StateDigests("m1#01")
    for step in range(1, 10 * KEPT_INDEXES_MAX):
        digests.heard("m2#02", step * 1024, A, THREE, "m1#01")
    assert len(digests._heard) == KEPT_INDEXES_MAX
