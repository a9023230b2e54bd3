"""Fixtures of the tests of rpc: certificates once, uvloop as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tests.unit.rpc.harness import Wire, World, opened


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("rpc-certs"))


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """As production: everything on uvloop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["framed", "grpc"])
async def wire(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Wire]:
    async for made in opened(Wire(request.param, world)):
        yield made


@pytest.fixture
async def framed(world: World) -> AsyncIterator[Wire]:
    async for made in opened(Wire("framed", world)):
        yield made
