"""A simulated network between masters: real encodings, and loss, duplicates, delays, cuts, clogs.

Also old versions: on a link with a node that runs one, messages carry only the fields that it knew.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from pydfsnode.raft.messages import Message, encode_message
from tests.support.sim.loop import Scheduler

FIELDS_OF_OLD = {1: 5, 6: 10, 7: 6, 8: 8, 9: 5}
"""Tag of a message -> how many elements (tag included) the first version wrote."""

_STAMP = struct.Struct("<dHH")


@dataclass
class Weather:
    """How the network behaves now. Probabilities per message, seconds of the world."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay_s: tuple[float, float] = (0.0002, 0.001)
    spread_s: float = 0.0
    """Mean of an exponential delay on top: what reorders."""


class Network:
    """Carries messages between nodes by name; `deliver(member, data)` takes what arrives.

    `trace` is a checksum over everything sent, with its times: equal for equal runs.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        weather: Weather,
        deliver: Callable[[str, bytes], None],
    ) -> None:
        self._scheduler = scheduler
        self._rng = rng
        self._deliver = deliver
        self.weather = weather
        self.cut: dict[tuple[str, str], None] = {}
        self.clogged_until_s: dict[tuple[str, str], float] = {}
        self.old: dict[str, None] = {}
        self.trace = 0
        self.message_count = 0

    def send(self, source: str, member: str, message: Message) -> None:
        """Take *message* of the node *source* on its way to *member*."""
        to = member.partition("#")[0]
        data = encode_message(message)
        if source in self.old or to in self.old:
            data = without_new_fields(data)
        now_s = self._scheduler.now_s
        self.trace = zlib.crc32(
            data, zlib.crc32(_STAMP.pack(now_s, len(source), len(to)), self.trace)
        )
        self.message_count += 1
        rng, weather = self._rng, self.weather
        if (source, to) in self.cut or (weather.loss and rng.random() < weather.loss):
            return
        copies = 2 if weather.duplicate and rng.random() < weather.duplicate else 1
        for _ in range(copies):
            shortest, longest = weather.delay_s
            delay_s = shortest + (longest - shortest) * rng.random()
            if weather.spread_s:
                delay_s += rng.expovariate(1 / weather.spread_s)
            arrival_s = max(now_s, self.clogged_until_s.get((source, to), 0.0)) + delay_s
            self._scheduler.at(arrival_s, self._deliver, member, data)

    def delay_s(self) -> float:
        """How long a client's request or its answer travels."""
        return 0.0003 + self._rng.expovariate(1 / (0.0005 + self.weather.spread_s))

    # ---- faults

    def partition(self, side: list[str], other: list[str], one_way: bool = False) -> None:
        """Nothing passes from *side* to *other*, nor back unless *one_way*."""
        for a in side:
            for b in other:
                self.cut[a, b] = None
                if not one_way:
                    self.cut[b, a] = None

    def clog(self, source: str, to: str, until_s: float) -> None:
        """What is sent on this link arrives after *until_s*."""
        self.clogged_until_s[source, to] = until_s

    def heal(self) -> None:
        """No cut and no clog."""
        self.cut.clear()
        self.clogged_until_s.clear()


def without_new_fields(data: bytes) -> bytes:
    """*data* as the first version would have written or understood it."""
    fields = msgspec.msgpack.decode(data)
    return msgspec.msgpack.encode(fields[: FIELDS_OF_OLD.get(fields[0], len(fields))])


class SimTransport:
    """`ports.Transport` of one process. `leaving(to, message)` looks at each message first and says
    whether the process is dead.
    """

    def __init__(
        self, network: Network, name: str, leaving: Callable[[str, Message], bool]
    ) -> None:
        self._network = network
        self._name = name
        self._leaving = leaving

    def send(self, to: str, message: Message) -> None:
        """See `ports.Transport.send`."""
        if not self._leaving(to, message):
            self._network.send(self._name, to, message)
