"""Chunkservers for tests of reads: each answers, fails, or waits until it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydfsnode import limits
from pydfsnode.client.model import ChunkLocation, Replica
from pydfsnode.errors import Unavailable
from pydfsnode.rpc.chunk_packets import make_packet

CONTENT = bytes(range(250)) * 5000


class Peer:
    """A chunkserver that has CONTENT as every chunk."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked_for = asyncio.Event()
        self.dead = False
        self.flips = False
        self.stops_after: int | None = None  # so many packets
        self.asked: list[tuple[int, int]] = []
        self.packets_sent = 0
        self.open_streams = 0

    async def unary(self, path: str, request: Any, *, timeout_ms: int) -> Any:
        raise AssertionError(path)

    async def stream(self, path: str, first: Any, *, timeout_ms: int | None = None) -> Any:
        self.asked.append((first.offset, first.length))
        self.asked_for.set()
        self.open_streams += 1
        return Stream(self, first.offset, first.offset + first.length)


class Stream:
    """One read; packets of PACKET_BYTES at most."""

    def __init__(self, peer: Peer, offset: int, end: int) -> None:
        self._peer = peer
        self._offset = offset
        self._end = end
        self._cancelled = False

    async def receive(self) -> bytes | None:
        await self._peer.may_answer.wait()
        if self._peer.packets_sent == self._peer.stops_after:
            await asyncio.Event().wait()
        if self._peer.dead:
            raise Unavailable(f"{self._peer.name}: gone")
        if self._offset == self._end:
            return None
        size = min(limits.PACKET_BYTES, self._end - self._offset)
        packet = b"".join(make_packet(self._offset, CONTENT[self._offset : self._offset + size]))
        self._offset += size
        self._peer.packets_sent += 1
        return packet[:-1] + bytes([packet[-1] ^ 1]) if self._peer.flips else packet

    async def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._peer.open_streams -= 1


class Peers:
    """c1, c2 and c3, and a chunk that they have."""

    def __init__(self, names: Sequence[str] = ("c1", "c2", "c3")) -> None:
        self.by_name = {name: Peer(name) for name in names}
        replicas = tuple(Replica(name, f"{name}:7000") for name in names)
        self.chunk = ChunkLocation(7, 1, 0, len(CONTENT), 0, replicas)

    def __getitem__(self, name: str) -> Peer:
        return self.by_name[name]

    def connect(self, node_id: str, _listen: str) -> Any:
        return self.by_name[node_id]

    def asked(self) -> dict[str, int]:
        """How many reads each got."""
        return {name: len(peer.asked) for name, peer in self.by_name.items()}

    def assert_nothing_is_open(self) -> None:
        """All streams were ended."""
        assert {name: peer.open_streams for name, peer in self.by_name.items()} == dict.fromkeys(
            self.by_name, 0
        )
