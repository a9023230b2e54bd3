"""A client that works while leaders and chunkservers are killed, links cut and processes paused.

    python -m bench.macro.chaos [--minutes 10] [--workers 4] [--seed 7] [--dir DIR]

Run it from the root of the repository. Real processes; every operation has 30 s. Prints each fault,
at the end what became of the operations, the longest of them and the longest time without any, and
one JSON object; exits with 1 when an operation failed, or something is lost or was applied twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from pydfsnode.client.event_loop import run
from pydfsnode.client.filesystem import AsyncFileSystem
from tests.support.chaos import Chaos, Pace
from tests.support.faulty_proxy import FaultyProxy
from tests.support.mixed_load import MixedLoad, Outcomes
from tests.support.proxied_cluster import ProxiedCluster

DEADLINE_MS = 30_000
STEP_S = 0.1


async def work(
    cluster: ProxiedCluster, seconds: float, workers: int, seed: int
) -> tuple[Outcomes, Chaos, Counter[str]]:
    """Work and fail for *seconds*; what was counted by the client is the last of the three."""
    chaos = Chaos(cluster, Pace(), seed)
    async with await AsyncFileSystem.connect(cluster.client_config(DEADLINE_MS)) as fs:
        load = MixedLoad(fs, "/chaos", seed, workers)
        await load.prepare()
        working = asyncio.ensure_future(load.run(lambda: chaos.elapsed_s >= seconds))
        told = 0
        while not working.done():
            await asyncio.to_thread(chaos.step)
            for text in chaos.done[told:]:
                print(f"{text}   ({load.outcomes.done} operations)", flush=True)
            told = len(chaos.done)
            await asyncio.wait({working}, timeout=STEP_S)
        await working
        await asyncio.to_thread(chaos.end)
        await load.verify()
        faults: Counter[str] = Counter()
        for count in fs.health.faults.all():
            faults[count.kind] += count.times
    return load.outcomes, chaos, faults


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dir", type=Path, default=None)
    given = parser.parse_args()
    place = given.dir or Path(tempfile.mkdtemp(prefix="pydfsnode-chaos-"))
    with (
        FaultyProxy(given.seed) as proxy,
        ProxiedCluster(place, proxy) as cluster,
        cluster.reached_through_the_proxy(),
    ):
        outcomes, chaos, faults = run(work(cluster, given.minutes * 60, given.workers, given.seed))
    for text in outcomes.failures + outcomes.wrong:
        print(text)
    figures = {
        "operations": outcomes.done,
        "failed": len(outcomes.failures),
        "wrong": len(outcomes.wrong),
        "worst_operation_s": round(outcomes.worst_s, 2),
        "worst_operation": outcomes.worst_of,
        "longest_pause_s": round(outcomes.longest_pause_s(), 2),
        "leaders_killed": chaos.count("kill leader"),
        "chunkservers_killed": chaos.count("kill chunkserver"),
        "links_cut": chaos.count("cut link"),
        "processes_paused": chaos.count("pause"),
        "faults_met": dict(faults),
    }
    print(json.dumps(figures))
    good = not (outcomes.failures or outcomes.wrong)
    if good and given.dir is None:
        shutil.rmtree(place)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
