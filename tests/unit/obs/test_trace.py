"""W3C trace context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydfsnode.obs.trace import (
    TraceContext,
    continue_or_start,
    parse_traceparent,
    start_trace,
)

EXAMPLE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # of the standard


def test_the_standards_example_is_read_and_written_back() -> None:
    context = parse_traceparent(EXAMPLE)
    expected = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
    assert context == expected
    assert str(context) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        EXAMPLE.upper(),
        EXAMPLE[:-1],
        EXAMPLE + "-extra",
        EXAMPLE + "\n",
        "ff" + EXAMPLE[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        EXAMPLE.replace("1", "١"),
    ],
)
def test_a_malformed_value_is_ignored(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_later_version_is_read_as_version_00() -> None:
    assert parse_traceparent("01" + EXAMPLE[2:] + "-more") == parse_traceparent(EXAMPLE)


def test_a_child_keeps_trace_and_flags_and_gets_its_own_span() -> None:
    parent = TraceContext("a" * 32, "b" * 16, 0)
    child = parent.child(bytes(range(8)))
    assert child == TraceContext("a" * 32, "0001020304050607", 0)


def test_all_zero_random_bytes_do_not_make_an_invalid_id() -> None:
    assert parse_traceparent(str(start_trace(bytes(24)))) is not None
    assert parse_traceparent(str(TraceContext("a" * 32, "b" * 16).child(bytes(8)))) is not None


def test_too_few_random_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="8 random bytes are needed, 7"):
        TraceContext("a" * 32, "b" * 16).child(bytes(7))
    with pytest.raises(ValueError, match="8 random bytes are needed, 0"):
        start_trace(bytes(16))


def test_a_request_without_a_usable_parent_starts_a_trace() -> None:
    random = bytes(range(1, 25))
    assert continue_or_start("", random) == start_trace(random)
    assert continue_or_start(EXAMPLE, random).trace_id == EXAMPLE[3:35]
    assert continue_or_start(EXAMPLE, random).span_id == random[16:].hex()


@given(st.binary(min_size=24, max_size=24), st.integers(0, 255))
def test_what_is_written_is_read_back(random: bytes, flags: int) -> None:
    context = start_trace(random, flags)
    assert parse_traceparent(str(context)) == context


@given(st.text(max_size=80))
def test_no_input_makes_the_parser_fail(text: str) -> None:
    parse_traceparent(text)
