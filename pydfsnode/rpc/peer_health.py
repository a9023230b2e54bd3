"""How calls to other nodes went: faults counted and logged, and a circuit breaker for each peer.

One object for a client, one for a server's process; all its channels share it, so that what one
learns of a peer spares the others the wait.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from pydfsnode.errors import PydfsError
from pydfsnode.obs.faults import SEVERITY, Fault, FaultCounts, fault_of
from pydfsnode.obs.log import Logger, get_logger
from pydfsnode.obs.metrics import metrics
from pydfsnode.runtime.breaker import BreakerState, CircuitBreaker
from pydfsnode.runtime.clock import Clock, SystemClock

BREAKERS_MAX = 1024
"""Peers with a breaker; past it those that are closed are forgotten (INV-BOUND)."""
LOG_EVERY_MS = 60_000
"""The same fault of the same peer is logged once in this time, with how often it was met."""


class PeerState(NamedTuple):
    """A breaker as people see it. `retry_in_ms`: until the next probe, 0 when one may go;
    `faults`: how often each kind was met.
    """

    peer: str
    address: str
    state: BreakerState
    failures: int
    retry_in_ms: int
    last_failure: str
    faults: dict[str, int]


class PeerHealth:
    """See the module.

    Args of the constructor:
        logger: where faults are logged, each as grave as its kind; None: they are only counted. A
            client raises what it cannot ride out, and is silent about the rest.
        on_count: is told peer and kind of each fault.
        on_breaker: is told the peer and the breaker that is made for it.
    """

    def __init__(
        self,
        *,
        logger: Logger | None = None,
        on_count: Callable[[str, Fault], None] | None = None,
        on_breaker: Callable[[str, CircuitBreaker], None] | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.faults = FaultCounts(on_count)
        self._logger = logger
        self._on_breaker = on_breaker
        self._clock = clock or SystemClock()
        self._chance = chance
        self._breakers: dict[tuple[str, str], CircuitBreaker] = {}
        self._logged: dict[tuple[str, Fault], tuple[int, int]] = {}  # when, and how many then

    def breaker(self, peer: str, address: str) -> CircuitBreaker:
        """The one of *peer* at *address*: a node that moved begins anew."""
        known = self._breakers.get((peer, address))
        if known is None:
            if len(self._breakers) >= BREAKERS_MAX:
                self._breakers = {
                    key: breaker
                    for key, breaker in self._breakers.items()
                    if breaker.state is not BreakerState.CLOSED
                }
            known = CircuitBreaker(self._clock, self._chance)
            self._breakers[peer, address] = known
            if self._on_breaker is not None:
                self._on_breaker(peer, known)
        return known

    def note(self, peer: str, error: PydfsError) -> None:
        """Count *error* of a call to *peer*, and log it, if it is a fault."""
        kind = fault_of(error)
        if kind is None:
            return
        count = self.faults.count(peer, kind)
        if self._logger is None:
            return
        now_ms = self._clock.monotonic_ms()
        last_ms, last_count = self._logged.get((peer, kind), (-LOG_EVERY_MS, 0))
        if now_ms - last_ms >= LOG_EVERY_MS:
            if len(self._logged) >= BREAKERS_MAX:
                self._logged.clear()
            self._logged[peer, kind] = now_ms, count
            write: Callable[..., None] = getattr(self._logger, SEVERITY[kind])
            write(
                "call failed", peer=peer, fault=str(kind), times=count - last_count,
                why=error.message,
            )  # fmt: skip

    def peers(self) -> list[PeerState]:
        """Every breaker, those that are not closed first."""
        found = [
            PeerState(
                peer, address, breaker.state, breaker.failures, breaker.retry_in_ms(),
                breaker.last_failure if breaker.failures else "", self.faults.of_peer(peer),
            )
            for (peer, address), breaker in self._breakers.items()
        ]  # fmt: skip
        return sorted(found, key=lambda each: (each.state is BreakerState.CLOSED, each[:2]))


def server_peer_health() -> PeerHealth:
    """Of a node: faults are in its log and among its metrics, and so are the breakers."""

    def count(peer: str, kind: Fault) -> None:
        metrics().counter("rpc_faults_total", peer, kind).inc()

    def show(peer: str, breaker: CircuitBreaker) -> None:
        gauge = metrics().gauge("rpc_breaker_open_boolean", peer)
        gauge.set_function(lambda: breaker.state is not BreakerState.CLOSED)

    return PeerHealth(logger=get_logger("rpc.peers"), on_count=count, on_breaker=show)
