"""`pydfsnode cluster report|fsck|decommission|maintenance|balance|safemode`: asked and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pydfsnode.cli import cluster_watching
from pydfsnode.cli.cluster_balance import parse_threshold, percent
from pydfsnode.cli.durations import parse_duration
from pydfsnode.client.filesystem import AsyncFileSystem
from pydfsnode.client.fleet import (
    Balance,
    Duty,
    FleetState,
    FsckCounts,
    FsckFinding,
    FsckReport,
    SafeMode,
    Scrub,
)
from pydfsnode.client.model import ChunkserverState, ClusterStatus
from pydfsnode.errors import UnsafeChange
from tests.unit.cli.conftest import Run

BALANCE = Balance(
    on=False, threshold_ppm=0, bytes_per_s=0, since_ms=0, user="", moved_chunks=3,
    moved_bytes=3 << 20, moves_running=0, bytes_left=0, mean_ppm=412_000, spread_ppm=31_000,
    ended_because="the chunkservers are even",
)  # fmt: skip
DUTY = Duty(
    id="c1", state="decommissioning", until_ms=0, since_ms=0, user="ann", counted=True,
    chunks_held=40, chunks_left=12, chunks_stuck=2, stuck_because="nobody has room",
    moves_running=4,
)  # fmt: skip
OFF = SafeMode(False, False, "", "", 0, 90, 90)
STATE = FleetState([DUTY], BALANCE, OFF, 5, 6, 7, 0)
STATUS = ClusterStatus(
    cluster_id="x", health="OK", checks=[], leader="m1", term=1, commit_index=1, applied_index=1,
    masters=[], chunks=40,
    chunkservers=[
        ChunkserverState("c1", "live", 40, 1 << 20, 3 << 20, "/r1", "h1:1", 300,
                         admin_state="decommissioning",
                         scrub=Scrub(1, 2, 1 << 20, 3 << 20, 1, 0, 2)),
        ChunkserverState("c2", "dead", 4, 1 << 20, 3 << 20, "/r2", "h2:1", 90_000),
    ],
)  # fmt: skip
Asked = list[Any]


@pytest.fixture
def answers(cluster: object, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    """`answers(name=[first, second, ...])`: what methods give, the last one for ever."""
    asked: Asked = []
    monkeypatch.setattr(cluster_watching, "POLL_SECONDS", 0)

    def set_answers(**results: list[Any]) -> Asked:
        for name, values in results.items():
            monkeypatch.setattr(AsyncFileSystem, name, method(name, list(values)))
        return asked

    def method(name: str, values: list[Any]) -> Any:
        async def answer(_fs: AsyncFileSystem, *arguments: Any, **named: Any) -> Any:
            asked.append((name, *arguments))
            value = values.pop(0) if len(values) > 1 else values[0]
            if isinstance(value, Exception):
                raise value
            return value

        return answer

    return set_answers


# ---- report


def test_the_report_has_the_words_of_dfsadmin(run: Run, answers: Callable[..., Asked]) -> None:
    answers(cluster_status=[STATUS], fleet_state=[STATE])
    shown = run("cluster", "report").out
    for line in (
        "Configured Capacity: 4194304 (4.0 MiB)",
        "DFS Used%: 25.00%",
        "Blocks: 90",
        "Copies of endangered blocks: 5",
        "Live chunkservers (1):",
        "Name: c1 (h1:1)",
        "Rack: /r1",
        "Decommission Status: decommissioning",
        "Dead chunkservers (1):",
        "Decommission Status: Normal",
        "; 1 round done; 2 corrupt found",
        "Scrub: 25.00% of this round, due ",
        "Last contact: 90.0 s ago",
    ):
        assert line in shown, shown
    assert "12 chunks left" not in shown
    assert "40 chunks left, 2 stuck: nobody has room" in shown


def test_the_report_as_json(run: Run, answers: Callable[..., Asked]) -> None:
    answers(cluster_status=[STATUS], fleet_state=[STATE])
    found = json.loads(run("cluster", "report", "--json").out)
    assert (found["capacity_bytes"], found["used_bytes"]) == (4 << 20, 1 << 20)
    assert found["out_of_service"][0]["id"] == "c1"
    assert found["chunkservers"][0]["admin_state"] == "decommissioning"


def test_the_status_shows_what_is_out_of_service_and_safe_mode(
    run: Run, answers: Callable[..., Asked]
) -> None:
    answers(cluster_status=[replace(STATUS, safe_mode="servers report")])
    shown = run("cluster", "status").out
    assert "live, decommissioning" in shown
    assert "safe mode is ON: servers report" in shown


# ---- fsck


def report(problem: str = "", count: int = 0) -> FsckReport:
    counts = FsckCounts(files=3, directories=1, bytes=10, chunks=4, replicas=11)
    findings = [FsckFinding(f"/f{n}", problem, 1, 5) for n in range(count)]
    if problem:
        setattr(counts, problem.replace("-", "_"), count)
    return FsckReport("/d", counts, findings)


def test_a_healthy_tree_ends_in_the_line_of_hdfs(run: Run, answers: Callable[..., Asked]) -> None:
    asked = answers(fsck=[report()])
    result = run("cluster", "fsck", "/d")
    assert result.code == 0
    assert result.out.endswith("\nThe filesystem under path '/d' is HEALTHY\n")
    assert "Total files:                3\n" in result.out
    assert "Average block replication:  2.75\n" in result.out
    assert asked[0][1] == "/d"


@pytest.mark.parametrize("problem", ["missing", "corrupt"])
def test_what_cannot_be_read_makes_it_corrupt(
    run: Run, answers: Callable[..., Asked], problem: str
) -> None:
    answers(fsck=[report(problem, 2)])
    result = run("cluster", "fsck")
    assert result.code == 1
    assert result.out.endswith("\nThe filesystem under path '/d' is CORRUPT\n")
    assert f"{problem}       1      5  /f1" in result.out
    answers(fsck=[report(problem, 2)])
    as_json = run("cluster", "fsck", "--json")
    assert (as_json.code, json.loads(as_json.out)["healthy"]) == (1, False)


def test_what_is_repaired_anyway_is_healthy_and_long_lists_are_cut(
    run: Run, answers: Callable[..., Asked]
) -> None:
    answers(fsck=[report("under-replicated", 130)])
    result = run("cluster", "fsck")
    assert result.code == 0
    assert "... and 30 more" in result.out
    assert "/f129" not in result.out
    answers(fsck=[report("under-replicated", 130)])
    assert "/f129" in run("cluster", "fsck", "--list").out


def test_open_files_are_listed_when_asked_for(run: Run, answers: Callable[..., Asked]) -> None:
    found = report()
    found.findings.append(FsckFinding("/open", "open", 0, 0))
    found.safe_mode = True
    answers(fsck=[found])
    result = run("cluster", "fsck")
    assert "/open" not in result.out
    assert "does not know all replicas yet" in result.err
    assert "/open" in run("cluster", "fsck", "--list").out


# ---- chunkservers out of service


def test_a_drain_is_ordered_and_shown(run: Run, answers: Callable[..., Asked]) -> None:
    asked = answers(decommission=[STATE])
    shown = run("cluster", "decommission", "c1").out
    assert asked == [("decommission", "c1")]
    assert "c1           decommissioning      40    12       4" in shown
    assert "40 chunks left, 2 stuck: nobody has room" in shown


def test_waiting_shows_progress_until_it_may_be_stopped(
    run: Run, answers: Callable[..., Asked]
) -> None:
    begun = replace(STATE, duties=[replace(DUTY, counted=False)])
    done = replace(STATE, duties=[replace(DUTY, state="decommissioned", chunks_held=0)])
    asked = answers(decommission=[STATE], fleet_state=[begun, STATE, STATE, done])
    result = run("cluster", "decommission", "c1", "--wait")
    assert result.code == 0
    assert result.err.splitlines() == [
        "c1 counting what it holds",
        "c1 40 chunks left, 2 stuck: nobody has room",
        "c1 may be stopped",
    ]
    assert "may be stopped" in result.out
    assert [call[0] for call in asked] == ["decommission"] + 4 * ["fleet_state"]


def test_a_refusal_is_one_sentence(run: Run, answers: Callable[..., Asked]) -> None:
    answers(decommission=[UnsafeChange("too few would be left")])
    result = run("cluster", "decommission", "c1", "c2")
    assert (result.code, result.err) == (1, "pydfsnode: too few would be left [3017]\n")


def test_maintenance_needs_a_time_or_its_end(run: Run, answers: Callable[..., Asked]) -> None:
    safe = replace(DUTY, state="maintenance", until_ms=7_200_000, chunks_left=0)
    asked = answers(maintain=[replace(STATE, duties=[safe])], recommission=[STATE])
    assert "may be stopped" in run("cluster", "maintenance", "c1", "--for", "2h").out
    assert run("cluster", "maintenance", "c1", "--end").out == "c1 in service\n"
    assert run("cluster", "recommission", "c1", "c2").out == "c1, c2 in service\n"
    assert run("cluster", "maintenance", "c1").code == 2
    assert run("cluster", "maintenance", "c1", "--for", "2h", "--end").code == 2
    assert run("cluster", "maintenance", "c1", "--for", "soon").code == 2
    assert asked == [
        ("maintain", ("c1",), 7_200_000),
        ("recommission", "c1"),
        ("recommission", "c1", "c2"),
    ]


def test_times() -> None:
    assert [parse_duration(text) for text in ("90s", "30m", "2h", "1D")] == [
        90, 1800, 7200, 86_400,
    ]  # fmt: skip


# ---- balance


def test_a_balance_is_ordered_watched_and_stopped(run: Run, answers: Callable[..., Asked]) -> None:
    running = replace(BALANCE, on=True, threshold_ppm=50_000, bytes_per_s=1 << 20)
    still = replace(BALANCE, moves_running=1)
    asked = answers(
        balance=[replace(STATE, balance=running)],
        fleet_state=[replace(STATE, balance=b) for b in (running, still, BALANCE)],
        stop_balance=[STATE],
    )
    result = run("cluster", "balance", "--threshold", "5%", "--bytes-per-s", "1M", "--wait")
    assert result.code == 0
    assert "balancing to 5.0% at 1.0 MiB/s: 3 chunks moved (3.0 MiB)" in result.err
    assert result.out == (
        "no balance is on (the chunkservers are even): 3 chunks moved (3.0 MiB); mean 41.2%, "
        "farthest 3.1% away\n"
    )
    assert run("cluster", "balance", "--stop").code == 0
    assert [call[0] for call in asked] == ["balance", *3 * ["fleet_state"], "stop_balance"]
    assert asked[0][1:] == (0.05, 1 << 20)
    assert run("cluster", "balance", "--show").out.startswith("no balance is on")
    for wrong in (["--threshold", "0%"], ["--bytes-per-s", "0"], ["--stop", "--wait"]):
        assert run("cluster", "balance", *wrong).code == 2


def test_shares() -> None:
    assert [parse_threshold(text) for text in ("10%", "2.5", "100 %")] == [0.1, 0.025, 1.0]
    assert [percent(ppm) for ppm in (0, 12, 123_456)] == ["0.0%", "0.0012%", "12.3%"]


# ---- safe mode


def test_safe_mode_says_who_and_why(run: Run, answers: Callable[..., Asked]) -> None:
    on = SafeMode(True, True, "an operator ordered it", "ann", 5, 10, 10)
    asked = answers(
        fleet_state=[replace(STATE, safe_mode=on), STATE],
        set_safe_mode=[replace(STATE, safe_mode=on), STATE],
    )
    shown = "Safe mode is ON by ann: an operator ordered it\n"
    assert run("cluster", "safemode", "enter").out == shown
    assert run("cluster", "safemode", "leave").out == "Safe mode is OFF\n"
    waited = run("cluster", "safemode", "wait")
    assert waited.err == shown + "Safe mode is OFF\n"
    assert run("cluster", "safemode", "get").out == "Safe mode is OFF\n"
    assert asked[:2] == [("set_safe_mode", True), ("set_safe_mode", False)]
    assert json.loads(run("cluster", "safemode", "get", "--json").out)["on"] is False
