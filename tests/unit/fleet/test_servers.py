"""Who lives."""

from __future__ import annotations

import pytest

from pydfsnode.errors import Overloaded
from pydfsnode.fleet.servers import GOOD, MAINTENANCE, ServerTable

DEAD_AFTER_MS = 10_000


def beat(table: ServerTable, node_id: str, now_ms: int, incarnation: int = 1) -> bool:
    return table.heartbeat(
        node_id, now_ms, f"{node_id}:1", "r1", used_bytes=5, free_bytes=7, chunks=1, streams=0,
        incarnation=incarnation,
    )  # fmt: skip


def test_the_first_heartbeat_makes_a_server_live_the_next_changes_nothing() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    assert beat(table, "c1", 0)
    assert not beat(table, "c1", 1000)
    assert table.is_live("c1")
    assert table.listen_of("c1") == "c1:1"
    assert [server.free_bytes for server in table.live()] == [7]


def test_what_operators_ordered_outlives_heartbeats_deaths_and_returns() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    table.set_admin_state("c1", MAINTENANCE)  # never heard of
    beat(table, "c1", 0)
    table.set_admin_state("c1", MAINTENANCE)
    beat(table, "c1", 1)
    table.expire(DEAD_AFTER_MS + 1)
    beat(table, "c1", 20_000)
    found = table.get("c1")
    assert found is not None
    assert (found.admin_state, found.state) == (MAINTENANCE, "live")
    assert table.placeable() == []
    assert [len(candidates) for candidates in table.candidates] == [0, 0, 1]


def test_servers_are_filed_by_class_rack_and_host_as_long_as_they_live() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    for node_id in ("c2", "c1"):
        beat(table, node_id, 0)
    assert [server.node_id for server in table.at_host("c1")] == ["c1"]
    assert table.spread().racks == {("r1",)}
    table.heartbeat("c1", 1, "other:1", "/r2", 0, 7, 0, 0, 1)
    assert (table.at_host("c1"), len(table.at_host("other"))) == ([], 1)
    assert table.spread().racks == {("r1",), ("r2",)}
    table.expire(DEAD_AFTER_MS)
    assert table.spread().racks == {("r2",)}
    table.forget("c1")
    assert (len(table.candidates[GOOD]), table.at_host("other")) == (0, [])


def test_readers_are_sent_to_who_has_little_to_do_unknown_servers_last() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    for node_id, streams in (("busy", 40), ("a", 3), ("b", 0)):
        table.heartbeat(node_id, 0, "h:1", "", 0, 7, 0, streams, 1)
    assert table.for_readers(["gone", "busy", "a", "b"], 0) == ["a", "b", "busy", "gone"]
    assert table.for_readers(["gone", "busy", "a", "b"], 3) == ["b", "a", "busy", "gone"]
    assert table.for_readers([], 3) == []


def test_silence_for_exactly_the_limit_is_death_told_once() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    for node_id in ("c2", "c1", "c3"):
        beat(table, node_id, 0)
    beat(table, "c3", 1)
    assert table.expire(DEAD_AFTER_MS - 1) == []
    assert table.expire(DEAD_AFTER_MS) == ["c1", "c2"]
    assert table.expire(DEAD_AFTER_MS) == []
    assert [server.node_id for server in table.live()] == ["c3"]
    assert [server.state for server in table.all()] == ["dead", "dead", "live"]


def test_a_dead_server_that_is_heard_again_is_news() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    beat(table, "c1", 0)
    table.expire(DEAD_AFTER_MS)
    assert beat(table, "c1", DEAD_AFTER_MS + 1)
    assert table.is_live("c1")


def test_unknown_servers_are_neither_live_nor_reachable() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    assert not table.is_live("c9")
    assert table.listen_of("c9") == ""
    table.forget("c9")


def test_the_table_is_bounded_and_says_so() -> None:
    table = ServerTable(DEAD_AFTER_MS, servers_max=2)
    beat(table, "c1", 0)
    beat(table, "c2", 0)
    with pytest.raises(Overloaded):
        beat(table, "c3", 0)
    beat(table, "c2", 1)
    table.forget("c1")
    assert beat(table, "c3", 2)


def test_a_server_of_before_the_start_is_dead_until_it_is_heard() -> None:
    table = ServerTable(DEAD_AFTER_MS)
    beat(table, "c2", 0)
    assert table.remember("c1", 5, "h:1", "/r1")
    assert not table.remember("c2", 5, "h:2", "/r2"), "it was heard"
    found = table.get("c1")
    assert found is not None
    assert (found.state, found.heard_ms, found.place, found.is_remembered) == (
        "dead", 5, ("r1",), True,
    )  # fmt: skip
    assert [server.node_id for server in table.live()] == ["c2"]
    assert table.expire(DEAD_AFTER_MS + 5) == ["c2"], "its death is no news"
    assert beat(table, "c1", 9)
    assert (found.state, found.is_remembered, found.health._flaps.value) == ("live", False, 0.0)


def test_who_is_only_remembered_makes_room_for_who_is_there() -> None:
    table = ServerTable(DEAD_AFTER_MS, servers_max=2)
    table.remember("c1", 0, "h:1", "")
    beat(table, "c2", 0)
    assert not table.remember("c0", 0, "h:1", ""), "the table is full"
    beat(table, "c3", 0)
    assert [server.node_id for server in table.all()] == ["c2", "c3"]
    with pytest.raises(Overloaded):
        beat(table, "c4", 0)
