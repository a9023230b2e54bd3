"""What waits for the log: how much of it, and for whom there is room when it is much."""

from __future__ import annotations

import asyncio

import pytest

from pydfsnode._fast import encode_entry
from pydfsnode.errors import Overloaded
from pydfsnode.raft.types import KIND_OPERATION
from pydfsnode.runtime import proposals as module
from pydfsnode.runtime.fair_queue import IN_LOG_ENTRIES_MAX
from pydfsnode.runtime.proposals import RESERVED_PER_CLIENT, Proposals

TERM = 3
FLOODING, OTHER = 1, 2


@pytest.fixture
async def proposals() -> Proposals:
    return Proposals(asyncio.get_running_loop())


def fill(proposals: Proposals, client: int, count: int) -> None:
    for _ in range(count):
        proposals.add(b"operation", client)


def refused(proposals: Proposals, client: int) -> bool:
    try:
        proposals.add(b"operation", client)
    except Overloaded:
        return True
    return False


async def test_who_filled_the_queue_is_refused_and_who_has_few_in_it_is_not(
    proposals: Proposals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_PROPOSALS_MAX", 10)
    monkeypatch.setattr(module, "RESERVED_PROPOSALS_MAX", 6)
    fill(proposals, FLOODING, 10)
    assert refused(proposals, FLOODING)
    fill(proposals, OTHER, RESERVED_PER_CLIENT)
    assert refused(proposals, OTHER)
    fill(proposals, 3, 2)
    assert refused(proposals, 4), "even the reserve has an end"


async def test_bytes_are_bounded_for_all(
    proposals: Proposals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_BYTES_MAX", 20)
    fill(proposals, FLOODING, 2)
    assert refused(proposals, OTHER)


async def test_no_more_enter_the_log_than_may_wait_there(proposals: Proposals) -> None:
    fill(proposals, FLOODING, IN_LOG_ENTRIES_MAX + 10)
    payloads, _, futures = proposals.take()
    assert len(payloads) == IN_LOG_ENTRIES_MAX
    proposals.entered(1, TERM, futures)
    assert proposals.take() == ([], [], [])
    entries = [encode_entry(index, TERM, KIND_OPERATION, b"") for index in (1, 2, 3)]
    proposals.resolve(1, entries, ["applied"] * 3)
    assert [future.result() for future in futures[:3]] == ["applied"] * 3
    assert len(proposals.take()[0]) == 3


async def test_what_a_snapshot_took_the_place_of_waits_no_longer(proposals: Proposals) -> None:
    fill(proposals, FLOODING, IN_LOG_ENTRIES_MAX + 10)
    proposals.entered(1, TERM, proposals.take()[2])
    proposals.superseded(IN_LOG_ENTRIES_MAX)
    assert len(proposals.take()[0]) == 10
