"""ConnectionPool: one channel a node, of the right role and name; and which loop runs us."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pydfsnode.client import connections
from pydfsnode.client.connections import ADDRESSES_MAX, ConnectionPool
from pydfsnode.client.event_loop import new_event_loop, run
from pydfsnode.rpc.peer_health import PeerHealth


class FakeChannel:
    """Remembers how it was made and whether it was closed."""

    def __init__(
        self, address: str, _tls: object, role: str, name: str, *, health: PeerHealth
    ) -> None:
        self.made = (address, role, name)
        self.health = health
        self.closed = False

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> ConnectionPool:
    monkeypatch.setattr(connections, "FramedChannel", FakeChannel)
    return ConnectionPool(cast(Any, None))


async def test_a_channel_expects_the_role_and_name_of_its_node(pool: ConnectionPool) -> None:
    channel = cast(FakeChannel, pool.channel("master", "m1", "h:1"))
    assert channel.made == ("h:1", "master", "m1")
    assert channel.health is pool.health


async def test_a_node_has_one_channel(pool: ConnectionPool) -> None:
    first = pool.channel("master", "m1", "h:1")
    assert pool.channel("master", "m1", "h:1") is first
    assert pool.channel("master", "m2", "h:1") is not first
    assert pool.channel("chunkserver", "m1", "h:1") is not first


async def test_a_node_that_moved_gets_a_new_channel_and_all_are_closed(
    pool: ConnectionPool,
) -> None:
    before, after = pool.channel("master", "m1", "h:1"), pool.channel("master", "m1", "h:2")
    assert after is not before
    await pool.close()
    assert cast(FakeChannel, before).closed
    assert cast(FakeChannel, after).closed


async def test_two_addresses_of_a_node_are_kept_and_asked_in_turn(pool: ConnectionPool) -> None:
    first, second = pool.channel("master", "m1", "h:1"), pool.channel("master", "m1", "h:2")
    assert pool.channel("master", "m1", "h:1") is first
    assert pool.channel("master", "m1", "h:2") is second


async def test_a_node_that_moves_often_leaves_no_channels_behind(pool: ConnectionPool) -> None:
    made = [
        cast(FakeChannel, pool.channel("master", "m1", f"h:{port}"))
        for port in range(1, 3 + ADDRESSES_MAX)
    ]
    await asyncio.sleep(0)
    assert [channel.closed for channel in made] == [True, True] + [False] * ADDRESSES_MAX
    await pool.close()
    assert all(channel.closed for channel in made)


def test_our_loop_is_uvloops_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("uvloop")
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    loop = new_event_loop()
    loop.close()
    assert type(loop).__module__.startswith("asyncio")


def test_run_returns_the_result_and_lets_errors_through() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    async def fail() -> None:
        raise ZeroDivisionError

    assert run(answer()) == 42
    with pytest.raises(ZeroDivisionError):
        run(fail())
