"""Scores, reasons, and who is avoided when."""

from __future__ import annotations

import pytest

from pydfsnode.fleet.health import (
    AVOIDED,
    ERRORS_HALVED_MS,
    FLAPS_HALVED_MS,
    OK,
    SLOW,
    Event,
    Health,
    Load,
    usual_latency_ms,
)
from pydfsnode.fleet.servers import ServerTable

DEAD_MS = 10_000
GIB = 1 << 30


def beat(health: Health, now_ms: int, load: Load | None = None, free: int = GIB) -> str:
    health.heard(now_ms, load or Load(), 1, GIB, free)
    return health.review(now_ms, 10.0, 10.0, DEAD_MS)


def beats(health: Health, start_s: int, end_s: int, load: Load) -> list[str]:
    return [beat(health, second * 1000, load) for second in range(start_s, end_s)]


def test_a_quiet_server_is_as_well_as_can_be() -> None:
    health = Health()
    assert beat(health, 0) == OK
    assert (health.score, health.reasons) == (1.0, ())


def test_a_slow_disk_makes_a_server_slow_long_before_it_is_dead() -> None:
    health = Health()
    assert set(beats(health, 0, 30, Load(write_p99_ms=10.0))) == {OK}
    found = beats(health, 30, 90, Load(write_p99_ms=2000.0))
    assert set(found[:10]) == {OK}
    assert SLOW in found[10:35]
    assert set(found[45:]) == {AVOIDED}
    assert health.score < 0.3
    assert "p99 of writes" in health.reasons[0]
    assert "usual are 10 ms" in health.reasons[0]


def test_one_slow_write_makes_no_slow_server() -> None:
    health = Health()
    beats(health, 0, 30, Load(write_p99_ms=10.0))
    found = beats(health, 30, 45, Load(write_p99_ms=2000.0))
    assert set(found + beats(health, 45, 90, Load(write_p99_ms=10.0))) == {OK}


def test_slow_reads_count_as_well() -> None:
    health = Health()
    assert beats(health, 0, 30, Load(read_p99_ms=900.0))[-1] == AVOIDED
    assert "p99 of reads" in health.reasons[0]


def test_who_was_slow_must_become_clearly_faster() -> None:
    health = Health()
    assert beats(health, 0, 30, Load(write_p99_ms=400.0))[-1] == SLOW
    assert beats(health, 30, 300, Load(write_p99_ms=200.0))[-1] == SLOW
    assert beats(health, 300, 600, Load(write_p99_ms=100.0))[-1] == OK
    assert beats(health, 600, 900, Load(write_p99_ms=200.0))[-1] == OK


def test_what_is_usual_decides_what_is_slow() -> None:
    health = Health()
    for second in range(30):
        health.heard(second * 1000, Load(write_p99_ms=900.0), 1, GIB, GIB)
        assert health.review(second * 1000, 300.0, 0.0, DEAD_MS) == OK
    assert usual_latency_ms([0.0, 5.0, 900.0, 7.0]) == 7.0
    assert usual_latency_ms([0.0, 5.0, 900.0]) == 5.0, "of two the better one is usual"
    assert usual_latency_ms([0.0]) == 0.0


def test_a_slow_server_that_is_left_alone_is_tried_again() -> None:
    health = Health()
    assert beats(health, 0, 30, Load(write_p99_ms=900.0))[-1] == AVOIDED
    found = beats(health, 30, 300, Load())
    assert found[30] == AVOIDED
    assert found[-1] == OK


@pytest.mark.parametrize(
    ("event", "count", "condition"),
    [
        ("corrupt", 4, OK), ("corrupt", 6, AVOIDED), ("disk", 6, AVOIDED), ("write", 9, OK),
        ("write", 11, AVOIDED), ("copy", 19, OK), ("copy", 21, AVOIDED),
    ],
)  # fmt: skip
def test_errors_count_by_their_weight(event: Event, count: int, condition: str) -> None:
    health = Health()
    beat(health, 0)
    health.note(event, 0, count)
    assert health.review(0, 0.0, 0.0, DEAD_MS) == condition
    assert str(count) in health.reasons[0]


def test_errors_are_forgotten_and_trust_comes_back_later_than_it_went() -> None:
    health = Health()
    beat(health, 0)
    health.note("disk", 0, 8)
    assert health.review(0, 0.0, 0.0, DEAD_MS) == AVOIDED
    assert beat(health, ERRORS_HALVED_MS) == AVOIDED
    assert 0.5 < health.score < 0.7
    assert beat(health, 2 * ERRORS_HALVED_MS) == OK
    assert beat(health, 9 * ERRORS_HALVED_MS) == OK
    assert health.reasons == ()


def test_disk_errors_are_counted_as_told_since_the_process_started() -> None:
    health = Health()
    beat(health, 0, Load(disk_errors=3))
    score = health.score
    beat(health, 0, Load(disk_errors=3))
    assert health.score == score, "the same ones again"
    beat(health, 0, Load(disk_errors=4))
    assert health.score < score
    health.heard(0, Load(disk_errors=4), 2, GIB, GIB)  # another process: four new ones
    health.review(0, 0.0, 0.0, DEAD_MS)
    assert "8 disk errors lately" in health.reasons


def test_one_moment_of_failed_writes_counts_once_and_a_new_process_starts_afresh() -> None:
    health = Health()
    beat(health, 0)
    for _ in range(100):
        health.write_failed(0)
    assert beat(health, 0) == OK
    for second in range(60):
        health.write_failed(second * 1000)
    assert beat(health, 60_000) == AVOIDED
    health.heard(61_000, Load(), 2, GIB, GIB)
    assert health.review(61_000, 0.0, 0.0, DEAD_MS) == OK


def test_who_dies_and_returns_again_and_again_is_avoided_for_a_while() -> None:
    health, found = Health(), []
    for minute in range(5):
        health.returned(minute * 60_000)
        found.append(beat(health, minute * 60_000))
    assert found[0] == OK
    assert found[-1] == AVOIDED
    assert "died and came back" in health.reasons[0]
    assert beat(health, 4 * 60_000 + 3 * FLAPS_HALVED_MS) == OK


def test_silence_is_avoided_before_it_is_death_and_forgiven_at_once() -> None:
    health = Health()
    beat(health, 0)
    assert health.review(3_999, 0.0, 0.0, DEAD_MS) == OK
    assert health.review(4_000, 0.0, 0.0, DEAD_MS) == AVOIDED
    assert health.reasons == ("silent for 4 s",)
    assert beat(health, 5_000) == OK
    assert health.review(7_400, 0.0, 0.0, 3_000) == OK, "a heartbeat may be late"
    assert health.review(7_500, 0.0, 0.0, 3_000) == AVOIDED


def test_failed_and_full_disks_lower_the_score() -> None:
    health = Health()
    assert beat(health, 0, Load(disks=4, failed_disks=1)) == OK
    assert (health.score, health.reasons) == (0.75, ("1 of 4 disks failed",))
    assert beat(health, 0, Load(disks=4, failed_disks=3)) == AVOIDED
    full = Health()
    assert beat(full, 0, free=0) == OK, "placement looks at the room itself"
    assert full.score == pytest.approx(0.6)


def test_the_median_of_the_fleet_is_what_servers_are_compared_with() -> None:
    table = ServerTable(DEAD_MS)
    for second in range(60):
        for n in range(5):
            load = Load(write_p99_ms=3000.0 if n == 4 else 300.0)
            table.heartbeat(f"c{n}", second * 1000, "h:1", "", GIB, GIB, 0, 0, 1, load)
        table.review(second * 1000)
    assert [server.health.condition for server in table.live()] == [OK] * 4 + [AVOIDED]
    assert table.does_badly("c4")
    assert not table.does_badly("c0")
