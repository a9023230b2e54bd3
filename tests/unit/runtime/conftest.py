"""A driver around a fake core, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pydfsnode.raft.messages import (
    HeartbeatAck,
)
from tests.support.driver_fakes import Bench, FakeCore

HEARTBEAT = HeartbeatAck(term=1, sender="m2", stream=1, read_round=1)


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
async def bench(core: FakeCore) -> AsyncIterator[Bench]:
    bench = Bench(core)
    await bench.start()
    yield bench
    await bench.stop()
