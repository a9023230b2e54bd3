"""A closed load loop: so many operations in flight for so long, each one's latency kept."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Operation = Callable[[int], Awaitable[object]]
"""Does the operation of that number (0, 1, 2, ...)."""
Clock = Callable[[], int]
"""Nanoseconds that only grow."""

MS_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """What a loop did: latencies in nanoseconds, ascending; `elapsed_ns` until the last answer."""

    latencies_ns: array[int]
    elapsed_ns: int

    @property
    def count(self) -> int:
        """Operations that were answered."""
        return len(self.latencies_ns)

    @property
    def per_s(self) -> float:
        """Operations a second, to one decimal."""
        return round(self.count * 1e9 / self.elapsed_ns, 1) if self.elapsed_ns else 0.0

    def quantile_ms(self, share: float) -> float:
        """The latency that *share* (0..1) of all operations did not exceed; 0 without any."""
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(share * self.count))
        return round(self.latencies_ns[rank - 1] / MS_NS, 3)

    def figures(self, verb: str) -> dict[str, float]:
        """`{verb}s_per_s`, `{verb}_p50_ms`, `{verb}_p99_ms` and `{verb}_p999_ms`."""
        return {
            f"{verb}s_per_s": self.per_s,
            f"{verb}_p50_ms": self.quantile_ms(0.50),
            f"{verb}_p99_ms": self.quantile_ms(0.99),
            f"{verb}_p999_ms": self.quantile_ms(0.999),
        }


async def closed_loop(
    operation: Operation,
    *,
    inflight: int,
    seconds: float | None = None,
    count_max: int | None = None,
    clock: Clock = time.perf_counter_ns,
) -> Load:
    """Keep *inflight* operations going until the time is over or *count_max* were started.

    An operation started in time is waited for and counted. With neither bound it would never end,
    so one is required.

    Raises:
        ValueError: neither `seconds` nor `count_max` is given.
        PydfsError: what an operation raised; the others are cancelled. A benchmark that goes on
            after a failure would report the speed of failing.
    """
    if seconds is None and count_max is None:
        raise ValueError("closed_loop needs seconds or count_max")
    latencies = array("q")
    began = clock()
    deadline = None if seconds is None else began + int(seconds * 1e9)
    started = 0

    async def worker() -> None:
        nonlocal started
        while count_max is None or started < count_max:
            before = clock()
            if deadline is not None and before >= deadline:
                return
            number = started
            started += 1
            await operation(number)
            latencies.append(clock() - before)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(inflight):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Load(array("q", sorted(latencies)), clock() - began)
