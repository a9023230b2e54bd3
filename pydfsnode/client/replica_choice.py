"""Which replica a read asks first: near ones, then those that answered this client quickly.

What is known of a chunkserver is this client's own experience of late: how long it took to the
first packet, how fast the rest came, what failed, and what is under way there now.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pydfsnode import limits
from pydfsnode.client.model import Replica
from pydfsnode.fleet.topology import distance, parse_rack
from pydfsnode.runtime.clock import stopwatch_s

SERVERS_MAX = 1024  # limits.py candidate
"""Chunkservers remembered; the one that was not read from for longest is forgotten."""
SUSPECT_MS = 30_000  # limits.py candidate
"""How long a chunkserver that failed a read is asked last; longer when it failed often."""
FRESH_MS = 60_000  # limits.py candidate
"""An older experience says nothing: the server is tried again as if it were new."""
SMALL_BYTES = limits.BLOCK_BYTES
"""Reads up to this size and larger ones are timed apart: their first packets differ in size."""
ALIKE = 1.3
"""Expected times within this factor of the best are alike: then what is under way decides, and
the masters' order."""
SLOW = 4.0
"""A server this many times slower than the best of the others comes after them, near or not."""
EXPLORE_SHARE = 0.02
"""Of reads that ask another than the best server first, so that its times stay known."""
WEIGHT = 0.2
"""Of the newest time in an average."""
_FAILURES_MAX = 8.0
_FORGIVEN = 0.125
_HALF_LIFE_MS = SUSPECT_MS / 3
"""One failure weighs 1 and is forgiven at _FORGIVEN: after three half-lives."""

NowMs = Callable[[], float]


def fine_ms() -> float:
    """Milliseconds of a fine clock without origin."""
    return stopwatch_s() * 1000


class ServerRecord:
    """What this client knows of one chunkserver from its own reads. Times in milliseconds."""

    __slots__ = ("_failed_at", "_failures", "_first_ms", "_measured_at", "_ms_per_byte", "_now_ms",
                 "bytes_under_way", "distance", "rack", "reads_under_way")  # fmt: skip

    def __init__(self, now_ms: NowMs = fine_ms) -> None:
        self._now_ms = now_ms
        self.rack = ""
        self.distance = 0
        self.reads_under_way = 0
        self.bytes_under_way = 0
        self._first_ms = [0.0, 0.0]  # of small reads, of others; 0: not known
        self._measured_at = [0.0, 0.0]
        self._ms_per_byte = 0.0
        self._failures = 0.0
        self._failed_at = 0.0

    def began(self, length: int) -> None:
        """A read of *length* bytes was sent there."""
        self.reads_under_way += 1
        self.bytes_under_way += length

    def ended(self, length: int) -> None:
        """That read is over, well or not."""
        self.reads_under_way -= 1
        self.bytes_under_way -= length

    def first_packet(self, length: int, took_ms: float) -> None:
        """The first packet of a read of *length* took so long, or longer when not waited for."""
        size = length > SMALL_BYTES
        now = self._now_ms()
        self._first_ms[size] = _average(self.usual_ms(length, now), max(took_ms, 0.001))
        self._measured_at[size] = now

    def rest(self, size: int, took_ms: float) -> None:
        """What came behind the first packet: *size* bytes in *took_ms*."""
        if size > SMALL_BYTES:
            self._ms_per_byte = _average(self._ms_per_byte, max(took_ms, 0.001) / size)

    def failed(self) -> None:
        """A read failed there."""
        now = self._now_ms()
        self._failures = min(self.failures(now) + 1.0, _FAILURES_MAX)
        self._failed_at = now

    def failures(self, now: float) -> float:
        """The weight of its failures, which halves with time; 0: forgiven."""
        if not self._failures:
            return 0.0
        weight = self._failures * 0.5 ** ((now - self._failed_at) / _HALF_LIFE_MS)
        return weight if weight > _FORGIVEN else 0.0

    def usual_ms(self, length: int, now: float) -> float:
        """Until the first packet of a read of *length*, of late; 0: not known."""
        size = length > SMALL_BYTES
        return self._first_ms[size] if now - self._measured_at[size] < FRESH_MS else 0.0

    def expected_ms(self, length: int, usual_ms: float, now: float) -> float:
        """Until *length* more bytes are here, behind all that is under way."""
        waiting = usual_ms * (1 + self.reads_under_way)
        if not self._ms_per_byte or now - self._measured_at[True] >= FRESH_MS:
            return waiting
        return waiting + self._ms_per_byte * (self.bytes_under_way + length)


class ReplicaChoice:
    """Orders replicas for one client; the same experience and chances give the same order."""

    def __init__(
        self,
        rack: str = "",
        now_ms: NowMs = fine_ms,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Args:
        rack: where this client stands, "/dc1/r7"; "": unknown, all servers are as near.
        now_ms: milliseconds of a clock that never goes back.
        chance: random numbers in [0, 1).
        """
        self._rack = parse_rack(rack) if rack else None
        self._now_ms = now_ms
        self._chance = chance
        self._records: dict[str, ServerRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    def record(self, replica: Replica) -> ServerRecord:
        """What is known of the server of *replica*; stays valid when it is forgotten here."""
        records = self._records
        found = records.pop(replica.node_id, None)
        if found is None:
            if len(records) >= SERVERS_MAX:
                del records[next(iter(records))]
            found = ServerRecord(self._now_ms)
        records[replica.node_id] = found  # the last one now
        if self._rack is not None and found.rack != replica.rack:
            found.rack = replica.rack
            found.distance = distance(self._rack, parse_rack(replica.rack))
        return found

    def in_order(self, replicas: Sequence[Replica], length: int) -> list[Replica]:
        """*replicas*, in the masters' order, as a read of *length* bytes should try them.

        Servers that failed a read lately come last; before them those that are much slower than
        the others; of the rest the nearest first, and of equally near ones the one that is expected
        to be done first.
        """
        if len(replicas) < 2:
            return list(replicas)
        now = self._now_ms()
        records = [self._known(replica) for replica in replicas]
        usual = [record.usual_ms(length, now) for record in records]
        # Who is not known is taken for as good as the best, and so becomes known.
        best_ms = min(filter(None, usual), default=1.0)
        ranks = []
        for place, record in enumerate(records):
            usual_ms = usual[place] or best_ms
            group = (record.failures(now), usual_ms > SLOW * best_ms, record.distance)
            expected_ms = record.expected_ms(length, usual_ms, now)
            ranks.append((group, expected_ms, record.reads_under_way, place))
        first, shortest_ms, _, _ = min(ranks)
        alike_ms = ALIKE * shortest_ms
        ranks = sorted(
            (group, max(expected_ms, alike_ms), under_way, place)
            for group, expected_ms, under_way, place in ranks
        )
        if self._chance() < EXPLORE_SHARE and ranks[1][0] == first:
            ranks[0], ranks[1] = ranks[1], ranks[0]
        return [replicas[place] for _, _, _, place in ranks]

    def _known(self, replica: Replica) -> ServerRecord:
        """As `record`, but being looked at keeps nobody from being forgotten."""
        found = self._records.get(replica.node_id)
        if found is None or (self._rack is not None and found.rack != replica.rack):
            return self.record(replica)
        return found


def _average(known: float, newest: float) -> float:
    return known + WEIGHT * (newest - known) if known else newest
