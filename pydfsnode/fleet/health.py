"""How well each chunkserver does: a score from 0 to 1, its reasons, and who should be avoided.

The score is a product, so that each trouble alone can pull it down:

    errors      corrupt replicas, disk errors, failed writes and copies; halved in 10 minutes
    latency     its p99 of disk writes or reads beside the fleet's median
    flapping    deaths and returns; three within an hour are too many
    disks       failed and read-only ones among all; almost no room
    silence     no heartbeat for a while, though not long enough to be dead

So a slow server is avoided long before it is dead. Who was avoided must become clearly better than
what made it so before it is trusted again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low
from typing import Literal, NamedTuple

OK, SLOW, AVOIDED = "ok", "slow", "avoided"

AVOID_BELOW, TRUST_ABOVE = 0.5, 0.7
SLOW_RATIO, SLOW_ENDS_RATIO = 4.0, 2.0
"""Times the median latency of the fleet that make a server slow, and that end it."""
SLOW_MS_MIN = 250.0
"""Nobody is slow whose p99 is below this."""
LATENCY_TAU_MS = 30_000
"""Time after which a new latency counts for two thirds. Logarithms are averaged: one write of two
seconds on a disk that has little to do, told for 20 s as its p99, makes no server slow."""
RETRY_TAU_MS = 60_000
"""Nothing is measured on a server that is avoided: it must be forgotten that it was slow."""
ERRORS_HALVED_MS = 600_000
ERRORS_AVOIDED = 5.0
"""So many, weighted, halve the score."""
FLAPS_HALVED_MS = 1_200_000
FLAPS_AVOIDED = 3.0
WRITE_FAILURE_MS = 2_000
"""Failed writes within this time are one trouble, however many writers there are."""
SILENT_SHARE, SILENT_MS_MIN = 0.4, 2_500
"""Share of the time after which a server is dead, but long enough for a heartbeat that is late."""
SILENT_FACTOR = 0.3
FULL_SHARE, FULL_FACTOR = 0.05, 0.6
"""Below this free share the score falls, down to the factor: the room itself is placement's."""

Event = Literal["corrupt", "disk", "write", "copy"]
WEIGHTS: dict[Event, float] = {"corrupt": 1.0, "disk": 1.0, "write": 0.5, "copy": 0.25}
PROCESS_EVENTS: tuple[Event, ...] = ("write", "copy")
"""Forgotten when its process starts anew."""
_NAMES: dict[Event, str] = {
    "corrupt": "corrupt replicas", "disk": "disk errors", "write": "failed writes",
    "copy": "failed copies",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scrub:
    """How far the background verification of a server is; times by its own wall clock."""

    began_ms: int
    due_ms: int
    done_bytes: int
    left_bytes: int
    rounds: int
    last_ended_ms: int
    corrupt_found: int


class ChunkSealing(NamedTuple):
    """Which keys the sealed chunks of a server need: see `ChunkSealState` of the schema."""

    verified_epoch: int = 0
    stale_chunks: int = 0
    resealed_chunks: int = 0
    key_epoch: int = 0


UNKNOWN_SEALING = ChunkSealing()


@dataclass(frozen=True, slots=True)
class Load:
    """What a heartbeat says of work and disks; an old chunkserver says nothing.

    Latencies are of its disks over about the last ten seconds; 0: none were measured.
    `disk_errors` counts since the start of its process; read-only disks are among the failed ones.
    """

    queued: int = 0
    write_p50_ms: float = 0.0
    write_p99_ms: float = 0.0
    read_p50_ms: float = 0.0
    read_p99_ms: float = 0.0
    disk_errors: int = 0
    disks: int = 1
    failed_disks: int = 0
    scrub: Scrub | None = None
    sealing: ChunkSealing = UNKNOWN_SEALING
    audit_problem: str = ""
    """Why its audit trail cannot be written."""


@dataclass(slots=True)
class _Fading:
    """A sum that halves in *halved_ms*."""

    halved_ms: int
    value: float = 0.0
    at_ms: int = 0

    def add(self, amount: float, now_ms: int) -> None:
        self.value, self.at_ms = self.at(now_ms) + amount, now_ms

    def at(self, now_ms: int) -> float:
        return float(self.value * 0.5 ** (max(0, now_ms - self.at_ms) / self.halved_ms))


@dataclass(slots=True)
class Health:
    """One server. `condition` is OK, SLOW or AVOIDED; what is not OK comes last everywhere."""

    score: float = 1.0
    reasons: tuple[str, ...] = ()
    condition: str = OK
    load: Load = field(default_factory=Load)
    write_ms: float = 0.0
    read_ms: float = 0.0
    _heard_ms: int = 0
    _incarnation: int = 0
    _write_failed_ms: int = -1 << 62
    _is_slow: bool = False
    _is_avoided: bool = False
    _free_share: float = 1.0
    _flaps: _Fading = field(default_factory=lambda: _Fading(FLAPS_HALVED_MS))
    _errors: dict[Event, _Fading] = field(default_factory=dict)

    def heard(
        self, now_ms: int, load: Load, incarnation: int, used_bytes: int, free_bytes: int
    ) -> None:
        """Take what a heartbeat said."""
        known = self.load.disk_errors
        if incarnation != self._incarnation:
            known = 0
            for event in PROCESS_EVENTS:  # it had stopped, which is no reason any more
                self._errors.pop(event, None)
        if load.disk_errors > known:
            self.note("disk", now_ms, load.disk_errors - known)
        since_ms = now_ms - self._heard_ms
        self.write_ms = _smoothed(self.write_ms, load.write_p99_ms, since_ms)
        self.read_ms = _smoothed(self.read_ms, load.read_p99_ms, since_ms)
        total = used_bytes + free_bytes
        self._free_share = free_bytes / total if total else 0.0
        self._heard_ms, self._incarnation, self.load = now_ms, incarnation, load

    def write_failed(self, now_ms: int) -> None:
        """Somebody could not write there; all who notice the same moment count once."""
        if now_ms - self._write_failed_ms >= WRITE_FAILURE_MS:
            self._write_failed_ms = now_ms
            self.note("write", now_ms)

    def note(self, event: Event, now_ms: int, count: int = 1) -> None:
        """Something went wrong there, *count* times."""
        self._errors.setdefault(event, _Fading(ERRORS_HALVED_MS)).add(count, now_ms)

    def returned(self, now_ms: int) -> None:
        """It was dead and is heard again."""
        self._flaps.add(1.0, now_ms)

    def review(self, now_ms: int, usual_write_ms: float, usual_read_ms: float, dead_ms: int) -> str:
        """Compute score, reasons and condition anew; returns the condition.

        Args:
            usual_write_ms: the fleet's median, as `usual_read_ms`.
            dead_ms: silence after which a server is dead.
        """
        reasons: list[str] = []
        score = self._error_factor(now_ms, reasons)
        score *= self._latency_factor(usual_write_ms, usual_read_ms, reasons)
        flaps = self._flaps.at(now_ms)
        if flaps >= 0.5:
            reasons.append(f"died and came back {flaps:.0f} times lately")
        score /= 1 + flaps / FLAPS_AVOIDED
        score *= self._disk_factor(reasons)
        silent_ms = now_ms - self._heard_ms
        if silent_ms >= max(SILENT_SHARE * dead_ms, SILENT_MS_MIN):
            reasons.append(f"silent for {silent_ms / 1000:.0f} s")
            score *= SILENT_FACTOR
        self.score, self.reasons = score, tuple(reasons)
        self._is_avoided = score < (TRUST_ABOVE if self._is_avoided else AVOID_BELOW)
        self.condition = AVOIDED if self._is_avoided else SLOW if self._is_slow else OK
        return self.condition

    def _error_factor(self, now_ms: int, reasons: list[str]) -> float:
        total = 0.0
        for event, fading in self._errors.items():
            count = fading.at(now_ms)
            total += WEIGHTS[event] * count
            if count >= 0.5:
                reasons.append(f"{count:.0f} {_NAMES[event]} lately")
        return 1 / (1 + total / ERRORS_AVOIDED)

    def _latency_factor(
        self, usual_write_ms: float, usual_read_ms: float, reasons: list[str]
    ) -> float:
        factor, is_slow = 1.0, False
        for what, own_ms, usual_ms in (
            ("writes", self.write_ms, usual_write_ms),
            ("reads", self.read_ms, usual_read_ms),
        ):
            limit_ms = max(SLOW_MS_MIN, SLOW_RATIO * usual_ms)
            if own_ms > limit_ms * (SLOW_ENDS_RATIO / SLOW_RATIO if self._is_slow else 1):
                is_slow = True
                factor = min(factor, limit_ms / own_ms)
                reasons.append(f"p99 of {what} {own_ms:.0f} ms, usual are {usual_ms:.0f} ms")
        self._is_slow = is_slow
        return factor

    def _disk_factor(self, reasons: list[str]) -> float:
        load, factor = self.load, 1.0
        if load.failed_disks:
            reasons.append(f"{load.failed_disks} of {load.disks} disks failed")
            factor = max(0.0, 1 - load.failed_disks / max(load.disks, 1))
        if self._free_share < FULL_SHARE:
            reasons.append(f"{self._free_share:.1%} of its space is free")
            factor *= FULL_FACTOR + (1 - FULL_FACTOR) * self._free_share / FULL_SHARE
        return factor


def usual_latency_ms(latencies_ms: Iterable[float]) -> float:
    """The median of those measured, 0 when there are none: what is normal here and now."""
    measured = [latency for latency in latencies_ms if latency > 0]
    return median_low(measured) if measured else 0.0


def _smoothed(before_ms: float, latest_ms: float, since_ms: int) -> float:
    if not latest_ms:
        return before_ms * math.exp(-max(0, since_ms) / RETRY_TAU_MS)
    if not before_ms:
        return latest_ms
    share = 1 - math.exp(-max(0, since_ms) / LATENCY_TAU_MS)
    return float(before_ms * (latest_ms / before_ms) ** share)
