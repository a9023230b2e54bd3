"""Receives a backup of the namespace from a master and checks that all of it came."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable, Iterable

from pydfsnode.client.members import Member
from pydfsnode.errors import CorruptionError, InvalidArgument, Unavailable
from pydfsnode.rpc.channel import FramedChannel
from pydfsnode.rpc.channel_stream import ClientStream
from pydfsnode.rpc.schema import rpc_of
from pydfsnode.storage.backup_format import END_MAGIC, TRAILER_BYTES, BackupHead, BackupReader

PATH = "/pydfs.v1.Cluster/Backup"
PIECE_S = 60.0
"""For the next piece: the master rests between them, but never for so long."""


def choose_master(members: Iterable[Member], wanted: str = "") -> Member:
    """Whom to ask for a backup: *wanted*, or a follower, which spares the leader.

    Raises:
        InvalidArgument: there is no such master.
        Unavailable: none is there.
    """
    known = list(members)
    if wanted:
        for member in known:
            if member.id == wanted:
                return member
        names = ", ".join(sorted(member.id for member in known))
        raise InvalidArgument(f"{wanted!r} is no master of this cluster: there are {names}")
    able = [m for m in known if m.role == "leader" or m.recently_active]
    if not able:
        raise Unavailable("no master of this cluster answers")
    # Of the followers the one that is closest to the leader: it has to wait for least.
    return max(able, key=lambda m: (m.role == "follower", m.role == "leader", m.match_index, m.id))


async def receive_backup(
    channel: FramedChannel, write: Callable[[bytes], object]
) -> tuple[BackupHead, int]:
    """Have the master at the other end write a backup, give each piece to *write*.

    Returns:
        its head, and its size in bytes.
    Raises:
        Unavailable: the master stopped before the end, or went silent.
        CorruptionError: what came is not what it sent.
        PydfsError: what the master answered; what *write* raises.
    """
    digest, size, held = hashlib.sha256(), 0, b""
    head: BackupHead | None = None
    async with channel.stream(PATH, rpc_of(PATH).request()) as stream:
        while (piece := await _next_piece(channel, stream)) is not None:
            if head is None:  # the first piece is the head, and nothing else
                head = BackupReader(io.BytesIO(piece), f"the backup of {channel.peer}").head()
            write(piece)
            size += len(piece)
            held += piece
            digest.update(held[:-TRAILER_BYTES])
            held = held[-TRAILER_BYTES:]
    digest.update(held[: len(END_MAGIC)])
    if head is None or held[: len(END_MAGIC)] != END_MAGIC:
        raise Unavailable(f"{channel.peer} ended the backup before its end, after {size:,} bytes")
    if held[len(END_MAGIC) :] != digest.digest():
        raise CorruptionError("the backup that came is not the one that was sent: take it again")
    return head, size


async def _next_piece(channel: FramedChannel, stream: ClientStream) -> bytes | None:
    try:
        async with asyncio.timeout(PIECE_S):
            piece = await stream.receive()
    except TimeoutError:
        raise Unavailable(f"{channel.peer} sent nothing for {PIECE_S:g} s") from None
    return None if piece is None else bytes(piece)
