"""One channel for each node this client talks to, opened when first used and closed together."""

from __future__ import annotations

import asyncio

from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.security.tls import TlsStore


class ConnectionPool:
    """Framed channels by role and node id; each checks that its peer is that node.

    Bounded by the nodes of the cluster: a node that moved to another address replaces its channel.
    """

    def __init__(self, tls: TlsStore) -> None:
        self._tls = tls
        self._channels: dict[tuple[str, str], tuple[str, FramedChannel]] = {}
        self._replaced: list[FramedChannel] = []

    def channel(self, role: str, node_id: str, listen: str) -> FramedChannel:
        """The channel to *node_id* of *role* at *listen* ("host:port"); connects when used."""
        known = self._channels.get((role, node_id))
        if known is not None:
            if known[0] == listen:
                return known[1]
            # Its calls in flight go on; it is closed with the pool.
            self._replaced.append(known[1])
        channel = FramedChannel(listen, self._tls, role, node_id)
        self._channels[role, node_id] = (listen, channel)
        return channel

    async def close(self) -> None:
        """Close all channels; calls in flight fail."""
        channels = [*self._replaced, *(channel for _, channel in self._channels.values())]
        self._channels.clear()
        self._replaced.clear()
        await asyncio.gather(*(channel.close() for channel in channels))
