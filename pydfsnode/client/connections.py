"""One channel for each node this client talks to, opened when first used and closed together."""

from __future__ import annotations

import asyncio

from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.security.tls import TlsStore

ADDRESSES_MAX = 3
"""Of one node: a master may be asked at two in turn, and move."""


class ConnectionPool:
    """Framed channels by role, node id and address; each checks that its peer is that node.

    Bounded by the nodes of the cluster: of the addresses of a node that moves often, the one that
    was used first is closed.
    """

    def __init__(self, tls: TlsStore, health: PeerHealth | None = None) -> None:
        """*health* is shared with other channels of this process; None: of this pool alone."""
        self._tls = tls
        self.health = health or PeerHealth()
        self._channels: dict[tuple[str, str], dict[str, FramedChannel]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def channel(self, role: str, node_id: str, listen: str) -> FramedChannel:
        """The channel to *node_id* of *role* at *listen* ("host:port"); connects when used."""
        known = self._channels.get((role, node_id))
        if known is None:
            known = self._channels[role, node_id] = {}
        channel = known.get(listen)
        if channel is None:
            if len(known) >= ADDRESSES_MAX:
                self._close_soon(known.pop(next(iter(known))))
            channel = known[listen] = FramedChannel(
                listen, self._tls, role, node_id, health=self.health
            )
        return channel

    def _close_soon(self, channel: FramedChannel) -> None:
        task = asyncio.ensure_future(channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all channels; calls in flight fail."""
        channels = [channel for known in self._channels.values() for channel in known.values()]
        self._channels.clear()
        await asyncio.gather(*self._closing, *(channel.close() for channel in channels))
