"""Raft.InstallSnapshot on the wire: the service of the receiver and the dialer of the sender."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from pydfsnode.errors import MalformedMessage, Unavailable
from pydfsnode.raft.configuration import member_name
from pydfsnode.raft.messages import SnapshotHeader
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.channel_stream import ClientStream
from pydfsnode.rpc.context import CallContext
from pydfsnode.rpc.methods import MASTER
from pydfsnode.rpc.pb import dfs_pb2
from pydfsnode.rpc.peer_health import PeerHealth
from pydfsnode.rpc.server import Handlers, ServerStream
from pydfsnode.runtime.snapshot_frames import Place, RowFrame, SnapshotReply
from pydfsnode.runtime.snapshot_receive import SnapshotReceiver
from pydfsnode.runtime.snapshot_send import SnapshotStream
from pydfsnode.security.tls import TlsStore

PATH = "/pydfs.v1.Raft/InstallSnapshot"
CONFIGURATION_BYTES_MAX = 64 * 1024
_NUMBER_MAX = 2**63 - 1


class SnapshotService:
    """Serves Raft.InstallSnapshot."""

    def __init__(self, receiver: SnapshotReceiver) -> None:
        self._receiver = receiver

    def handlers(self) -> Handlers:
        """Path to handler."""
        return {PATH: self.install_snapshot}

    async def install_snapshot(
        self, first: Any, context: CallContext, stream: ServerStream
    ) -> None:
        """Takes one stream of a snapshot; errors as `SnapshotReceiver.receive`."""
        if not first.HasField("open"):
            raise MalformedMessage("a snapshot begins with what it is of")
        header = _header(first.open)
        await self._receiver.receive(header, context.identity.name, _Incoming(stream))


class _Incoming:
    """`IncomingStream` on a call."""

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream

    async def receive(self) -> RowFrame | None:
        packet = await self._stream.receive()
        if packet is None:
            return None
        if not packet.HasField("frame"):
            raise MalformedMessage("a packet of a snapshot holds no frame")
        frame = packet.frame
        return RowFrame(frame.rows, frame.crc32c, frame.row_count, frame.last)

    async def send(self, reply: SnapshotReply) -> None:
        place = reply.resume_after
        await self._stream.send(
            dfs_pb2.SnapshotReply(
                wanted=reply.wanted,
                resume_after=b"" if place is None else bytes([place[0]]) + place[1],
                row_count=reply.row_count,
                installed=reply.installed,
            )
        )


class FramedSnapshotDial:
    """`SnapshotDial`: each stream on a connection of its own, so that it delays nothing else.

    Args of the constructor:
        tls: this master's certificate.
        address_of: member id to framed "host:port", "" when unknown.
        health: shared with the other channels of this node.
    """

    def __init__(
        self, tls: TlsStore, address_of: Callable[[str], str], health: PeerHealth | None = None
    ) -> None:
        self._tls = tls
        self._health = health or PeerHealth()
        self._address_of = address_of

    def __call__(
        self, peer: str, header: SnapshotHeader
    ) -> AbstractAsyncContextManager[SnapshotStream]:
        """See `SnapshotDial`.

        Raises:
            Unavailable, PeerUnauthenticated: on entering: no connection.
        """
        return self._dialled(peer, header)

    @asynccontextmanager
    async def _dialled(self, peer: str, header: SnapshotHeader) -> AsyncIterator[SnapshotStream]:
        address = self._address_of(peer)
        if not address:
            raise Unavailable(f"nobody knows the address of {peer}")
        channel = FramedChannel(address, self._tls, MASTER, member_name(peer), health=self._health)
        try:
            opening = dfs_pb2.SnapshotOpen(
                term=header.term,
                sender=header.sender,
                stream=header.stream,
                index=header.index,
                index_term=header.index_term,
                configuration=header.configuration,
            )
            async with channel.stream(PATH, dfs_pb2.SnapshotPacket(open=opening)) as stream:
                yield _Outgoing(peer, stream)
        finally:
            await channel.close()


class _Outgoing:
    """`SnapshotStream` on a call."""

    def __init__(self, peer: str, stream: ClientStream) -> None:
        self._peer = peer
        self._stream = stream

    async def send(self, frame: RowFrame) -> None:
        await self._stream.send(
            dfs_pb2.SnapshotPacket(
                frame=dfs_pb2.SnapshotFrame(
                    rows=frame.rows,
                    crc32c=frame.crc32c,
                    row_count=frame.row_count,
                    last=frame.last,
                )
            )
        )

    async def receive(self) -> SnapshotReply:
        reply = await self._stream.receive()
        if reply is None:
            raise Unavailable(f"{self._peer} ended the stream of a snapshot")
        return SnapshotReply(
            reply.wanted, _place(reply.resume_after), reply.row_count, reply.installed
        )


def _header(opening: Any) -> SnapshotHeader:
    numbers = (opening.term, opening.stream, opening.index, opening.index_term)
    if max(numbers) > _NUMBER_MAX or not (opening.index and opening.sender):
        raise MalformedMessage("the opening of a snapshot has numbers that cannot be")
    if len(opening.configuration) > CONFIGURATION_BYTES_MAX:
        raise MalformedMessage(
            f"the configuration of a snapshot has {len(opening.configuration)} bytes, at most "
            f"{CONFIGURATION_BYTES_MAX}"
        )
    return SnapshotHeader(
        opening.term, opening.sender, opening.stream, opening.index, opening.index_term,
        opening.configuration,
    )  # fmt: skip


def _place(encoded: bytes) -> Place | None:
    return (encoded[0], encoded[1:]) if encoded else None
