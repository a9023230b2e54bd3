"""Consistency: what people write, and what it means for who may answer."""

from __future__ import annotations

import pytest

from pydfsnode.client.consistency import LINEARIZABLE, Consistency
from pydfsnode.client.model import Freshness
from pydfsnode.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "any_master", "may_miss"),
    [
        ("linearizable", False, False),
        ("lease", False, False),
        ("follower", True, False),
        ("bounded:500", True, True),
        ("stale", True, True),
    ],
)
def test_each_mode_is_read_and_written(text: str, any_master: bool, may_miss: bool) -> None:
    found = Consistency.parse(text)
    assert str(found) == text
    assert (found.any_master, found.may_miss) == (any_master, may_miss)
    assert Consistency.of(text) == Consistency.of(found) == found


def test_nothing_given_stays_nothing_and_linearizable_is_the_plain_one() -> None:
    assert Consistency.of(None) is None
    assert Consistency.parse("linearizable") == LINEARIZABLE
    assert Consistency.parse("bounded:500").max_staleness_ms == 500


@pytest.mark.parametrize(
    "text",
    ["", "Linearizable", "bounded", "bounded:", "bounded:x", "bounded:-1", "bounded:1.5", "stale "],
)
def test_anything_else_is_refused_with_the_value_and_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Consistency.parse(text)
    assert f"'{text}'" in refused.value.message
    assert "linearizable, lease, bounded:MS" in refused.value.message


@pytest.mark.parametrize("text", ["bounded:0", "bounded:3600001", "bounded:999999999"])
def test_a_bound_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not in 1\.\.3600000"):
        Consistency.parse(text)


def test_the_staler_label_is_the_one_that_promises_less() -> None:
    fresh, old = Freshness(False, 10, "m1"), Freshness(False, 90, "m2")
    unknown, plain = Freshness(False, -1, "m3"), Freshness(True, 0, "m1")
    assert old.staler_than(fresh)
    assert unknown.staler_than(old)
    assert not old.staler_than(unknown)
    assert not fresh.staler_than(old)
    assert fresh.staler_than(None)
    assert not plain.staler_than(None)
    assert [label.may_miss for label in (fresh, unknown, plain)] == [True, True, False]
