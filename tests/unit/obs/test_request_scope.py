"""Scopes of requests: who is in one, and what log lines say there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pydfsnode.obs import log
from pydfsnode.obs.request_scope import current, enter, leave, request, traceparent_below
from pydfsnode.obs.trace import parse_traceparent

PARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


class Call:
    """As a server sees one."""

    deadline = 12.5
    request_id = "r-1"
    traceparent = PARENT


def test_a_scope_ends_with_its_block_and_makes_an_id() -> None:
    assert current.get() is None
    with request() as outer, request("named") as inner:
        assert current.get() is inner
        assert inner.request_id == "named"
        assert outer.request_id
    assert current.get() is None


async def test_tasks_are_in_the_scope_of_who_made_them() -> None:
    async def look() -> str:
        scope = current.get()
        return scope.request_id if scope is not None else ""

    with request("one"):
        task = asyncio.create_task(look())
    assert await task == "one"
    assert await asyncio.create_task(look()) == ""


def test_what_was_received_goes_on_in_the_same_trace() -> None:
    token = enter(Call())
    scope = current.get()
    assert scope is not None
    assert (scope.request_id, scope.deadline) == ("r-1", 12.5)
    below = parse_traceparent(traceparent_below(scope))
    assert below is not None
    assert below.trace_id == "ab" * 16
    assert below.span_id not in ("cd" * 8, scope.trace.span_id)
    leave(token)
    assert current.get() is None


def test_log_lines_name_the_request(tmp_path: Path) -> None:
    log.configure("info", "n1", "master", tmp_path / "log")
    try:
        with request("r-7") as scope:
            log.get_logger("test").info("inside")
            log.get_logger("test").info("explicit", request_id="other")
        log.get_logger("test").info("outside")
    finally:
        log.reset()
    inside, explicit, outside = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert inside["request_id"] == "r-7"
    assert inside["trace_id"] == scope.trace.trace_id
    assert explicit["request_id"] == "other"
    assert "request_id" not in outside
