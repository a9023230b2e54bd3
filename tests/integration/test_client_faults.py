"""What a client notices when leaders, chunkservers, links and bytes fail: a pause at most."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pydfsnode.client.event_loop import run
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.chaos import MASTERS, Chaos, Pace
from tests.support.cluster import wait_until
from tests.support.faulty_proxy import NO_FAULTS, Faults, FaultyProxy
from tests.support.mixed_load import MixedLoad, Outcomes
from tests.support.proxied_cluster import ProxiedCluster

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SEED = int(os.environ.get("PYDFSNODE_CHAOS_SEED", "7"))
CHAOS_SECONDS = float(os.environ.get("PYDFSNODE_CHAOS_SECONDS", "45"))
BAD_BYTES_SECONDS = float(os.environ.get("PYDFSNODE_PROXY_SECONDS", "20"))
DEADLINE_MS = 30_000
SHORT_DEADLINE_MS = 5_000
GRACE_S = 1.0
"""An operation of several calls may find its time over a little late."""
WAITS_MAX = 5
"""Of one operation, each with a deadline of its own: for a chunk, for data that goes no further,
for who takes the place of a server, for the close. Data that goes on takes as long as it takes."""
BAD_NETWORK = Faults(delay=0.05, delay_ms=200, drop=0.002, cut=0.01, corrupt=0.005)


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultyProxy]:
    with FaultyProxy(SEED) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, proxy: FaultyProxy
) -> Iterator[ProxiedCluster]:
    place = tmp_path_factory.mktemp("client-faults") / "dev"
    with ProxiedCluster(place, proxy, log_level="debug") as cluster:
        yield cluster


def test_one_request_is_found_in_the_logs_of_all_that_worked_for_it(
    cluster: ProxiedCluster, tmp_path: Path
) -> None:
    log, local = tmp_path / "client.log", tmp_path / "local"
    local.write_bytes(bytes(100_000))
    cluster.environment["PYDFSNODE_LOG"] = str(log)
    try:
        cluster.run("fs", "put", str(local), "/traced")
    finally:
        del cluster.environment["PYDFSNODE_LOG"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (request_id,) = {line["request_id"] for line in lines}
    (trace_id,) = {line["trace_id"] for line in lines if "trace_id" in line}

    def served(node_id: str) -> list[str]:
        return [line for line in cluster.log(node_id).splitlines() if request_id in line]

    def wrote() -> int:
        return sum(any("WriteChunk" in line for line in served(n)) for n in cluster.chunkservers)

    # A server may log that a call ended when the client has had its answer already.
    wait_until("every chunkserver of the pipeline names the request", lambda: wrote() == 3)
    assert any(served(master) for master in MASTERS)
    assert all(trace_id in line for node_id in cluster.addresses for line in served(node_id))


async def _under_chaos(cluster: ProxiedCluster) -> tuple[Outcomes, Chaos]:
    chaos = Chaos(cluster, Pace(12, 15, 14, 16, down=3), SEED)
    async with await AsyncFileSystem.connect(cluster.client_config(DEADLINE_MS)) as fs:
        load = MixedLoad(fs, "/chaos", SEED)
        await load.prepare()
        working = asyncio.ensure_future(load.run(lambda: chaos.elapsed_s >= CHAOS_SECONDS))
        while not working.done():
            await asyncio.to_thread(chaos.step)
            await asyncio.wait({working}, timeout=0.1)
        await working
        await asyncio.to_thread(chaos.end)
        await load.verify()
    return load.outcomes, chaos


def test_kills_cuts_and_pauses_are_ridden_out(cluster: ProxiedCluster) -> None:
    with cluster.reached_through_the_proxy():
        outcomes, chaos = run(_under_chaos(cluster))
    print(
        f"\n{outcomes.done} operations, worst {outcomes.worst_s:.1f} s ({outcomes.worst_of}), "
        f"longest pause {outcomes.longest_pause_s():.1f} s; {', '.join(chaos.done)}"
    )
    assert outcomes.failures == []
    assert outcomes.wrong == []
    assert outcomes.worst_s < DEADLINE_MS / 1000 + GRACE_S
    for fault in ("kill leader", "kill chunkserver", "cut link", "pause"):
        assert chaos.count(fault), f"no {fault} in {CHAOS_SECONDS:g} s: {chaos.done}"


async def _on_a_bad_network(cluster: ProxiedCluster, proxy: FaultyProxy) -> Outcomes:
    loop = asyncio.get_running_loop()
    unhandled: list[str] = []
    loop.set_exception_handler(lambda _loop, context: unhandled.append(str(context)))
    async with await AsyncFileSystem.connect(cluster.client_config(SHORT_DEADLINE_MS)) as fs:
        load = MixedLoad(fs, "/bad-network", SEED)
        await load.prepare()
        proxy.misbehave(BAD_NETWORK)
        until = loop.time() + BAD_BYTES_SECONDS
        try:
            await load.run(lambda: loop.time() >= until)
        finally:
            proxy.misbehave(NO_FAULTS)
            for address in cluster.addresses.values():
                proxy.cut(address)  # those on which nothing passes any more
    async with await AsyncFileSystem.connect(cluster.client_config(DEADLINE_MS)) as fs:
        await load.verify_with(fs)
    assert unhandled == []
    return load.outcomes


def test_bad_bytes_end_in_a_right_answer_or_a_coded_error(
    cluster: ProxiedCluster, proxy: FaultyProxy
) -> None:
    """A failure is a `PydfsError`: anything else ends the worker, and so the test."""
    with cluster.reached_through_the_proxy():
        outcomes = run(_on_a_bad_network(cluster, proxy))
    print(
        f"\n{outcomes.done} operations done, {len(outcomes.failures)} failed with a code, worst "
        f"{outcomes.worst_s:.1f} s ({outcomes.worst_of}); {dict(proxy.counts)}",
        *outcomes.failures,
        sep="\n",
    )
    assert outcomes.wrong == []
    assert outcomes.done
    patience_s = WAITS_MAX * SHORT_DEADLINE_MS / 1000
    assert outcomes.worst_s < patience_s + GRACE_S, outcomes.worst_of
    for kind in ("delay", "drop", "cut", "corrupt"):
        assert proxy.counts[kind], f"nothing was done of: {kind}"
    for node_id in cluster.addresses:
        assert "Traceback" not in cluster.log(node_id)
